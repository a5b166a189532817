"""Users are accounts, each with an id of its own, and the audit trail is a chain that nobody changes."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _identify_users()


def downgrade() -> None:
    op.drop_index("ix_users_id", "users")
    with op.batch_alter_table("users") as users:
        users.drop_column("id")


def _identify_users() -> None:
    op.add_column("users", sa.Column("id", sa.String()))
    # The jobs of those who are there belong to `user:NAME`.
    op.execute("UPDATE users SET id = username")
    with op.batch_alter_table("users") as users:
        users.alter_column("id", nullable=False)
    op.create_index("ix_users_id", "users", ["id"], unique=True)
