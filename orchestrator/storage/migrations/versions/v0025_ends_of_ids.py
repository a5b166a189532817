"""An index of the ends of ids, for a search by the last characters of an id."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_id_end", "jobs", [sa.text("substr(id, length(id) - 5)")])


def downgrade() -> None:
    op.drop_index("ix_jobs_id_end", "jobs")
