"""The cost of each ended job, so that a list can begin with the most expensive ones."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_BATCH = 1000
_HAS_COST = sa.text("cost IS NOT NULL")
_INDICES = {
    "ix_jobs_cost": ["cost", "id", "owner", "state", "kind", "definition", "created_at"],
    "ix_jobs_owner_cost": ["owner", "cost", "id", "state", "kind", "definition", "created_at"],
}
_LAST = sa.text("SELECT max(id) FROM (SELECT id FROM jobs WHERE id > :last ORDER BY id LIMIT :batch) AS batch")
_ADD_UP = sa.text(
    "UPDATE jobs SET cost = (SELECT sum(attempts.cost) FROM attempts WHERE attempts.job_id = jobs.id"
    " AND attempts.prompt_tokens IS NOT NULL) WHERE id > :last AND id <= :next AND closed_at IS NOT NULL"
)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("cost", sa.Float()))
    connection = op.get_bind()
    last = ""
    while (following := connection.execute(_LAST, {"last": last, "batch": _BATCH}).scalar_one()) is not None:
        connection.execute(_ADD_UP, {"last": last, "next": following})
        last = following
    for name, columns in _INDICES.items():
        op.create_index(name, "jobs", columns, sqlite_where=_HAS_COST, postgresql_where=_HAS_COST)


def downgrade() -> None:
    for name in _INDICES:
        op.drop_index(name, "jobs")
    op.drop_column("jobs", "cost")
