"""One row for each label of a job, by which lists find labelled jobs, instead of an index with all labels."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_BATCH = 1000
_HAS_LABELS = sa.text("labels IS NOT NULL")
_LABELS = sa.table("job_labels", sa.column("label"), sa.column("created_at"), sa.column("job_id"))
_NEXT = sa.text(
    "SELECT id, created_at, labels AS lines FROM jobs WHERE labels IS NOT NULL AND id > :last ORDER BY id LIMIT :batch"
)


def upgrade() -> None:
    op.create_table(
        "job_labels",
        sa.Column("label", sa.String(), primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("job_id", sa.String(), primary_key=True),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    for rows in _batches(connection):
        connection.execute(sa.insert(_LABELS), rows)
    op.create_index("ix_job_labels_job", "job_labels", ["job_id"])
    op.drop_index("ix_jobs_labels", "jobs")


def _batches(connection: sa.Connection) -> Iterator[list[dict[str, Any]]]:
    last = ""
    while jobs := connection.execute(_NEXT, {"last": last, "batch": _BATCH}).all():
        last = jobs[-1].id
        yield [
            {"label": line, "created_at": job.created_at, "job_id": job.id}
            for job in jobs
            for line in job.lines.strip("\n").split("\n")
        ]


def downgrade() -> None:
    op.drop_table("job_labels")
    op.create_index(
        "ix_jobs_labels",
        "jobs",
        ["created_at", "id", "owner", "state", "kind", "definition", "labels"],
        sqlite_where=_HAS_LABELS,
        postgresql_where=_HAS_LABELS,
    )
