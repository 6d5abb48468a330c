"""What an audit asked names the exchange whose prompt it asked again, so that both go together.

A row's digest takes it in where there is one, so the seals of the rows of before still hold. Copies
of before stay without: `bias_audit_pairs` says where they came from.
"""

from __future__ import annotations

from alembic import op

revision = "audit_copies"
down_revision = "whole_hours"
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
                    ELSE jsonb_build_array(e.language, e.groups) END
            || CASE WHEN e.conversation IS NULL AND e.assigned_model IS NULL THEN '[]'::jsonb
                    ELSE jsonb_build_array(e.conversation, e.assigned_model) END{more})::text,
            'UTF8'))
    $$
"""
_COPIED = """
            || CASE WHEN e.source_id IS NULL THEN '[]'::jsonb
                    ELSE jsonb_build_array(e.source_id) END"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE exchanges ADD COLUMN source_id uuid")
    op.execute(
        "COMMENT ON COLUMN exchanges.source_id IS"
        " 'The exchange whose prompt an audit asks again in this one'"
    )
    op.execute(_DIGEST.format(more=_COPIED))


def downgrade() -> None:
    """Forget where copies came from; the seals of rows that had it no longer hold."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(_DIGEST.format(more=""))
    op.execute("ALTER TABLE exchanges DROP COLUMN source_id")
