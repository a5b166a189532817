"""The job index: jobs, attempts, artifacts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_jobs()
    _create_attempts()
    _create_artifacts()


def downgrade() -> None:
    op.drop_table("artifacts")
    op.drop_table("attempts")
    op.drop_table("jobs")


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("definition", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("progress", sa.Integer, nullable=False),
        sa.Column("job_input", sa.JSON, nullable=False),
        sa.Column("webhook_url", sa.String),
        sa.Column("request_hash", sa.String, nullable=False),
        sa.Column("start_state", sa.String(16), nullable=False),
        sa.Column("run_id", sa.String),
        sa.Column("namespace_id", sa.String),
        sa.Column("total_calls", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.JSON),
        sa.Column("result", sa.JSON),
        sa.Column("snapshot", sa.JSON),
        sa.Column("events", sa.JSON),
        sa.Column("checked_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_jobs_created", "jobs", ["created_at", "id"])
    op.create_index("ix_jobs_state_created", "jobs", ["state", "created_at", "id"])
    op.create_index("ix_jobs_owner_created", "jobs", ["owner", "created_at", "id"])
    op.create_index("ix_jobs_owner_state_created", "jobs", ["owner", "state", "created_at", "id"])
    op.create_index("ix_jobs_definition_created", "jobs", ["definition", "created_at", "id"])
    unfinished = sa.text("snapshot IS NULL")
    op.create_index("ix_jobs_unfinished", "jobs", ["created_at"], sqlite_where=unfinished, postgresql_where=unfinished)


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.String, primary_key=True),
        sa.Column("step", sa.String, primary_key=True),
        sa.Column("agent", sa.String, primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.JSON),
        sa.Column("model", sa.String),
        sa.Column("prompt_tokens", sa.Integer),
        sa.Column("completion_tokens", sa.Integer),
        sa.Column("cost", sa.Float),
        sa.Column("provider_cost", sa.Float),
    )
    op.create_index("ix_attempts_agent_started", "attempts", ["agent", "started_at"])


def _create_artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_artifacts_job_id", "artifacts", ["job_id"])
