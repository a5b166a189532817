"""Documents of jobs are compressed, lists have their indices, and what is old can be pruned.

Rows keep the documents that they have, as text; only rows written from now on are compressed.
"""

import sqlalchemy as sa
from alembic import op

from orchestrator.storage.packed import to_text, unpack

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_DOCUMENTS = {"jobs": ("job_input", "result", "snapshot", "events"), "artifacts": ("body",)}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _retype("bytea", "convert_to({0}::text, 'UTF8')")
    op.add_column("jobs", sa.Column("checked_history", sa.String()))
    op.drop_index("ix_jobs_definition_created", "jobs")
    op.drop_index("ix_jobs_subject_created", "jobs")
    _index("ix_jobs_definition_created", "jobs", "definition", "kind", "created_at", "id", "state")
    _index("ix_jobs_owner_definition_created", "jobs", "owner", "definition", "kind", "created_at", "id", "state")
    about = {"where": "subject IS NOT NULL"}
    _index("ix_jobs_subject_created", "jobs", "subject", "created_at", "id", "owner", "definition", "state", **about)
    _index(
        "ix_jobs_owner_subject_created", "jobs", "owner", "created_at", "id", "subject", "definition", "state", **about
    )
    _index("ix_jobs_events", "jobs", "closed_at", where="events IS NOT NULL")
    _index("ix_attempts_lost", "attempts", "started_at", where="completed_at IS NULL")
    op.drop_index("ix_deliveries_webhook", "deliveries")
    op.drop_index("ix_deliveries_state", "deliveries")
    _index("ix_deliveries_webhook", "deliveries", "webhook_id", "created_at", "id", "state")
    _index("ix_deliveries_pending", "deliveries", "created_at", where="state = 'pending'")
    _index("ix_deliveries_completed", "deliveries", "completed_at", where="completed_at IS NOT NULL")
    _index("ix_artifacts_created_at", "artifacts", "created_at")
    _index("ix_refresh_tokens_expires_at", "refresh_tokens", "expires_at")
    _totals()


def downgrade() -> None:
    for table in ("pruned_delivery_attempts", "pruned_deliveries", "pruned_attempts", "pruned_jobs"):
        op.drop_table(table)
    op.drop_index("ix_refresh_tokens_expires_at", "refresh_tokens")
    op.drop_index("ix_artifacts_created_at", "artifacts")
    for name in ("ix_deliveries_completed", "ix_deliveries_pending", "ix_deliveries_webhook"):
        op.drop_index(name, "deliveries")
    _index("ix_deliveries_webhook", "deliveries", "webhook_id", "created_at", "id")
    _index("ix_deliveries_state", "deliveries", "state", "created_at")
    op.drop_index("ix_attempts_lost", "attempts")
    for name in (
        "ix_jobs_events",
        "ix_jobs_owner_subject_created",
        "ix_jobs_subject_created",
        "ix_jobs_owner_definition_created",
        "ix_jobs_definition_created",
    ):
        op.drop_index(name, "jobs")
    _index("ix_jobs_definition_created", "jobs", "definition", "created_at", "id")
    _index("ix_jobs_subject_created", "jobs", "subject", "created_at", "id")
    op.drop_column("jobs", "checked_history")
    _unpack()
    if op.get_bind().dialect.name == "postgresql":
        _retype("json", "convert_from({0}, 'UTF8')::json")


def _index(name: str, table: str, *columns: str, where: str | None = None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, table, list(columns), sqlite_where=condition, postgresql_where=condition)


def _retype(new: str, using: str) -> None:
    """Rewrite the columns in one pass over each table."""
    for table, names in _DOCUMENTS.items():
        changes = ", ".join(f"ALTER {name} TYPE {new} USING {using.format(name)}" for name in names)
        op.execute(f"ALTER TABLE {table} {changes}")


def _unpack() -> None:
    """Write the compressed documents as text again, for the previous release."""
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    for name, documents in _DOCUMENTS.items():
        table = sa.table(name, sa.column("id"), *(sa.column(document) for document in documents))
        for (row_id,) in connection.execute(sa.select(table.c.id)).all():
            this = table.c.id == row_id
            stored = sa.select(*(table.c[document] for document in documents)).where(this)
            row = connection.execute(stored).mappings().one()
            texts = {key: to_text(unpack(value)) for key, value in row.items() if value is not None}
            values = {key: text.decode() if sqlite else text for key, text in texts.items()}
            connection.execute(sa.update(table).where(this).values(values))


def _totals() -> None:
    word = sa.String(length=16)
    op.create_table(
        "pruned_jobs",
        sa.Column("kind", word, primary_key=True),
        sa.Column("definition", sa.String(), primary_key=True),
        sa.Column("state", word, primary_key=True),
        sa.Column("duration", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("wait", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("wait_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "pruned_attempts",
        sa.Column("agent", sa.String(), primary_key=True),
        sa.Column("status", word, primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("prompt", sa.BigInteger(), nullable=False),
        sa.Column("completion", sa.BigInteger(), nullable=False),
        sa.Column("micro_usd", sa.BigInteger()),
    )
    op.create_table(
        "pruned_deliveries",
        sa.Column("event", sa.String(), primary_key=True),
        sa.Column("state", word, primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "pruned_delivery_attempts",
        sa.Column("verdict", sa.String(), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
    )
