"""Gather what checks know of thousands of people in two statements.

`check_plain` tells in one pass over the indexes what is plain: nobody known, or one holder of the address, an act of
theirs, and nothing that stands against it. Whoever is not plain is left to `check_each`, which asks the same function
as a single check does.
"""

from typing import Final

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_QUESTION: Final = """
    p_version uuid, p_controller uuid, p_purpose uuid, p_channel text, p_reaches text, p_at timestamptz,
    p_until timestamptz, p_known timestamptz, p_wash uuid, p_looks_for text[]
"""
_QUESTION_TYPES: Final = "uuid, uuid, uuid, text, text, timestamptz, timestamptz, timestamptz, uuid, text[]"

_STANDS: Final = """
  PERFORM set_config('app.controller', p_controller::text, true);
  IF NOT EXISTS (SELECT FROM public.registry_version v
                  WHERE v.controller_id = p_controller AND v.version = p_version) THEN
    RETURN;
  END IF;
"""

_CHECK_PLAIN: Final = f"""
CREATE FUNCTION check_plain({_QUESTION}, p_kind text, p_blinds bytea[], p_suppressions bytea[])
RETURNS TABLE (number bigint, is_plain boolean, subject_id uuid, entry_id uuid, kind text, consent_id uuid,
  confirmed_at timestamptz, expires_at timestamptz, legal_basis text, grade text, notice_id uuid)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_merges boolean := 'merges' = ANY (p_looks_for);
  v_recalls boolean := 'recalls' = ANY (p_looks_for);
BEGIN
{_STANDS}
  RETURN QUERY
  SELECT r.number,
         CASE WHEN EXISTS (SELECT FROM public.suppression s
                            WHERE s.controller_id = p_controller AND s.address_hash = r.suppression) THEN false
              WHEN c.id IS NULL THEN NOT EXISTS (
                SELECT FROM public.signup_request q
                 WHERE q.controller_id = p_controller AND (q.email_index = r.blind OR q.phone_index = r.blind))
              WHEN c.holder_until IS NOT NULL
                OR EXISTS (SELECT FROM public.objection o
                            WHERE o.controller_id = p_controller AND o.subject_id = c.subject_id)
                OR EXISTS (SELECT FROM public.restriction_fact f
                            WHERE f.controller_id = p_controller AND f.subject_id = c.subject_id)
                OR (v_merges AND EXISTS (
                     SELECT FROM public.subject_merge m WHERE m.controller_id = p_controller
                        AND (m.duplicate_id = c.subject_id OR m.survivor_id = c.subject_id))) THEN false
              WHEN e.id IS NULL OR e.effective_at > p_at + interval '2 minutes' THEN false
              ELSE NOT v_recalls
                OR e.kind NOT IN ('given', 'renewed')
                OR NOT EXISTS (SELECT FROM public.revocation x
                                WHERE x.controller_id = p_controller AND e.recorded_at <= x.recorded_until) END,
         c.subject_id, e.id, e.kind::text, e.consent_id, e.confirmed_at, e.expires_at, e.legal_basis::text,
         e.evidence_grade::text, e.notice_id
    FROM unnest(p_blinds, p_suppressions) WITH ORDINALITY r(blind, suppression, number)
    LEFT JOIN public.contact_point c
      ON c.controller_id = p_controller AND c.blind_index = r.blind AND c.kind = p_kind
    LEFT JOIN LATERAL (
      SELECT l.id, l.kind, l.consent_id, l.confirmed_at, l.expires_at, l.legal_basis, l.evidence_grade, l.notice_id,
             l.recorded_at, l.effective_at
        FROM public.ledger_entry l
       WHERE l.controller_id = p_controller AND l.subject_id = c.subject_id AND l.purpose_id = p_purpose
         AND l.channel = p_channel
         AND l.contact_point_id IS NOT DISTINCT FROM CASE WHEN p_reaches IS NOT NULL THEN c.id END
       ORDER BY l.effective_at DESC, l.seq DESC LIMIT 1) e ON true;
END $$"""  # noqa: S608 - made of the constants of this file alone

_CHECK_EACH: Final = f"""
CREATE FUNCTION check_each({_QUESTION}, p_subjects uuid[], p_blinds bytea[], p_kinds text[],
  p_suppressions bytea[], p_systems text[], p_externals bytea[])
RETURNS TABLE (number bigint, s_subject_id uuid, s_point_id uuid, s_point_since timestamptz, s_restricted boolean,
  s_suppressed_ats timestamptz[], s_objected_ats timestamptz[], s_confirmed_act_at timestamptz, e_id uuid, e_kind text,
  e_consent_id uuid, e_effective_at timestamptz, e_occurred_at timestamptz, e_confirmed_at timestamptz,
  e_expires_at timestamptz, e_legal_basis text, e_grade text, e_notice_id uuid, e_language text,
  e_age_at_least smallint, e_by_guardian boolean, e_is_recalled boolean, s_other_point_given boolean,
  s_request_waits boolean, s_more jsonb)
LANGUAGE plpgsql STABLE AS $$
BEGIN
{_STANDS}
  RETURN QUERY
  SELECT r.number, f.*
    FROM unnest(p_subjects, p_blinds, p_kinds, p_suppressions, p_systems, p_externals)
         WITH ORDINALITY r(subject, blind, kind, suppression, system, external, number)
   CROSS JOIN LATERAL public.check_person(p_controller, p_purpose, p_channel, p_reaches, p_at, p_until, p_known,
     p_wash, p_looks_for, r.subject, r.blind, r.kind, r.suppression, r.system, r.external) f;
END $$"""  # noqa: S608 - made of the constants of this file alone

_FUNCTIONS: Final = (
    f"check_plain({_QUESTION_TYPES}, text, bytea[], bytea[])",
    f"check_each({_QUESTION_TYPES}, uuid[], bytea[], text[], bytea[], text[], bytea[])",
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    roles = op.get_context().config.attributes["roles"]
    op.execute(_CHECK_PLAIN)
    op.execute(_CHECK_EACH)
    for name in _FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")
        op.execute(f'GRANT EXECUTE ON FUNCTION {name} TO "{roles.app}"')


def downgrade() -> None:
    for name in reversed(_FUNCTIONS):
        op.execute(f"DROP FUNCTION {name}")
