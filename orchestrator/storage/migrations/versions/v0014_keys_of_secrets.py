"""The secret key that made a digest, and the API key that registered a webhook."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_key_secrets", sa.Column("digest_key", sa.String()))
    op.add_column("webhooks", sa.Column("key_id", sa.String()))
    # If the account of a webhook is an API key, that key registered it.
    op.execute("UPDATE webhooks SET key_id = owner WHERE owner IN (SELECT id FROM api_keys)")


def downgrade() -> None:
    op.drop_column("webhooks", "key_id")
    op.drop_column("api_key_secrets", "digest_key")
