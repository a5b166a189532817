"""The tables of the audit trail; every change here comes with a migration."""

from typing import Final

from sqlalchemy import Column, Index, Integer, String, Table

from orchestrator.storage.tables import UtcDateTime, metadata

# Append-only: nothing updates a row, and pruning alone deletes old ones.
audit: Final = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("principal", String, nullable=False),
    Column("key_id", String),
    Column("action", String, nullable=False),
    Column("path", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("address", String),
    Column("request_id", String, nullable=False),
    Index("ix_audit_principal", "principal", "id"),
)
