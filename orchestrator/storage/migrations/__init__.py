"""Alembic migrations of the job index; `orchestrator.storage.migrate` runs them."""
