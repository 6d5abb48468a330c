"""People: what reviewers judge, who may log in, and what each of them did and looked at.

`audit_log` is append-only by a trigger: whoever holds the dashboards' connection can add to it, and
can neither change nor take away. `heartbeats` holds one row for each process, so that a page can
say how the proxies are without a way to reach them.
"""

from __future__ import annotations

from alembic import op

revision = "people"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE review_items (
        id uuid CONSTRAINT review_items_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
        exchange_id uuid NOT NULL,
        exchange_started_at timestamptz NOT NULL,
        side text NOT NULL
            CONSTRAINT review_items_side_check CHECK (side IN ('input', 'output')),
        why text NOT NULL CONSTRAINT review_items_why_check
            CHECK (why IN ('random', 'uncertain', 'appeal', 'alert')),
        probability double precision CONSTRAINT review_items_probability_check
            CHECK (probability > 0 AND probability <= 1),
        stratum text,
        window_start timestamptz,
        window_end timestamptz,
        sampled_at timestamptz NOT NULL DEFAULT now(),
        evidence jsonb NOT NULL DEFAULT '{}',
        CONSTRAINT review_items_exchange_id_side_why_key UNIQUE (exchange_id, side, why)
    )
    """,
    "CREATE INDEX review_items_exchange_started_at_idx ON review_items (exchange_started_at)",
    """
    COMMENT ON COLUMN review_items.probability
    IS 'Of being sampled, where chance decided; NULL where it did not'
    """,
    "COMMENT ON COLUMN review_items.stratum IS 'blocked, flagged, near or plain'",
    """
    CREATE TABLE review_labels (
        id uuid CONSTRAINT review_labels_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
        item_id uuid NOT NULL CONSTRAINT review_labels_item_id_fkey
            REFERENCES review_items (id) ON DELETE CASCADE,
        reviewer text NOT NULL,
        harmful boolean,
        labels text[] NOT NULL DEFAULT '{}',
        note text,
        made_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT review_labels_item_id_reviewer_key UNIQUE (item_id, reviewer)
    )
    """,
    "CREATE INDEX review_labels_reviewer_made_at_idx ON review_labels (reviewer, made_at)",
    "COMMENT ON COLUMN review_labels.harmful IS 'NULL: cannot tell'",
    """
    CREATE TABLE review_leases (
        item_id uuid NOT NULL CONSTRAINT review_leases_item_id_fkey
            REFERENCES review_items (id) ON DELETE CASCADE,
        reviewer text NOT NULL,
        until timestamptz NOT NULL,
        CONSTRAINT review_leases_pkey PRIMARY KEY (item_id, reviewer)
    )
    """,
    """
    CREATE TABLE users (
        id uuid CONSTRAINT users_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
        name text NOT NULL CONSTRAINT users_name_key UNIQUE,
        email text,
        password_hash text,
        subject text CONSTRAINT users_subject_key UNIQUE,
        role text NOT NULL
            CONSTRAINT users_role_check CHECK (role IN ('viewer', 'reviewer', 'admin')),
        tenants text[],
        created_at timestamptz NOT NULL DEFAULT now(),
        disabled_at timestamptz
    )
    """,
    "COMMENT ON COLUMN users.password_hash IS 'Argon2id; NULL: no login by password'",
    "COMMENT ON COLUMN users.subject IS 'OpenID Connect: issuer and sub'",
    "COMMENT ON COLUMN users.tenants IS 'NULL: all'",
    """
    CREATE TABLE sessions (
        digest bytea CONSTRAINT sessions_pkey PRIMARY KEY,
        user_id uuid NOT NULL CONSTRAINT sessions_user_id_fkey
            REFERENCES users (id) ON DELETE CASCADE,
        created_at timestamptz NOT NULL DEFAULT now(),
        seen_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        address text
    )
    """,
    "CREATE INDEX sessions_user_id_idx ON sessions (user_id)",
    "COMMENT ON COLUMN sessions.digest IS 'SHA-256 of the cookie''s token'",
    """
    CREATE TABLE login_failures (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT login_failures_pkey PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT now(),
        name text NOT NULL,
        address text NOT NULL
    )
    """,
    "CREATE INDEX login_failures_name_at_idx ON login_failures (name, at)",
    "CREATE INDEX login_failures_address_at_idx ON login_failures (address, at)",
    """
    CREATE TABLE audit_log (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_log_pkey PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT now(),
        who text NOT NULL,
        action text NOT NULL,
        target text NOT NULL DEFAULT '',
        detail jsonb NOT NULL DEFAULT '{}'
    )
    """,
    "CREATE INDEX audit_log_at_idx ON audit_log (at)",
    "CREATE INDEX audit_log_who_at_idx ON audit_log (who, at)",
    "CREATE INDEX audit_log_action_at_idx ON audit_log (action, at)",
    """
    CREATE FUNCTION audit_log_stands() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit log is only added to';
    END
    $$
    """,
    """
    CREATE TRIGGER audit_log_stands BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_stands()
    """,
    """
    CREATE TABLE saved_views (
        id uuid CONSTRAINT saved_views_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
        owner text NOT NULL,
        name text NOT NULL,
        address text NOT NULL,
        made_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT saved_views_owner_name_key UNIQUE (owner, name)
    )
    """,
    "COMMENT ON COLUMN saved_views.address IS 'Path and query of the page'",
    """
    CREATE TABLE heartbeats (
        id uuid CONSTRAINT heartbeats_pkey PRIMARY KEY,
        kind text NOT NULL,
        name text NOT NULL,
        started_at timestamptz NOT NULL,
        seen_at timestamptz NOT NULL DEFAULT now(),
        status jsonb NOT NULL DEFAULT '{}'
    )
    """,
    "COMMENT ON COLUMN heartbeats.id IS 'One for each process'",
    "COMMENT ON COLUMN heartbeats.name IS 'Host and process id'",
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop all of them: labels, users and the audit log are gone for good."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in (
        "heartbeats",
        "saved_views",
        "audit_log",
        "login_failures",
        "sessions",
        "users",
        "review_leases",
        "review_labels",
        "review_items",
    ):
        op.execute(f"DROP TABLE {name}")
    op.execute("DROP FUNCTION audit_log_stands")
