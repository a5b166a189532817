"""Whom the open questions of a job are restricted to, so that these people find the job."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_ASKS_SOME = sa.text("reason_people IS NOT NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("reason_people", sa.String()))
    op.create_index(
        "ix_jobs_reason_people",
        "jobs",
        ["created_at", "id"],
        sqlite_where=_ASKS_SOME,
        postgresql_where=_ASKS_SOME,
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_reason_people", "jobs")
    op.drop_column("jobs", "reason_people")
