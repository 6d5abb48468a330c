"""What a rollout drew for an exchange: which version, for which conversation.

The test of a rollout compares by what was drawn, not by who answered: where the candidate failed
and the champion stepped in, the failure is still the candidate's. A row's digest takes both in
where there are any, so the seals of the rows of before still hold.
"""

from __future__ import annotations

from alembic import op

revision = "assignments"
down_revision = "reports"
branch_labels = None
depends_on = None

_DIGEST = """
    CREATE OR REPLACE FUNCTION exchange_digest(e exchanges) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT sha256(convert_to((jsonb_build_array(
            e.id, (extract(epoch FROM e.started_at) * 1000000)::bigint,
            (extract(epoch FROM e.recorded_at) * 1000000)::bigint, e.protocol, e.route, e.tenant,
            e.key_id, e.stream, e.gen_ai_operation_name, e.gen_ai_request_model,
            e.gen_ai_response_model, e.gen_ai_usage_input_tokens, e.gen_ai_usage_output_tokens,
            e.gen_ai_response_finish_reasons, e.decision, e.failure_code, e.failure_message,
            e.failure_status, e.abandoned, e.policy_version, e.template_hash, e.upstream,
            e.upstream_model, e.attempts, encode(float8send(e.duration_seconds), 'hex'), e.seconds,
            e.citations, e.checks, e.reasons, e.bytes, e.xact,
            encode(exchange_text_digest(e), 'hex'))
            || CASE WHEN e.language IS NULL AND e.groups IS NULL THEN '[]'::jsonb
                    ELSE jsonb_build_array(e.language, e.groups) END{more})::text, 'UTF8'))
    $$
"""
_DRAWN = """
            || CASE WHEN e.conversation IS NULL AND e.assigned_model IS NULL THEN '[]'::jsonb
                    ELSE jsonb_build_array(e.conversation, e.assigned_model) END"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        "ALTER TABLE exchanges ADD COLUMN conversation bigint, ADD COLUMN assigned_model text"
    )
    op.execute("COMMENT ON COLUMN exchanges.conversation IS 'Its keyed hash, during a rollout'")
    op.execute("COMMENT ON COLUMN exchanges.assigned_model IS 'What the rollout drew for it'")
    op.execute(_DIGEST.format(more=_DRAWN))


def downgrade() -> None:
    """Forget both; the seals of rows that had them no longer hold."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(_DIGEST.format(more=""))
    op.execute("ALTER TABLE exchanges DROP COLUMN conversation, DROP COLUMN assigned_model")
