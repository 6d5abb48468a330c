"""Log spools: how far each spool of the exchange log has been written.

A writer moves `position` in the statement that writes the records, so that both happen or neither.
The row goes when its spool is empty and gone; one that lost records stays, as a witness.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """
        CREATE TABLE log_spools (
            id uuid CONSTRAINT log_spools_pkey PRIMARY KEY,
            position bigint NOT NULL,
            lost bigint NOT NULL DEFAULT 0,
            updated_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute("COMMENT ON COLUMN log_spools.position IS 'Number of the last record written'")
    op.execute("COMMENT ON COLUMN log_spools.lost IS 'Records that were damaged in their segments'")


def downgrade() -> None:
    """Drop the positions; what then still lies in a spool is read again, and found written."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE log_spools")
