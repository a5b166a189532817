"""Labels of jobs, to filter lists by. Jobs that earlier releases accepted have none in the index."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_HAS_LABELS = sa.text("labels IS NOT NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("labels", sa.String()))
    op.create_index(
        "ix_jobs_labels",
        "jobs",
        ["created_at", "id", "owner", "state", "kind", "definition", "labels"],
        sqlite_where=_HAS_LABELS,
        postgresql_where=_HAS_LABELS,
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_labels", "jobs")
    op.drop_column("jobs", "labels")
