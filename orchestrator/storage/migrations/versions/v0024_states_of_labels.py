"""The rows of labels have the columns of jobs by which lists filter, sort and count. A trigger keeps them equal."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "owner": sa.String(),
    "kind": sa.String(16),
    "definition": sa.String(),
    "state": sa.String(16),
    "cost": sa.Float(),
}
_INDEX = "ix_job_labels_cost"
_INDEXED = ["label", "state", "cost", "job_id", "owner", "kind", "definition", "created_at"]
_NAMES = ", ".join(_COLUMNS)
_FILL = f"UPDATE job_labels SET ({_NAMES}) = (SELECT {_NAMES} FROM jobs WHERE jobs.id = job_labels.job_id)"  # noqa: S608 - of constants alone  # nosec B608

# All columns, not only the changed ones: a process of an older release inserts rows without them during an upgrade.
_COPIES = ", ".join(f"{name} = NEW.{name}" for name in _COLUMNS)
_COPY = f"UPDATE job_labels SET {_COPIES} WHERE job_id = NEW.id"  # noqa: S608 - of constants alone  # nosec B608
_CHANGES = "NEW.labels IS NOT NULL AND (NEW.state <> OLD.state OR NEW.cost IS DISTINCT FROM OLD.cost)"
_SQLITE = (
    f"""CREATE TRIGGER job_labels_follow_jobs AFTER UPDATE OF state, cost ON jobs
    WHEN {_CHANGES.replace("IS DISTINCT FROM", "IS NOT")}
    BEGIN {_COPY}; END""",
)
_POSTGRESQL = (
    f"""CREATE FUNCTION job_labels_follow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        {_COPY};
        RETURN NULL;
    END $$""",
    f"""CREATE TRIGGER job_labels_follow_jobs AFTER UPDATE OF state, cost ON jobs
    FOR EACH ROW WHEN ({_CHANGES}) EXECUTE FUNCTION job_labels_follow()""",
)


def upgrade() -> None:
    for name, kind in _COLUMNS.items():
        op.add_column("job_labels", sa.Column(name, kind))
    op.execute(_FILL)
    op.create_index(_INDEX, "job_labels", _INDEXED)
    for statement in _POSTGRESQL if op.get_bind().dialect.name == "postgresql" else _SQLITE:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION job_labels_follow CASCADE")
    else:
        op.execute("DROP TRIGGER job_labels_follow_jobs")
    op.drop_index(_INDEX, "job_labels")
    for name in _COLUMNS:
        op.drop_column("job_labels", name)
