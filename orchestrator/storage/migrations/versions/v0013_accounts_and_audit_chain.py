"""Users are accounts with their own ids, and the audit trail is a chain that triggers protect."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


# Updates of the head that only a broken chain may make. The mark `broken` is never changed.
_IS_TURNED_BACK = """NEW.id <> 1 OR NEW.seal = '' OR (OLD.broken IS NOT NULL AND NEW.broken IS DISTINCT FROM OLD.broken)
    OR (NEW.broken IS NULL AND (NEW.number < OLD.number OR NEW.pruned < OLD.pruned OR NEW.pruned > NEW.number
        OR NEW.unchained <> OLD.unchained))"""
_HAS_A_PLACE = "SELECT 1 FROM audit_chain WHERE id = 1 AND NEW.id > pruned AND NEW.id <= number"
_IS_PRUNED = "SELECT 1 FROM audit_chain WHERE id = 1 AND OLD.id <= pruned"
_SQLITE = (
    # The last condition is for REPLACE, which runs no DELETE trigger.
    f"""CREATE TRIGGER audit_is_chained BEFORE INSERT ON audit
    WHEN NEW.digest IS NULL OR NOT EXISTS ({_HAS_A_PLACE}) OR EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the audit trail is a chain'); END""",  # noqa: S608 - of constants alone  # nosec B608
    """CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
    f"""CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit WHEN NOT EXISTS ({_IS_PRUNED})
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
    """CREATE TRIGGER audit_chain_is_one BEFORE INSERT ON audit_chain
    WHEN NEW.id <> 1 OR EXISTS (SELECT 1 FROM audit_chain)
    BEGIN SELECT RAISE(ABORT, 'the audit trail is one chain'); END""",
    f"""CREATE TRIGGER audit_chain_goes_on BEFORE UPDATE ON audit_chain
    WHEN {_IS_TURNED_BACK.replace("IS DISTINCT FROM", "IS NOT")}
    BEGIN SELECT RAISE(ABORT, 'the audit trail is a chain'); END""",
    """CREATE TRIGGER audit_chain_is_kept BEFORE DELETE ON audit_chain
    BEGIN SELECT RAISE(ABORT, 'the audit trail is a chain'); END""",
)
_TRIGGERS = (
    *("audit_is_chained", "audit_is_never_changed", "audit_is_kept"),
    *("audit_chain_is_one", "audit_chain_goes_on", "audit_chain_is_kept"),
)


def _function(name: str, condition: str, row: str) -> str:
    """A trigger function for PostgreSQL, where the condition of a trigger cannot read another table."""
    return f"""CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF {condition} THEN
            RAISE EXCEPTION 'the audit trail is an append-only chain' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN {row};
    END $$"""


_POSTGRESQL = (
    _function("audit_refuses", "true", "NULL"),
    _function("audit_chains", f"NEW.digest IS NULL OR NOT EXISTS ({_HAS_A_PLACE})", "NEW"),
    _function("audit_keeps", f"NOT EXISTS ({_IS_PRUNED})", "OLD"),
    _function("audit_chain_stays_one", "NEW.id <> 1 OR EXISTS (SELECT 1 FROM audit_chain)", "NEW"),
    "CREATE TRIGGER audit_is_chained BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_chains()",
    "CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuses()",
    "CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_keeps()",
    "CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON audit EXECUTE FUNCTION audit_refuses()",
    """CREATE TRIGGER audit_chain_is_one BEFORE INSERT ON audit_chain
    FOR EACH ROW EXECUTE FUNCTION audit_chain_stays_one()""",
    f"""CREATE TRIGGER audit_chain_goes_on BEFORE UPDATE ON audit_chain
    FOR EACH ROW WHEN ({_IS_TURNED_BACK}) EXECUTE FUNCTION audit_refuses()""",
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
    # The jobs of existing users belong to `user:NAME`.
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
        sa.Column("sealed_by", sa.String(), nullable=False),
        sa.Column("seal", sa.String(), nullable=False),
    )
    # The caller of the migration, which has the secret key, inserts the row in the same transaction (storage/audit.py).
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in _POSTGRESQL if postgresql else _SQLITE:
        op.get_bind().exec_driver_sql(statement)


def _unchain_audit() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_table("audit_chain")
        op.execute("DROP FUNCTION audit_refuses, audit_chains, audit_keeps, audit_chain_stays_one CASCADE")
    else:
        for name in _TRIGGERS:
            op.execute(f"DROP TRIGGER {name}")
        op.drop_table("audit_chain")
    for column in ("digest", "calls", "surface"):
        op.drop_column("audit", column)
