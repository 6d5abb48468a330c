"""Counts of the whole log by the hour, and how far they reach as a function that plans can ask.

Labels are no longer counted by the minute, which nobody read.
"""

from __future__ import annotations

from alembic import op

revision = "whole_hours"
down_revision = "count_paths"
branch_labels = None
depends_on = None

# Stable, so the planner asks it before it plans, and knows that few rows lie above: of a subquery
# it believes a third of the log, and makes room for them. Costly, so that no plan asks it row by
# row.
_BORDER = """
CREATE FUNCTION exchange_counts_border() RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 10000 AS $$
BEGIN
    RETURN coalesce((SELECT xact FROM log_progress WHERE job = 'rollups'), 0);
END
$$
"""
_SUMS = ("exchanges", "failed", "abandoned", "reached", "input_tokens", "output_tokens")


def upgrade() -> None:
    """A job of the old program that still runs is refused, so it counts no row by halves."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(_BORDER)
    op.execute("LOCK TABLE exchange_counts, label_counts IN SHARE ROW EXCLUSIVE MODE")
    op.execute("DELETE FROM label_counts WHERE step <> 3600")
    op.execute(
        "ALTER TABLE label_counts ADD CONSTRAINT label_counts_step_check CHECK (step = 3600)"
    )
    op.execute("COMMENT ON COLUMN label_counts.step IS 'Seconds: 3600'")
    counts = "".join(f", {name} bigint NOT NULL" for name in _SUMS)
    op.execute(
        "CREATE TABLE exchange_hours ("
        f" start timestamptz NOT NULL, decision text NOT NULL{counts},"
        " CONSTRAINT exchange_hours_pkey PRIMARY KEY (start, decision))"
    )
    op.execute(
        """
        CREATE TABLE label_hours (
            start timestamptz NOT NULL,
            decision text NOT NULL,
            detector text NOT NULL,
            label text NOT NULL,
            shadow boolean NOT NULL,
            exchanges bigint NOT NULL,
            CONSTRAINT label_hours_pkey PRIMARY KEY (start, decision, detector, label, shadow)
        )
        """
    )
    sums = ", ".join(f"sum({name})" for name in _SUMS)
    op.execute(
        f"INSERT INTO exchange_hours SELECT start, decision, {sums} FROM exchange_counts"  # noqa: S608
        " WHERE step = 3600 GROUP BY 1, 2"
    )
    op.execute(
        "INSERT INTO label_hours SELECT start, decision, detector, label, shadow, sum(exchanges)"
        " FROM label_counts GROUP BY 1, 2, 3, 4, 5"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION exchange_counts_border()")
    op.execute("DROP TABLE label_hours")
    op.execute("DROP TABLE exchange_hours")
    op.execute("ALTER TABLE label_counts DROP CONSTRAINT label_counts_step_check")
    op.execute("COMMENT ON COLUMN label_counts.step IS 'Seconds: 60 or 3600'")
