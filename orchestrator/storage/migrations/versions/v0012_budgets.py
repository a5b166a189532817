"""Tokens that jobs reserve from their owner's month, and that running calls claim."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("reserved_tokens", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("attempts", sa.Column("claimed_tokens", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("attempts", "claimed_tokens")
    op.drop_column("jobs", "reserved_tokens")
