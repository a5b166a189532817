"""`python -m tests.storage.schema`: writes the schema that all migrations make, for new SQLite indexes."""

from alembic import command
from sqlalchemy import create_engine, text

from orchestrator.storage.migrate import VERSION_TABLE, migration_config, versions
from orchestrator.storage.new_index import SCHEMA


def migrated_schema() -> str:
    """The statements that make the tables, indexes and triggers, and the version."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        command.upgrade(migration_config(connection), "head")
        order = "CASE type WHEN 'table' THEN 1 WHEN 'index' THEN 2 ELSE 3 END, name"
        query = f"SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY {order}"
        statements = list(connection.execute(text(query)).scalars())
    engine.dispose()
    statements.append(f"INSERT INTO {VERSION_TABLE} VALUES ('{versions()[-1]}')")
    return "".join(f"{statement.strip()};\n\n" for statement in statements).rstrip() + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(migrated_schema())
