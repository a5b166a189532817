"""An ended job may run again: an operator reset it in Temporal, or started it again under the same id."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("reopened_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("jobs", "reopened_at")
