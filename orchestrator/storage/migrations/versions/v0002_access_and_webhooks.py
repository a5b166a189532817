"""API keys, the audit log, webhooks with their deliveries, and the owner of an attempt."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("api_keys", "api_key_secrets", "audit", "webhooks", "deliveries", "delivery_attempts")


def upgrade() -> None:
    op.add_column("attempts", sa.Column("owner", sa.String))
    op.create_index("ix_attempts_owner_completed", "attempts", ["owner", "completed_at"])
    op.execute("UPDATE attempts SET owner = (SELECT owner FROM jobs WHERE jobs.id = attempts.job_id)")
    _create_keys()
    _create_audit()
    _create_webhooks()
    _create_deliveries()


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
    op.drop_index("ix_attempts_owner_completed", "attempts")
    op.drop_column("attempts", "owner")


def _moment(name: str, *, nullable: bool = True) -> "sa.Column[datetime]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _create_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("tier", sa.String(16)),
        sa.Column("created_by", sa.String, nullable=False),
        _moment("created_at", nullable=False),
        _moment("expires_at"),
        _moment("revoked_at"),
        _moment("last_used_at"),
    )
    op.create_index("ix_api_keys_owner", "api_keys", ["owner"])
    op.create_table(
        "api_key_secrets",
        sa.Column("prefix", sa.String, primary_key=True),
        sa.Column("key_id", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        _moment("created_at", nullable=False),
        _moment("expires_at"),
    )
    op.create_index("ix_api_key_secrets_key_id", "api_key_secrets", ["key_id"])


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        _moment("at", nullable=False),
        sa.Column("principal", sa.String, nullable=False),
        sa.Column("key_id", sa.String),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("address", sa.String),
        sa.Column("request_id", sa.String, nullable=False),
    )
    op.create_index("ix_audit_principal", "audit", ["principal", "id"])


def _create_webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("events", sa.JSON, nullable=False),
        sa.Column("secret", sa.String, nullable=False),
        sa.Column("previous_secret", sa.String),
        _moment("previous_until"),
        _moment("disabled_at"),
        sa.Column("disabled_reason", sa.String),
        _moment("created_at", nullable=False),
        _moment("updated_at", nullable=False),
    )
    op.create_index("ix_webhooks_owner", "webhooks", ["owner"])


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("webhook_id", sa.String),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("job_id", sa.String),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("message_id", sa.String, nullable=False),
        sa.Column("data", sa.JSON),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        _moment("created_at", nullable=False),
        _moment("next_attempt_at"),
        _moment("completed_at"),
    )
    op.create_index("ix_deliveries_webhook", "deliveries", ["webhook_id", "created_at", "id"])
    op.create_index("ix_deliveries_job", "deliveries", ["job_id"])
    op.create_index("ix_deliveries_state", "deliveries", ["state", "created_at"])
    op.create_table(
        "delivery_attempts",
        sa.Column("delivery_id", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        _moment("at", nullable=False),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.String),
        sa.Column("duration", sa.Float, nullable=False),
    )
