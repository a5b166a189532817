"""Users are accounts, each with an id of its own, and the audit trail is a chain that nobody changes."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


_SQLITE = (
    """CREATE TRIGGER audit_is_chained BEFORE INSERT ON audit WHEN NEW.digest IS NULL
    BEGIN SELECT RAISE(ABORT, 'the audit trail is a chain'); END""",
    """CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
    """CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
    WHEN OLD.id > (SELECT coalesce(max(pruned), 0) FROM audit_chain)
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
    """CREATE TRIGGER audit_chain_is_kept BEFORE DELETE ON audit_chain
    BEGIN SELECT RAISE(ABORT, 'the audit trail is a chain'); END""",
)
_POSTGRESQL = (
    """CREATE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'restrict_violation'; END $$""",
    """CREATE FUNCTION audit_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.id > (SELECT coalesce(max(pruned), 0) FROM audit_chain) THEN
            RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN OLD;
    END $$""",
    """CREATE TRIGGER audit_is_chained BEFORE INSERT ON audit
    FOR EACH ROW WHEN (NEW.digest IS NULL) EXECUTE FUNCTION audit_refuses()""",
    "CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuses()",
    "CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_keeps()",
    "CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON audit EXECUTE FUNCTION audit_refuses()",
    "CREATE TRIGGER audit_chain_is_kept BEFORE DELETE ON audit_chain FOR EACH ROW EXECUTE FUNCTION audit_refuses()",
    "CREATE TRIGGER audit_chain_is_never_emptied BEFORE TRUNCATE ON audit_chain EXECUTE FUNCTION audit_refuses()",
)


def upgrade() -> None:
    _identify_users()
    _chain_audit()


def downgrade() -> None:
    _unchain_audit()
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


def _chain_audit() -> None:
    op.add_column("audit", sa.Column("surface", sa.String()))
    op.add_column("audit", sa.Column("calls", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("audit", sa.Column("digest", sa.String()))
    op.create_table(
        "audit_chain",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("unchained", sa.Integer(), nullable=False),
        sa.Column("pruned", sa.Integer(), nullable=False),
        sa.Column("pruned_digest", sa.String(), nullable=False),
        sa.Column("broken", sa.Integer()),
        sa.Column("seal", sa.String(), nullable=False),
    )
    # The chain begins after the entries that are there.
    op.execute(
        "INSERT INTO audit_chain (id, number, digest, unchained, pruned, pruned_digest, seal) "
        "SELECT 1, coalesce(max(id), 0), '', coalesce(max(id), 0), 0, '', '' FROM audit"
    )
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in _POSTGRESQL if postgresql else _SQLITE:
        op.get_bind().exec_driver_sql(statement)


def _unchain_audit() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_table("audit_chain")
        op.execute("DROP FUNCTION audit_refuses, audit_keeps CASCADE")
    else:
        for name in ("audit_is_chained", "audit_is_never_changed", "audit_is_kept", "audit_chain_is_kept"):
            op.execute(f"DROP TRIGGER {name}")
        op.drop_table("audit_chain")
    for column in ("digest", "calls", "surface"):
        op.drop_column("audit", column)
