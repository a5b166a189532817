"""The tables of the audit trail; every change here comes with a migration."""

from typing import Final

from sqlalchemy import Column, Index, Integer, String, Table

from orchestrator.storage.moments import UtcDateTime
from orchestrator.storage.tables import metadata

# Append-only. Triggers refuse an update, an entry with a number above the one in `audit_chain`, and the deletion of an
# entry that `audit_chain` does not mark as pruned.
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
    Column("surface", String),
    Column("calls", Integer, nullable=False, server_default="1"),
    Column("digest", String),
    Index("ix_audit_principal", "principal", "id"),
)

# One row, which every writer locks while it adds entries, so that the chain has no branches. Triggers refuse a second
# row, an empty seal and a lower number.
audit_chain: Final = Table(
    "audit_chain",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("unchained", Integer, nullable=False),
    Column("pruned", Integer, nullable=False),
    Column("pruned_digest", String, nullable=False),
    Column("broken", Integer),
    Column("sealed_by", String, nullable=False),
    Column("seal", String, nullable=False),
)
