"""Alembic's entry: runs the migrations inside the transaction of the connection that it is given."""

from alembic import context

from orchestrator.storage import audit_tables  # noqa: F401 - its tables join the metadata
from orchestrator.storage.migrate import VERSION_TABLE
from orchestrator.storage.pruned_tables import pruned_jobs

metadata = pruned_jobs.metadata  # with the tables of both modules

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
