"""Gather what a check knows of a person in one statement: the one reader that crosses rooms.

What the registry says changes seldom, so processes keep it and name the version that they hold; `check_facts` says in
the same snapshot whether that still stands. The functions set the tenant variable for their own transaction and run
with the rights of their caller, so that row level security holds. Nothing is judged here: what comes back are facts.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

#: A change in any of these gives the controller's registry another version.
_WATCHED: Final = (
    *("public.api_key", "public.controller", "public.notice_publication", "public.notice_version", "public.purpose"),
    *("public.reservation_wash", "public.revocation", "public.subject_merge", "vault.controller_key"),
)

_RENEW: Final = """
CREATE FUNCTION renew_registry_version() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  changed uuid := CASE WHEN TG_OP = 'DELETE' THEN OLD.controller_id ELSE NEW.controller_id END;
  before text := coalesce(current_setting('app.controller', true), '');
BEGIN
  PERFORM set_config('app.controller', changed::text, true);
  INSERT INTO public.registry_version AS v (controller_id, version) VALUES (changed, gen_random_uuid())
  ON CONFLICT (controller_id) DO UPDATE SET version = excluded.version;
  PERFORM set_config('app.controller', before, true);
  RETURN NULL;
END $$"""

_MERGED_WITH: Final = """
CREATE FUNCTION merged_with(p_controller uuid, p_subject uuid, p_limit timestamptz) RETURNS uuid[]
LANGUAGE sql STABLE AS $$
  SELECT array_agg(g.id ORDER BY g.place, g.id) FROM (
    SELECT coalesce(max(m.survivor_id::text)::uuid, p_subject) AS id, 0 AS place FROM public.subject_merge m
     WHERE m.controller_id = p_controller AND m.duplicate_id = p_subject
       AND (p_limit IS NULL OR m.merged_at <= p_limit)
    UNION ALL
    SELECT d.duplicate_id, 1 FROM public.subject_merge d
     WHERE d.controller_id = p_controller AND (p_limit IS NULL OR d.merged_at <= p_limit)
       AND d.survivor_id = coalesce((
         SELECT m.survivor_id FROM public.subject_merge m
          WHERE m.controller_id = p_controller AND m.duplicate_id = p_subject
            AND (p_limit IS NULL OR m.merged_at <= p_limit)), p_subject)) g
$$"""

#: About the person (s_…), and the entry that is the last word in the series (e_…).
_FACTS: Final = """
    s_subject_id uuid, s_point_id uuid, s_point_since timestamptz, s_restricted boolean,
    s_suppressed_ats timestamptz[], s_objected_ats timestamptz[], s_confirmed_act_at timestamptz,
    e_id uuid, e_kind text, e_consent_id uuid, e_effective_at timestamptz, e_occurred_at timestamptz,
    e_confirmed_at timestamptz, e_expires_at timestamptz, e_legal_basis text, e_grade text, e_notice_id uuid,
    e_language text, e_age_at_least smallint, e_by_guardian boolean, e_is_recalled boolean,
    s_other_point_given boolean, s_request_waits boolean, s_more jsonb
"""

#: `p_reaches` is the kind of contact point that the channel reaches, `p_looks_for` what the controller has any of.
_QUESTION: Final = """
    p_controller uuid, p_purpose uuid, p_channel text, p_reaches text, p_at timestamptz, p_until timestamptz,
    p_known timestamptz, p_wash uuid, p_looks_for text[]
"""
_ABOUT: Final = "p_subject uuid, p_blind bytea, p_kind text, p_suppression bytea, p_system text, p_external bytea"

_YES: Final = "('given', 'renewed')"
_SERIES: Final = """
         l.controller_id = p_controller AND l.purpose_id = p_purpose AND l.channel = p_channel
         AND (p_until IS NULL OR l.effective_at <= p_until) AND (p_known IS NULL OR l.recorded_at <= p_known)"""
_LAST: Final = "ORDER BY l.effective_at DESC, l.seq DESC LIMIT 1"


def _out(columns: str) -> str:
    """Write the columns of a result as OUT parameters."""
    return ", ".join(f"OUT {column.strip()}" for column in columns.split(","))


_DECLARE: Final = """
DECLARE
  v_limit timestamptz := least(p_until, p_known);
  v_named uuid;
  v_holder uuid;
  v_fits boolean;
  v_holders bigint := 0;
  v_members uuid[];
  v_others uuid[];
  v_merged_at timestamptz;
  v_actor uuid;
  v_point uuid;
  v_entry public.ledger_entry;
  v_other record;
  v_said_at timestamptz;
  v_no public.ledger_entry;
  v_no_at timestamptz;
"""

# Whom the reference means: by an id, ours or another system's, else by who holds the address.
_WHO: Final = """
  IF p_subject IS NOT NULL THEN
    SELECT s.id INTO v_named FROM public.subject s WHERE s.controller_id = p_controller AND s.id = p_subject;
  ELSIF p_external IS NOT NULL THEN
    SELECT x.subject_id INTO v_named FROM public.external_id x
     WHERE x.controller_id = p_controller AND x.system = p_system AND x.blind_index = p_external;
  END IF;
  IF v_named IS NOT NULL THEN
    v_members := CASE WHEN 'merges' = ANY (p_looks_for) THEN public.merged_with(p_controller, v_named, v_limit)
                      ELSE ARRAY[v_named] END;
  END IF;
  IF p_blind IS NOT NULL THEN
    SELECT c.id, c.subject_id, c.holder_from, count(*) OVER (),
           (c.holder_until IS NULL OR coalesce(c.holder_until > p_until, false))
           AND ((p_subject IS NULL AND p_external IS NULL) OR coalesce(c.subject_id = ANY (v_members), false)) AS fits
      INTO s_point_id, v_holder, s_point_since, v_holders, v_fits
      FROM public.contact_point c
     WHERE c.controller_id = p_controller AND c.blind_index = p_blind AND c.kind = p_kind
     ORDER BY fits DESC, coalesce(c.verified_at > p_until, c.verified_at IS NULL), c.holder_from > p_until,
              coalesce(abs(extract(epoch FROM c.holder_from - p_until)), -extract(epoch FROM c.holder_from)), c.id
     LIMIT 1;
    IF v_fits IS NOT TRUE THEN
      s_point_id := NULL; v_holder := NULL; s_point_since := NULL;
    ELSIF v_members IS NULL THEN
      v_members := CASE WHEN 'merges' = ANY (p_looks_for) THEN public.merged_with(p_controller, v_holder, v_limit)
                        ELSE ARRAY[v_holder] END;
    END IF;
  END IF;
  s_subject_id := v_members[1];
  IF cardinality(v_members) > 1 THEN
    SELECT max(m.merged_at) INTO v_merged_at FROM public.subject_merge m
     WHERE m.controller_id = p_controller AND m.survivor_id = s_subject_id
       AND (v_limit IS NULL OR m.merged_at <= v_limit);
  END IF;
"""

# What the person is shielded by. Whoever else stands under the address binds it with a no.
_STOPS: Final = """
  IF p_suppression IS NOT NULL THEN
    SELECT array_agg(s.recorded_at) INTO s_suppressed_ats FROM public.suppression s
     WHERE s.controller_id = p_controller AND s.address_hash = p_suppression
       AND (s.purpose_id IS NULL OR s.purpose_id = p_purpose) AND (s.channel IS NULL OR s.channel = p_channel)
       AND (v_limit IS NULL OR s.recorded_at <= v_limit);
  END IF;
  IF v_holders > 1 OR (v_holders = 1 AND NOT v_fits) THEN
    SELECT array_agg(c.subject_id) INTO v_others FROM public.contact_point c
     WHERE c.controller_id = p_controller AND c.blind_index = p_blind AND c.kind = p_kind
       AND (c.holder_until IS NULL OR c.verified_at IS NULL) AND c.subject_id IS DISTINCT FROM v_holder;
  END IF;
  s_restricted := false;
  IF v_members IS NOT NULL OR v_others IS NOT NULL THEN
    SELECT array_agg(CASE WHEN v_merged_at IS NOT NULL AND o.subject_id = ANY (v_members)
                               AND o.subject_id IS DISTINCT FROM v_holder
                          THEN greatest(o.recorded_at, v_merged_at) ELSE o.recorded_at END)
      INTO s_objected_ats FROM public.objection o
     WHERE o.controller_id = p_controller AND o.subject_id = ANY (v_members || v_others)
       AND (o.purpose_id IS NULL OR o.purpose_id = p_purpose) AND (o.channel IS NULL OR o.channel = p_channel)
       AND (v_limit IS NULL OR o.recorded_at <= v_limit);
  END IF;
  IF v_members IS NOT NULL THEN
    SELECT coalesce(bool_or(f.kind = 'restricted'), false) INTO s_restricted FROM (
      SELECT DISTINCT ON (f.subject_id) f.kind FROM public.restriction_fact f
       WHERE f.controller_id = p_controller AND f.subject_id = ANY (v_members)
         AND (v_limit IS NULL OR f.recorded_at <= v_limit)
       ORDER BY f.subject_id, f.recorded_at DESC) f;
  END IF;
"""

# The last word in the series: one's own latest act, unless a no of somebody else counts from the same moment or later.
_ENTRY: Final = f"""
  v_actor := CASE WHEN p_reaches IS NULL THEN s_subject_id ELSE v_holder END;
  v_point := CASE WHEN p_reaches IS NULL THEN NULL ELSE s_point_id END;
  IF v_actor IS NOT NULL THEN
    SELECT l.* INTO v_entry FROM public.ledger_entry l
     WHERE {_SERIES} AND l.subject_id = v_actor AND l.contact_point_id IS NOT DISTINCT FROM v_point {_LAST};
    IF s_suppressed_ats IS NOT NULL OR s_objected_ats IS NOT NULL THEN
      SELECT l.effective_at INTO s_confirmed_act_at FROM public.ledger_entry l
       WHERE {_SERIES} AND l.subject_id = v_actor AND l.contact_point_id IS NOT DISTINCT FROM v_point
         AND l.kind IN {_YES} AND l.confirmed_at IS NOT NULL {_LAST};
    END IF;
  END IF;
  v_said_at := v_entry.effective_at;
  IF p_reaches IS NOT NULL AND v_others IS NOT NULL THEN
    FOR v_other IN SELECT c.id, c.subject_id FROM public.contact_point c
                    WHERE c.controller_id = p_controller AND c.blind_index = p_blind AND c.kind = p_kind
                      AND c.subject_id = ANY (v_others) AND (c.holder_until IS NULL OR c.verified_at IS NULL) LOOP
      SELECT l.* INTO v_no FROM public.ledger_entry l
       WHERE {_SERIES} AND l.subject_id = v_other.subject_id AND l.contact_point_id = v_other.id {_LAST};
      v_no_at := CASE WHEN v_other.subject_id = ANY (v_members) THEN greatest(v_no.effective_at, v_merged_at)
                      ELSE v_no.effective_at END;
      IF v_no.kind NOT IN {_YES} AND (v_said_at IS NULL OR v_no_at >= v_said_at) THEN
        v_entry := v_no; v_said_at := v_no_at;
      END IF;
    END LOOP;
  END IF;
  IF p_reaches IS NOT NULL AND v_merged_at IS NOT NULL THEN
    SELECT l.* INTO v_no FROM public.ledger_entry l
     WHERE {_SERIES} AND l.subject_id = ANY (v_members) AND l.subject_id IS DISTINCT FROM v_holder
       AND l.kind NOT IN {_YES}
       AND (l.effective_at > v_merged_at OR NOT EXISTS (
         SELECT FROM public.ledger_entry y
          WHERE y.controller_id = p_controller AND y.purpose_id = p_purpose AND y.channel = p_channel
            AND y.subject_id = l.subject_id AND y.contact_point_id IS NOT DISTINCT FROM l.contact_point_id
            AND y.effective_at <= v_merged_at AND (p_known IS NULL OR y.recorded_at <= p_known)
            AND (y.effective_at, y.seq) > (l.effective_at, l.seq)))
     ORDER BY greatest(l.effective_at, v_merged_at) DESC, l.seq DESC LIMIT 1;
    v_no_at := greatest(v_no.effective_at, v_merged_at);
    IF v_no.kind IS NOT NULL AND (v_said_at IS NULL OR v_no_at >= v_said_at) THEN
      v_entry := v_no; v_said_at := v_no_at;
    END IF;
  ELSIF v_merged_at IS NOT NULL THEN
    FOR v_other IN SELECT m.id FROM unnest(v_members) m(id) WHERE m.id <> v_actor LOOP
      SELECT l.* INTO v_no FROM public.ledger_entry l
       WHERE {_SERIES} AND l.subject_id = v_other.id AND l.contact_point_id IS NULL {_LAST};
      v_no_at := CASE WHEN v_no.kind IN {_YES} THEN v_no.effective_at
                      ELSE greatest(v_no.effective_at, v_merged_at) END;
      IF v_no.kind IS NOT NULL AND v_entry.kind NOT IN {_YES} THEN
        v_said_at := greatest(v_said_at, v_merged_at);
      END IF;
      IF v_no.kind IS NOT NULL
         AND (v_said_at IS NULL OR v_no_at > v_said_at OR (v_no_at = v_said_at AND v_no.kind NOT IN {_YES})) THEN
        v_entry := v_no; v_said_at := v_no_at;
      END IF;
    END LOOP;
  END IF;
  e_id := v_entry.id; e_kind := v_entry.kind; e_consent_id := v_entry.consent_id;
  e_effective_at := v_entry.effective_at; e_occurred_at := v_entry.occurred_at;
  e_confirmed_at := v_entry.confirmed_at; e_expires_at := v_entry.expires_at;
  e_legal_basis := v_entry.legal_basis; e_grade := v_entry.evidence_grade; e_notice_id := v_entry.notice_id;
  e_language := v_entry.language; e_age_at_least := v_entry.age_at_least; e_by_guardian := v_entry.by_guardian;
"""  # noqa: S608 - made of the constants of this file alone

# What is looked for only where it can matter.
_RARE: Final = f"""
  e_is_recalled := 'recalls' = ANY (p_looks_for) AND e_kind IN {_YES} AND EXISTS (
    SELECT FROM public.revocation x
     WHERE x.controller_id = p_controller AND (v_limit IS NULL OR x.recorded_at <= v_limit)
       AND v_entry.recorded_at <= x.recorded_until
       AND (x.recorded_from IS NULL OR v_entry.recorded_at >= x.recorded_from)
       AND (x.form_id IS NULL OR x.form_id = v_entry.form_id)
       AND (x.form_version IS NULL OR x.form_version = v_entry.form_version)
       AND (x.api_key_id IS NULL OR x.api_key_id = v_entry.api_key_id)
       AND (x.import_label IS NULL OR x.import_label = v_entry.import_label));
  s_other_point_given := false;
  s_request_waits := false;
  IF e_id IS NULL THEN
    IF p_reaches IS NOT NULL AND v_members IS NOT NULL THEN
      SELECT l.kind IN {_YES} INTO s_other_point_given FROM public.ledger_entry l
       WHERE {_SERIES} AND l.subject_id = ANY (v_members) {_LAST};
      s_other_point_given := coalesce(s_other_point_given, false);
    END IF;
    IF p_blind IS NOT NULL THEN
      s_request_waits := EXISTS (
        SELECT FROM public.signup_request q
          JOIN public.requested_consent b ON b.controller_id = p_controller AND b.request_id = q.id
         WHERE q.controller_id = p_controller AND (q.email_index = p_blind OR q.phone_index = p_blind)
           AND q.sealed IS NOT NULL AND q.created_at <= p_at AND q.expires_at > p_at AND q.replaced_at IS NULL
           AND b.purpose_id = p_purpose AND b.channel = p_channel
           AND b.completed_at IS NULL AND b.cancelled_at IS NULL);
    END IF;
  END IF;
  IF 'other_bases' = ANY (p_looks_for) AND s_subject_id IS NOT NULL THEN
    SELECT jsonb_build_object(
      'is_company', (SELECT f.kind = 'company' FROM public.recipient_kind_fact f
                      WHERE f.controller_id = p_controller AND f.contact_point_id = s_point_id
                        AND (v_limit IS NULL OR f.recorded_at <= v_limit)
                      ORDER BY f.recorded_at DESC LIMIT 1),
      'relations', (SELECT jsonb_agg(to_jsonb(f)) FROM (
                      SELECT DISTINCT ON (c.relation, c.product_category) c.relation, c.sold_at, c.product_category,
                             c.received_at_sale, c.opt_out_offered, c.active_until, c.recorded_at
                        FROM public.customer_relation c
                       WHERE c.controller_id = p_controller AND c.contact_point_id = s_point_id
                         AND c.sold_at <= p_at AND (v_limit IS NULL OR c.recorded_at <= v_limit)
                       ORDER BY c.relation, c.product_category, c.recorded_at DESC, c.id DESC) f),
      'match', (SELECT jsonb_build_object('reserved', w.reserved, 'reserved_charity', w.reserved_charity,
                                          'is_certain', w.is_certain)
                  FROM public.reservation_match w
                 WHERE w.controller_id = p_controller AND w.contact_point_id = s_point_id AND w.wash_id = p_wash),
      'notices', (SELECT jsonb_agg(DISTINCT d.notice) FROM public.notice_delivery d
                   WHERE d.controller_id = p_controller AND d.subject_id = ANY (v_members)
                     AND d.delivered_at <= p_at AND (v_limit IS NULL OR d.recorded_at <= v_limit)))
      INTO s_more;
  END IF;
"""  # noqa: S608 - made of the constants of this file alone

_PERSON: Final = _WHO + _STOPS + _ENTRY + _RARE

_CHECK_PERSON: Final = f"""
CREATE FUNCTION check_person({_QUESTION}, {_ABOUT}, {_out(_FACTS)})
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
{_DECLARE}
BEGIN
{_PERSON}
END $$"""

# Most of those who are asked about are plain: one holder of the address, an act of theirs, and nothing against it.
# One statement tells, where the others would cost a start and an end each.
_PLAIN: Final = f"""
  IF p_subject IS NULL AND p_external IS NULL AND p_until IS NULL AND p_known IS NULL THEN
    SELECT p_version IS NULL OR v.version = p_version, c.subject_id, c.id, c.holder_from, e.id, e.kind, e.consent_id,
           e.effective_at, e.occurred_at, e.confirmed_at, e.expires_at, e.legal_basis, e.evidence_grade, e.notice_id,
           e.language, e.age_at_least, e.by_guardian,
           e.id IS NOT NULL AND c.holder_until IS NULL
             AND NOT EXISTS (SELECT FROM public.contact_point d WHERE d.controller_id = p_controller
                                AND d.blind_index = p_blind AND d.kind = p_kind AND d.id <> c.id)
             AND NOT EXISTS (SELECT FROM public.suppression s
                              WHERE s.controller_id = p_controller AND s.address_hash = p_suppression)
             AND NOT EXISTS (SELECT FROM public.objection o
                              WHERE o.controller_id = p_controller AND o.subject_id = c.subject_id)
             AND NOT EXISTS (SELECT FROM public.restriction_fact f
                              WHERE f.controller_id = p_controller AND f.subject_id = c.subject_id)
             AND (NOT 'merges' = ANY (p_looks_for) OR NOT EXISTS (
               SELECT FROM public.subject_merge m WHERE m.controller_id = p_controller
                  AND (m.duplicate_id = c.subject_id OR m.survivor_id = c.subject_id)))
             AND (NOT 'recalls' = ANY (p_looks_for) OR e.kind NOT IN {_YES} OR NOT EXISTS (
               SELECT FROM public.revocation x
                WHERE x.controller_id = p_controller AND e.recorded_at <= x.recorded_until))
      INTO version_stands, s_subject_id, s_point_id, s_point_since, e_id, e_kind, e_consent_id,
           e_effective_at, e_occurred_at, e_confirmed_at, e_expires_at, e_legal_basis, e_grade, e_notice_id,
           e_language, e_age_at_least, e_by_guardian, v_fits
      FROM public.registry_version v
      LEFT JOIN public.contact_point c
        ON c.controller_id = p_controller AND c.blind_index = p_blind AND c.kind = p_kind
      LEFT JOIN LATERAL (
        SELECT l.* FROM public.ledger_entry l
         WHERE l.controller_id = p_controller AND l.subject_id = c.subject_id AND l.purpose_id = p_purpose
           AND l.channel = p_channel
           AND l.contact_point_id IS NOT DISTINCT FROM CASE WHEN p_reaches IS NOT NULL THEN c.id END {_LAST}) e ON true
     WHERE v.controller_id = p_controller LIMIT 1;
    IF version_stands IS TRUE AND v_fits THEN
      s_restricted := false; e_is_recalled := false; s_other_point_given := false; s_request_waits := false;
      RETURN;
    END IF;
  END IF;
"""  # noqa: S608 - made of the constants of this file alone

_CHECK_FACTS: Final = f"""
CREATE FUNCTION check_facts(p_version uuid, {_QUESTION}, {_ABOUT}, OUT version_stands boolean, {_out(_FACTS)})
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
{_DECLARE}
BEGIN
  PERFORM set_config('app.controller', p_controller::text, true);
{_PLAIN}
  SELECT p_version IS NULL OR v.version = p_version INTO version_stands
    FROM public.registry_version v WHERE v.controller_id = p_controller;
  IF version_stands IS NOT TRUE THEN
    version_stands := false;
    RETURN;
  END IF;
  s_point_id := NULL; s_point_since := NULL; v_fits := NULL;
{_PERSON}
END $$"""  # noqa: S608 - made of the constants of this file alone

_ASKED_TYPES: Final = "uuid, uuid, text, text, timestamptz, timestamptz, timestamptz, uuid, text[]"
_ABOUT_TYPES: Final = "uuid, bytea, text, bytea, text, bytea"
_FUNCTIONS: Final = (
    "merged_with(uuid, uuid, timestamptz)",
    f"check_person({_ASKED_TYPES}, {_ABOUT_TYPES})",
    f"check_facts(uuid, {_ASKED_TYPES}, {_ABOUT_TYPES})",
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    roles = op.get_context().config.attributes["roles"]
    op.create_table(
        "registry_version",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", name=op.f("pk_registry_version")),
    )
    op.execute("INSERT INTO registry_version SELECT controller_id, gen_random_uuid() FROM controller_directory")
    tenancy.isolate(op.get_bind(), "registry_version", to=roles.app, grants="SELECT")
    op.execute(_RENEW)
    op.execute("REVOKE ALL ON FUNCTION renew_registry_version() FROM PUBLIC")
    for table in _WATCHED:
        op.execute(
            f"CREATE TRIGGER renews_registry_version AFTER INSERT OR UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION renew_registry_version()"
        )
        # Rows that arrive by replication, or past all other triggers, are changes too.
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER renews_registry_version")
    for statement in (_MERGED_WITH, _CHECK_PERSON, _CHECK_FACTS):
        op.execute(statement)
    for name in _FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")
        op.execute(f'GRANT EXECUTE ON FUNCTION {name} TO "{roles.app}"')


def downgrade() -> None:
    for name in reversed(_FUNCTIONS):
        op.execute(f"DROP FUNCTION {name}")
    for table in _WATCHED:
        op.execute(f"DROP TRIGGER renews_registry_version ON {table}")
    op.execute("DROP FUNCTION renew_registry_version()")
    op.drop_table("registry_version")
