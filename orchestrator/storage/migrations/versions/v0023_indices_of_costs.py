"""The lists by cost begin with the state, and have an index for those of one definition."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_HAS_COST = sa.text("cost IS NOT NULL")
_BEFORE = {
    "ix_jobs_cost": ["cost", "id", "owner", "state", "kind", "definition", "created_at"],
    "ix_jobs_owner_cost": ["owner", "cost", "id", "state", "kind", "definition", "created_at"],
}
_INDICES = {
    "ix_jobs_cost": ["state", "cost", "id", "owner", "kind", "definition", "created_at"],
    "ix_jobs_owner_cost": ["owner", "state", "cost", "id", "kind", "definition", "created_at"],
    "ix_jobs_definition_cost": ["definition", "state", "cost", "id", "owner", "kind", "created_at"],
}


def upgrade() -> None:
    for name in _BEFORE:
        op.drop_index(name, "jobs")
    _create(_INDICES)


def downgrade() -> None:
    for name in _INDICES:
        op.drop_index(name, "jobs")
    _create(_BEFORE)


def _create(indices: dict[str, list[str]]) -> None:
    for name, columns in indices.items():
        op.create_index(name, "jobs", columns, sqlite_where=_HAS_COST, postgresql_where=_HAS_COST)
