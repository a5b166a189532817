"""Alembic's entry point: runs the migrations in the transaction of the given connection."""

from alembic import context

from orchestrator.storage import account_events, audit_tables, labels  # noqa: F401 - the imports add tables to the metadata
from orchestrator.storage.migrate import VERSION_TABLE
from orchestrator.storage.pruned_tables import pruned_jobs

metadata = pruned_jobs.metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
