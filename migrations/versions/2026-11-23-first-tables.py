"""First tables: the exchange log, policies, templates, keys, documents, and the monitor's runs.

Plain SQL, so that what stands here stays what was run, also when `tables.py` moves on.
`exchanges` is partitioned by day; its default partition takes what no day holds, so that no row is
ever refused. The trigger tells every proxy at once when a key changes.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE exchanges (
        id uuid NOT NULL,
        started_at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT now(),
        protocol text NOT NULL,
        route text NOT NULL,
        tenant text NOT NULL,
        key_id text,
        stream boolean NOT NULL,
        gen_ai_operation_name text NOT NULL,
        gen_ai_request_model text NOT NULL,
        gen_ai_response_model text,
        gen_ai_usage_input_tokens bigint,
        gen_ai_usage_output_tokens bigint,
        gen_ai_response_finish_reasons text[],
        decision text NOT NULL,
        failure_code text,
        failure_message text,
        failure_status integer,
        abandoned boolean NOT NULL,
        policy_version text NOT NULL,
        template_hash text,
        upstream text,
        upstream_model text,
        attempts integer NOT NULL,
        duration_seconds double precision,
        seconds jsonb NOT NULL,
        request jsonb NOT NULL,
        prompt jsonb,
        completion jsonb,
        answer jsonb,
        inputs jsonb NOT NULL,
        outputs jsonb NOT NULL,
        passages jsonb NOT NULL,
        citations jsonb NOT NULL,
        checks jsonb NOT NULL,
        reasons jsonb NOT NULL,
        uncovered jsonb NOT NULL,
        bytes integer NOT NULL,
        CONSTRAINT exchanges_pkey PRIMARY KEY (id, started_at)
    ) PARTITION BY RANGE (started_at)
    """,
    "CREATE INDEX exchanges_started_at_id_idx ON exchanges (started_at, id)",
    "CREATE INDEX exchanges_decision_started_at_id_idx ON exchanges (decision, started_at, id)",
    "CREATE INDEX exchanges_route_started_at_id_idx ON exchanges (route, started_at, id)",
    "CREATE TABLE exchanges_default PARTITION OF exchanges DEFAULT",
    "COMMENT ON COLUMN exchanges.id IS 'UUIDv7'",
    "COMMENT ON COLUMN exchanges.decision IS 'allow, flag, redact or block'",
    "COMMENT ON COLUMN exchanges.policy_version IS 'name@version'",
    "COMMENT ON COLUMN exchanges.upstream_model IS 'model@version'",
    "COMMENT ON COLUMN exchanges.duration_seconds IS '`total` of seconds, or their sum'",
    "COMMENT ON COLUMN exchanges.bytes IS 'Size of the record as JSON'",
    """
    CREATE TABLE rejected_records (
        sha256 bytea CONSTRAINT rejected_records_pkey PRIMARY KEY,
        rejected_at timestamptz NOT NULL DEFAULT now(),
        error text NOT NULL,
        record bytea NOT NULL
    )
    """,
    "COMMENT ON COLUMN rejected_records.record IS 'The line that Postgres refused'",
    """
    CREATE TABLE policies (
        hash text CONSTRAINT policies_pkey PRIMARY KEY,
        name text NOT NULL,
        source text NOT NULL,
        first_seen timestamptz NOT NULL DEFAULT now()
    )
    """,
    "COMMENT ON COLUMN policies.source IS 'The YAML as it was read'",
    """
    CREATE TABLE templates (
        hash text CONSTRAINT templates_pkey PRIMARY KEY,
        name text NOT NULL,
        source text NOT NULL,
        first_seen timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE api_keys (
        id text CONSTRAINT api_keys_pkey PRIMARY KEY,
        digest bytea NOT NULL,
        name text NOT NULL,
        tenant text NOT NULL DEFAULT 'default',
        scopes text[] NOT NULL,
        routes text[],
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz,
        revoked_at timestamptz
    )
    """,
    "COMMENT ON COLUMN api_keys.digest IS 'HMAC-SHA256 of the whole token'",
    "COMMENT ON COLUMN api_keys.routes IS 'NULL: all'",
    """
    CREATE FUNCTION tell_of_key_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('banister_keys', '');
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER api_keys_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_key_change()
    """,
    """
    CREATE TABLE documents (
        id uuid DEFAULT gen_random_uuid() CONSTRAINT documents_pkey PRIMARY KEY,
        collection text NOT NULL,
        title text NOT NULL,
        source text NOT NULL,
        sha256 text NOT NULL,
        media_type text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT documents_collection_source_key UNIQUE (collection, source)
    )
    """,
    """
    CREATE TABLE passages (
        id uuid DEFAULT gen_random_uuid() CONSTRAINT passages_pkey PRIMARY KEY,
        document_id uuid NOT NULL
            CONSTRAINT passages_document_id_fkey REFERENCES documents ON DELETE CASCADE,
        collection text NOT NULL,
        number integer NOT NULL,
        start_offset integer NOT NULL,
        end_offset integer NOT NULL,
        text text NOT NULL,
        embedding vector(384) NOT NULL,
        search tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
        CONSTRAINT passages_document_id_number_key UNIQUE (document_id, number)
    )
    """,
    "CREATE INDEX passages_collection_idx ON passages (collection)",
    "CREATE INDEX passages_embedding_idx ON passages USING hnsw (embedding vector_cosine_ops)",
    "CREATE INDEX passages_search_idx ON passages USING gin (search)",
    """
    CREATE TABLE monitor_runs (
        id uuid DEFAULT gen_random_uuid() CONSTRAINT monitor_runs_pkey PRIMARY KEY,
        job text NOT NULL,
        window_start timestamptz NOT NULL,
        window_end timestamptz NOT NULL,
        status text NOT NULL CONSTRAINT monitor_runs_status_check
            CHECK (status IN ('OK', 'DRIFT', 'NO_DATA', 'FAILED')),
        started_at timestamptz NOT NULL DEFAULT now(),
        finished_at timestamptz,
        result jsonb,
        error text,
        CONSTRAINT monitor_runs_job_window_start_window_end_key
            UNIQUE (job, window_start, window_end)
    )
    """,
    """
    CREATE TABLE apscheduler_jobs (
        id varchar(191) CONSTRAINT apscheduler_jobs_pkey PRIMARY KEY,
        next_run_time float(25),
        job_state bytea NOT NULL
    )
    """,
    "CREATE INDEX ix_apscheduler_jobs_next_run_time ON apscheduler_jobs (next_run_time)",
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # Whoever set the database up may have created it, with rights that we do not have.
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop every table; what they held is lost. The extension stays: it may not be ours."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in (
        "apscheduler_jobs",
        "monitor_runs",
        "passages",
        "documents",
        "api_keys",
        "templates",
        "policies",
        "rejected_records",
        "exchanges",
    ):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION tell_of_key_change")
