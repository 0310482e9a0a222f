"""How many mails an address gets across all controllers, answered by a function that tells nothing else."""

from alembic import op

from consent_service.db import tenancy

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# The table is nobody's but the owner's, so whoever calls this learns when an address may be mailed again, and neither
# who was mailed nor by whom. Hours and not days: a day is 23 hours long once a year.
ADMIT = """
CREATE FUNCTION admit_platform_mail(mail uuid, address bytea, at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    third timestamptz;
    tenth timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('platform ' || encode(address, 'hex'), 0));
    SELECT admitted_at INTO third FROM public.platform_mail
        WHERE address_hash = address AND id <> mail AND admitted_at > at - interval '24 hours'
        ORDER BY admitted_at DESC OFFSET 2 LIMIT 1;
    SELECT admitted_at INTO tenth FROM public.platform_mail
        WHERE address_hash = address AND id <> mail AND admitted_at > at - interval '720 hours'
        ORDER BY admitted_at DESC OFFSET 9 LIMIT 1;
    IF third IS NOT NULL OR tenth IS NOT NULL THEN
        RETURN greatest(third + interval '24 hours', tenth + interval '720 hours');
    END IF;
    INSERT INTO public.platform_mail (id, address_hash, admitted_at) VALUES (mail, address, at)
        ON CONFLICT (id) DO UPDATE SET address_hash = EXCLUDED.address_hash, admitted_at = EXCLUDED.admitted_at;
    RETURN NULL;
END $$
"""

PURGE = """
CREATE FUNCTION purge_platform_mails(before timestamptz, most integer) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH old AS MATERIALIZED (SELECT id FROM public.platform_mail WHERE admitted_at <= before LIMIT most),
        gone AS (DELETE FROM public.platform_mail WHERE id IN (SELECT id FROM old) RETURNING 1)
    SELECT count(*)::integer FROM gone
$$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    roles = op.get_context().config.attributes["roles"]
    op.execute(ADMIT)
    op.execute(PURGE)
    op.execute("REVOKE ALL ON FUNCTION admit_platform_mail(uuid, bytea, timestamptz) FROM PUBLIC")
    op.execute("REVOKE ALL ON FUNCTION purge_platform_mails(timestamptz, integer) FROM PUBLIC")
    op.execute(f'GRANT EXECUTE ON FUNCTION admit_platform_mail(uuid, bytea, timestamptz) TO "{roles.app}"')
    op.execute(f'GRANT EXECUTE ON FUNCTION purge_platform_mails(timestamptz, integer) TO "{roles.worker}"')
    # A message keeps its one place under the caps, and the place moves with the last try.
    tenancy.grant(op.get_bind(), "admitted_mail", to=roles.app, grants="UPDATE (admitted_at)")


def downgrade() -> None:
    roles = op.get_context().config.attributes["roles"]
    op.execute(f'REVOKE UPDATE (admitted_at) ON admitted_mail FROM "{roles.app}"')
    op.execute("DROP FUNCTION purge_platform_mails(timestamptz, integer)")
    op.execute("DROP FUNCTION admit_platform_mail(uuid, bytea, timestamptz)")
