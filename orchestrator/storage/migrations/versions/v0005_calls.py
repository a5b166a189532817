"""Attempts have the number of their call and their run, because a reset repeats a call."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COMPLETED = sa.text("completed_at IS NOT NULL")
_OLD_KEY = ("job_id", "step", "agent", "attempt")
_KEY = ("job_id", "step", "agent", "call", "run_id", "attempt")


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _rebuild(_KEY)
        return
    op.add_column("attempts", sa.Column("call", sa.Integer, nullable=False, server_default="1"))
    op.add_column("attempts", sa.Column("run_id", sa.String, nullable=False, server_default=""))
    op.drop_constraint("attempts_pkey", "attempts", type_="primary")
    op.create_primary_key("attempts_pkey", "attempts", list(_KEY))


def downgrade() -> None:
    op.execute("DELETE FROM attempts WHERE call > 1")
    op.execute(
        "DELETE FROM attempts WHERE EXISTS (SELECT 1 FROM attempts AS later WHERE later.job_id = attempts.job_id"
        " AND later.step = attempts.step AND later.agent = attempts.agent AND later.attempt = attempts.attempt"
        " AND (later.started_at > attempts.started_at"
        " OR (later.started_at = attempts.started_at AND later.run_id > attempts.run_id)))"
    )
    if op.get_bind().dialect.name == "sqlite":
        _rebuild(_OLD_KEY)
        return
    op.drop_constraint("attempts_pkey", "attempts", type_="primary")
    op.drop_column("attempts", "run_id")
    op.drop_column("attempts", "call")
    op.create_primary_key("attempts_pkey", "attempts", list(_OLD_KEY))


def _rebuild(key: tuple[str, ...]) -> None:
    """Copy the rows to a table with the new primary key, because SQLite cannot change one."""
    _drop_indices()
    op.rename_table("attempts", "attempts_before")
    numbered = "call" in key
    table = op.create_table(
        "attempts",
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("step", sa.String, nullable=False),
        sa.Column("agent", sa.String, nullable=False),
        *([sa.Column("call", sa.Integer, nullable=False, server_default="1")] if numbered else []),
        *([sa.Column("run_id", sa.String, nullable=False, server_default="")] if numbered else []),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.JSON),
        sa.Column("model", sa.String),
        sa.Column("prompt_tokens", sa.Integer),
        sa.Column("completion_tokens", sa.Integer),
        sa.Column("cost", sa.Float),
        sa.Column("provider_cost", sa.Float),
        sa.Column("owner", sa.String),
        sa.PrimaryKeyConstraint(*key),
    )
    column_names = [column.name for column in table.columns if column.name not in ("call", "run_id")]
    before = sa.table("attempts_before", *(sa.column(name) for name in column_names))
    op.execute(sa.insert(table).from_select(column_names, sa.select(before)))
    op.drop_table("attempts_before")
    _create_indices()


def _drop_indices() -> None:
    for name in ("agent_started", "owner_completed", "agent_completed", "completed"):
        op.drop_index(f"ix_attempts_{name}", "attempts")


def _create_indices() -> None:
    op.create_index("ix_attempts_agent_started", "attempts", ["agent", "started_at"])
    op.create_index("ix_attempts_owner_completed", "attempts", ["owner", "completed_at"])
    op.create_index(
        "ix_attempts_agent_completed",
        "attempts",
        ["agent", "completed_at", "status", "owner", "started_at", "prompt_tokens", "completion_tokens", "cost"],
        sqlite_where=_COMPLETED,
    )
    op.create_index("ix_attempts_completed", "attempts", ["completed_at"], sqlite_where=_COMPLETED)
