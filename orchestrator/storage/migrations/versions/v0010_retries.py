"""Jobs that retry other jobs, and the reason why an open job waits."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_IS_RETRY = sa.text("retry_of IS NOT NULL")
_IN_LINE = sa.text("retry_root IS NOT NULL")
_IS_FAILED = sa.text("(state || '') IN ('FAILED', 'TIMEOUT')")
_HAS_REASON = sa.text("reason_code IS NOT NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("retry_of", sa.String()))
    op.add_column("jobs", sa.Column("retry_root", sa.String()))
    op.add_column("jobs", sa.Column("reused_calls", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("reason_code", sa.String(32)))
    op.add_column("jobs", sa.Column("reason_message", sa.String()))
    op.add_column("jobs", sa.Column("reason_since", sa.DateTime(timezone=True)))
    op.add_column("jobs", sa.Column("reason_seen", sa.DateTime(timezone=True)))
    # The reasons of waiting jobs are not recorded yet: clear the last check, so that the reconciler reads every job.
    op.execute("UPDATE jobs SET checked_history = NULL WHERE snapshot IS NULL")
    op.create_index("ix_jobs_retry_of", "jobs", ["retry_of"], sqlite_where=_IS_RETRY, postgresql_where=_IS_RETRY)
    op.create_index(
        "ix_jobs_retry_root",
        "jobs",
        ["retry_root", "state", "created_at"],
        sqlite_where=_IN_LINE,
        postgresql_where=_IN_LINE,
    )
    op.create_index(
        "ix_jobs_failed",
        "jobs",
        ["created_at", "id", "owner", "state", "retry_root", "kind", "definition"],
        sqlite_where=_IS_FAILED,
        postgresql_where=_IS_FAILED,
    )
    op.create_index(
        "ix_jobs_reason",
        "jobs",
        ["reason_code", "created_at", "id", "owner", "state", "kind", "definition"],
        sqlite_where=_HAS_REASON,
        postgresql_where=_HAS_REASON,
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_reason", "jobs")
    op.drop_index("ix_jobs_failed", "jobs")
    op.drop_index("ix_jobs_retry_root", "jobs")
    op.drop_index("ix_jobs_retry_of", "jobs")
    for column in (
        "reason_seen",
        "reason_since",
        "reason_message",
        "reason_code",
        "reused_calls",
        "retry_root",
        "retry_of",
    ):
        op.drop_column("jobs", column)
