"""Which secret key a digest was made with, and which API key answers for a webhook."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_key_secrets", sa.Column("digest_key", sa.String()))
    op.add_column("webhooks", sa.Column("key_id", sa.String()))
    # A key that is its own account has registered all that this account has.
    op.execute("UPDATE webhooks SET key_id = owner WHERE owner IN (SELECT id FROM api_keys)")


def downgrade() -> None:
    op.drop_column("webhooks", "key_id")
    op.drop_column("api_key_secrets", "digest_key")
