"""Users with their refresh tokens, agents of users, saved configurations, and the subject of a job."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLES = ("users", "refresh_tokens", "user_agents", "configurations")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("subject", sa.String))
    op.create_index("ix_jobs_subject_created", "jobs", ["subject", "created_at", "id"])
    _create_users()
    _create_user_agents()
    _create_configurations()


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
    op.drop_index("ix_jobs_subject_created", "jobs")
    op.drop_column("jobs", "subject")


def _moment(name: str, *, nullable: bool = True) -> "sa.Column[datetime]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("username", sa.String, primary_key=True),
        sa.Column("password_hash", sa.String, nullable=False),
        sa.Column("roles", sa.JSON, nullable=False),
        _moment("created_at", nullable=False),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("family", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        _moment("expires_at", nullable=False),
        _moment("used_at"),
        _moment("revoked_at"),
    )
    op.create_index("ix_refresh_tokens_family", "refresh_tokens", ["family"])
    op.create_index("ix_refresh_tokens_subject", "refresh_tokens", ["subject"])


def _create_user_agents() -> None:
    op.create_table(
        "user_agents",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("description", sa.String),
        sa.Column("framework", sa.String, nullable=False),
        sa.Column("configuration", sa.JSON, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        _moment("created_at", nullable=False),
        _moment("updated_at", nullable=False),
        _moment("deleted_at"),
    )
    op.create_index("ix_user_agents_owner", "user_agents", ["owner", "created_at", "id"])


def _create_configurations() -> None:
    op.create_table(
        "configurations",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("description", sa.String),
        sa.Column("framework", sa.String, nullable=False),
        sa.Column("configuration", sa.JSON, nullable=False),
        sa.Column("template", sa.Boolean, nullable=False),
        sa.Column("public", sa.Boolean, nullable=False),
        sa.Column("usage_count", sa.Integer, nullable=False),
        _moment("created_at", nullable=False),
        _moment("updated_at", nullable=False),
    )
    op.create_index("ix_configurations_owner", "configurations", ["owner", "created_at", "id"])
