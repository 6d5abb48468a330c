"""When people were first told of an alert: from then on nobody's answer is waited for."""

from __future__ import annotations

from alembic import op

revision = "alerts_told"
down_revision = "assignments"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE alerts ADD COLUMN told_at timestamptz")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE alerts DROP COLUMN told_at")
