"""Upkeep of the exchange log: seals, search, counts, holds, erasures, and a role that only appends.

`xact` says which transaction wrote a row. All rows below the oldest transaction still running are
there for good, so the jobs go through the log once, in order, and miss no late row. Constant
defaults first, so that no row that exists is rewritten; the rows of before share `xact` 0.
Indexes are built while writers wait: on a log of millions of rows, migrate in a quiet hour.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NOTHING = "00000000-0000-0000-0000-000000000000"

COLUMNS = (
    f"""
    ALTER TABLE exchanges
        ADD COLUMN xact bigint NOT NULL DEFAULT 0,
        ADD COLUMN salt uuid NOT NULL DEFAULT '{NOTHING}',
        ADD COLUMN erased_at timestamptz,
        ADD COLUMN erasure uuid,
        ADD COLUMN text_digest bytea
    """,
    """
    ALTER TABLE exchanges
        ALTER COLUMN xact SET DEFAULT (pg_current_xact_id()::text)::bigint,
        ALTER COLUMN salt SET DEFAULT gen_random_uuid()
    """,
    "COMMENT ON COLUMN exchanges.xact IS 'The transaction that wrote it'",
    "COMMENT ON COLUMN exchanges.salt IS 'Keeps text_digest from being guessed; erased with it'",
    "COMMENT ON COLUMN exchanges.erasure IS 'Which erasure took its texts'",
    "COMMENT ON COLUMN exchanges.text_digest IS 'What the erased texts hashed to'",
)

FUNCTIONS = (
    # Times as microseconds, floats as bytes: no setting changes them.
    """
    CREATE FUNCTION exchange_text_digest(e exchanges) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT coalesce(e.text_digest, sha256(convert_to(jsonb_build_array(
            e.salt, e.request, e.prompt, e.completion, e.answer, e.inputs, e.outputs, e.passages,
            e.uncovered)::text, 'UTF8')))
    $$
    """,
    """
    CREATE FUNCTION exchange_digest(e exchanges) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT sha256(convert_to(jsonb_build_array(
            e.id, (extract(epoch FROM e.started_at) * 1000000)::bigint,
            (extract(epoch FROM e.recorded_at) * 1000000)::bigint, e.protocol, e.route, e.tenant,
            e.key_id, e.stream, e.gen_ai_operation_name, e.gen_ai_request_model,
            e.gen_ai_response_model, e.gen_ai_usage_input_tokens, e.gen_ai_usage_output_tokens,
            e.gen_ai_response_finish_reasons, e.decision, e.failure_code, e.failure_message,
            e.failure_status, e.abandoned, e.policy_version, e.template_hash, e.upstream,
            e.upstream_model, e.attempts, encode(float8send(e.duration_seconds), 'hex'), e.seconds,
            e.citations, e.checks, e.reasons, e.bytes, e.xact,
            encode(exchange_text_digest(e), 'hex'))::text, 'UTF8'))
    $$
    """,
    # The caller's own name for its user; hashed, because an index takes no long text.
    """
    CREATE FUNCTION exchange_end_user(request jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT md5(coalesce(request->>'safety_identifier', request->>'user',
                            request#>>'{metadata,user_id}'))
    $$
    """,
    # At most 100,000 characters: a tsvector ends at 1 MB. Of the input the latest are kept. What
    # the parser would take for tags, paths and addresses is parted: attacks are looked for, too.
    r"""
    CREATE FUNCTION exchange_search(inputs jsonb, outputs jsonb) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT to_tsvector('simple'::regconfig, translate(concat_ws(' ',
            right((SELECT string_agg(segment->>'text', ' ' ORDER BY n)
                   FROM jsonb_array_elements(inputs) WITH ORDINALITY AS i (segment, n)), 50000),
            left((SELECT string_agg(segment->>'text', ' ' ORDER BY n)
                  FROM jsonb_array_elements(outputs) WITH ORDINALITY AS o (segment, n)), 50000)),
            E'<>/\\=&', '      '))
    $$
    """,
)

INDEXES = (
    "CREATE INDEX exchanges_xact_idx ON exchanges (xact)",
    "CREATE INDEX exchanges_tenant_started_at_id_idx ON exchanges (tenant, started_at, id)",
    # A name from a caller may be longer than an index takes.
    """
    CREATE INDEX exchanges_model_started_at_id_idx
    ON exchanges ("left"(gen_ai_request_model, 200), started_at, id)
    """,
    """
    CREATE INDEX exchanges_end_user_idx ON exchanges (exchange_end_user(request))
    WHERE exchange_end_user(request) IS NOT NULL
    """,
)

TABLES = (
    """
    CREATE TABLE exchange_texts (
        started_at timestamptz NOT NULL,
        id uuid NOT NULL,
        search tsvector NOT NULL,
        CONSTRAINT exchange_texts_pkey PRIMARY KEY (started_at, id)
    ) PARTITION BY RANGE (started_at)
    """,
    "CREATE INDEX exchange_texts_search_idx ON exchange_texts USING gin (search)",
    """
    CREATE TABLE exchange_counts (
        step integer NOT NULL,
        start timestamptz NOT NULL,
        route text NOT NULL,
        model text NOT NULL,
        tenant text NOT NULL,
        decision text NOT NULL,
        exchanges bigint NOT NULL,
        failed bigint NOT NULL,
        abandoned bigint NOT NULL,
        reached bigint NOT NULL,
        input_tokens bigint NOT NULL,
        output_tokens bigint NOT NULL,
        CONSTRAINT exchange_counts_pkey PRIMARY KEY (step, start, route, model, tenant, decision)
    )
    """,
    """
    CREATE TABLE label_counts (
        step integer NOT NULL,
        start timestamptz NOT NULL,
        route text NOT NULL,
        model text NOT NULL,
        tenant text NOT NULL,
        decision text NOT NULL,
        detector text NOT NULL,
        label text NOT NULL,
        shadow boolean NOT NULL,
        exchanges bigint NOT NULL,
        CONSTRAINT label_counts_pkey
            PRIMARY KEY (step, start, route, model, tenant, decision, detector, label, shadow)
    )
    """,
    """
    CREATE TABLE duration_counts (
        step integer NOT NULL,
        start timestamptz NOT NULL,
        bucket smallint NOT NULL,
        exchanges bigint NOT NULL,
        CONSTRAINT duration_counts_pkey PRIMARY KEY (step, start, bucket)
    )
    """,
    *(
        f"COMMENT ON COLUMN {table}.step IS 'Seconds: 60 or 3600'"
        for table in ("exchange_counts", "label_counts", "duration_counts")
    ),
    "COMMENT ON COLUMN duration_counts.bucket IS 'Whole part of 20 × ln(milliseconds)'",
    """
    CREATE TABLE log_progress (
        job text CONSTRAINT log_progress_pkey PRIMARY KEY,
        xact bigint NOT NULL DEFAULT 0
    )
    """,
    "COMMENT ON COLUMN log_progress.xact IS 'Rows of older transactions are done'",
    """
    CREATE TABLE exchange_seals (
        day date NOT NULL,
        number integer NOT NULL,
        kind text NOT NULL CONSTRAINT exchange_seals_kind_check
            CHECK (kind IN ('rows', 'erasure', 'dropped')),
        xact_from bigint NOT NULL,
        xact_to bigint NOT NULL,
        rows integer NOT NULL,
        leaves bytea NOT NULL,
        digest bytea NOT NULL,
        previous bytea NOT NULL,
        hash bytea NOT NULL,
        keyed boolean NOT NULL,
        sealed_at timestamptz NOT NULL,
        note text,
        CONSTRAINT exchange_seals_pkey PRIMARY KEY (day, number)
    )
    """,
    "COMMENT ON COLUMN exchange_seals.leaves IS '24 bytes a row: its id and 8 of its digest'",
    """
    CREATE TABLE holds (
        id uuid DEFAULT gen_random_uuid() CONSTRAINT holds_pkey PRIMARY KEY,
        kind text NOT NULL CONSTRAINT holds_kind_check CHECK (kind IN ('legal', 'evidence')),
        tenant text,
        end_user text,
        exchange_id uuid,
        since timestamptz,
        until timestamptz,
        reason text NOT NULL,
        made_at timestamptz NOT NULL DEFAULT now(),
        made_by text NOT NULL,
        released_at timestamptz
    )
    """,
    "COMMENT ON COLUMN holds.end_user IS 'exchange_end_user, or that of the pseudonym'",
    """
    CREATE TABLE erasures (
        id uuid DEFAULT gen_random_uuid() CONSTRAINT erasures_pkey PRIMARY KEY,
        kind text NOT NULL CONSTRAINT erasures_kind_check CHECK (kind IN ('request', 'retention')),
        tenant text,
        route text,
        end_users text[],
        until timestamptz NOT NULL,
        requested_at timestamptz NOT NULL,
        requested_by text NOT NULL,
        reason text NOT NULL,
        erased bigint NOT NULL DEFAULT 0,
        held bigint NOT NULL DEFAULT 0
    )
    """,
    "COMMENT ON COLUMN erasures.end_users IS 'exchange_end_user of the name and its pseudonym'",
)

# A managed server may not let us make roles; docs/privacy.md then has the statements to run.
ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'banister_writer') THEN
        CREATE ROLE banister_writer NOLOGIN;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN RAISE NOTICE 'banister_writer was not made';
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$
"""
GRANTS = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'banister_writer') THEN
        GRANT INSERT ON exchanges, rejected_records, policies, templates TO banister_writer;
        GRANT SELECT ON api_keys, documents, passages TO banister_writer;
        GRANT SELECT, INSERT, UPDATE, DELETE ON log_spools TO banister_writer;
    END IF;
END
$$
"""
REVOKES = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'banister_writer') THEN
        REVOKE ALL ON exchanges, rejected_records, policies, templates, log_spools, api_keys,
            documents, passages FROM banister_writer;
    END IF;
END
$$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in (*COLUMNS, *FUNCTIONS, *INDEXES, *TABLES, ROLE, GRANTS):
        op.execute(statement)


def downgrade() -> None:
    """Forget seals, counts, holds and erasures; every exchange stays, erased ones without text."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(REVOKES)
    for table in (
        "erasures",
        "holds",
        "exchange_seals",
        "log_progress",
        "duration_counts",
        "label_counts",
        "exchange_counts",
        "exchange_texts",
    ):
        op.execute(f"DROP TABLE {table}")
    for index in ("end_user", "model_started_at_id", "tenant_started_at_id", "xact"):
        op.execute(f"DROP INDEX exchanges_{index}_idx")
    op.execute("DROP FUNCTION exchange_search(jsonb, jsonb)")
    op.execute("DROP FUNCTION exchange_end_user(jsonb)")
    op.execute("DROP FUNCTION exchange_digest(exchanges)")
    op.execute("DROP FUNCTION exchange_text_digest(exchanges)")
    op.execute(
        "ALTER TABLE exchanges DROP COLUMN xact, DROP COLUMN salt, DROP COLUMN erased_at,"
        " DROP COLUMN erasure, DROP COLUMN text_digest"
    )
