"""Sums over pruned rows, so that the counters of the metrics never fall. Bucket -1 means that a time is missing."""

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, String, Table

from orchestrator.storage.tables import attempts, deliveries, jobs, metadata

pruned_jobs: Final = Table(
    "pruned_jobs",
    metadata,
    Column("kind", jobs.c.kind.type, primary_key=True),
    Column("definition", String, primary_key=True),
    Column("state", jobs.c.state.type, primary_key=True),
    Column("duration", Integer, primary_key=True, autoincrement=False),
    Column("wait", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("wait_ms", BigInteger, nullable=False),
)
pruned_attempts: Final = Table(
    "pruned_attempts",
    metadata,
    Column("agent", String, primary_key=True),
    Column("status", attempts.c.status.type, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("prompt", BigInteger, nullable=False),
    Column("completion", BigInteger, nullable=False),
    Column("micro_usd", BigInteger),
)
pruned_deliveries: Final = Table(
    "pruned_deliveries",
    metadata,
    Column("event", String, primary_key=True),
    Column("state", deliveries.c.state.type, primary_key=True),
    Column("number", BigInteger, nullable=False),
)
pruned_delivery_attempts: Final = Table(
    "pruned_delivery_attempts",
    metadata,
    Column("verdict", String, primary_key=True),
    Column("number", BigInteger, nullable=False),
)
