"""Indices for metrics: ended jobs and attempts, and deliveries by event and state."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_CLOSED = sa.text("closed_at IS NOT NULL")
_COMPLETED = sa.text("completed_at IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_jobs_closed",
        "jobs",
        ["closed_at", "kind", "definition", "state", "owner", "created_at", "started_at", "id"],
        sqlite_where=_CLOSED,
        postgresql_where=_CLOSED,
    )
    op.create_index(
        "ix_jobs_owner_closed",
        "jobs",
        ["owner", "closed_at"],
        sqlite_where=_CLOSED,
        postgresql_where=_CLOSED,
    )
    op.create_index(
        "ix_attempts_agent_completed",
        "attempts",
        [
            "agent",
            "completed_at",
            "status",
            "owner",
            "started_at",
            "prompt_tokens",
            "completion_tokens",
            "cost",
        ],
        sqlite_where=_COMPLETED,
        postgresql_where=_COMPLETED,
    )
    op.create_index(
        "ix_attempts_completed",
        "attempts",
        ["completed_at"],
        sqlite_where=_COMPLETED,
        postgresql_where=_COMPLETED,
    )
    op.create_index("ix_deliveries_event", "deliveries", ["event", "state"])
    op.create_index("ix_delivery_attempts_verdict", "delivery_attempts", ["verdict"])


def downgrade() -> None:
    op.drop_index("ix_delivery_attempts_verdict", "delivery_attempts")
    op.drop_index("ix_deliveries_event", "deliveries")
    op.drop_index("ix_attempts_completed", "attempts")
    op.drop_index("ix_attempts_agent_completed", "attempts")
    op.drop_index("ix_jobs_owner_closed", "jobs")
    op.drop_index("ix_jobs_closed", "jobs")
