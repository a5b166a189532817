"""Large parts of messages in the job index, each stored once beside its job (decision 0013)."""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import delete, select

from orchestrator.domain.errors import NotFound
from orchestrator.domain.ports import ValueStore
from orchestrator.domain.values import text_of, value_of
from orchestrator.storage.database import Database
from orchestrator.storage.tables import artifacts

_CACHE_BYTES: Final = 64 * 1024 * 1024


class ValueRepository:
    """Implements the port `ValueStore` in the job index."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._insert = db.insert(artifacts).on_conflict_do_nothing(index_elements=[artifacts.c.id])

    async def put(self, job_id: str, bodies: Mapping[str, str]) -> None:
        """Store texts by key. Existing ones stay. Raises `Unavailable`."""
        at = datetime.now(UTC)
        rows = [
            {"id": _id(job_id, key), "job_id": job_id, "name": key, "body": value_of(text), "created_at": at}
            for key, text in bodies.items()
        ]
        await self._db.transaction(lambda connection: connection.execute(self._insert, rows).close())

    async def get(self, job_id: str, keys: Collection[str]) -> dict[str, str]:
        """Return stored texts by key. Raises `NotFound`, `Unavailable`."""
        ids = [_id(job_id, key) for key in keys]
        query = select(artifacts.c.name, artifacts.c.body).where(artifacts.c.id.in_(ids))
        rows = await self._db.autocommit(lambda connection: connection.execute(query).all())
        texts = {row.name: text_of(row.body) for row in rows}
        for key in keys:
            if key not in texts:
                raise value_not_found(job_id, key)
        return texts

    async def forget(self, job_id: str) -> None:
        """Delete every text of a job. Raises `Unavailable`."""
        everything = delete(artifacts).where(artifacts.c.job_id == job_id)
        await self._db.autocommit(lambda connection: connection.execute(everything).close())


class CachedValues:
    """A `ValueStore` with a cache in this process of the texts that were stored and read last."""

    def __init__(self, store: ValueStore, *, most_bytes: int = _CACHE_BYTES) -> None:
        self._store = store
        self._most_bytes = most_bytes
        self._texts: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._bytes = 0

    async def put(self, job_id: str, bodies: Mapping[str, str]) -> None:
        """Store texts, except those in the cache."""
        new = {key: text for key, text in bodies.items() if (job_id, key) not in self._texts}
        if new:
            await self._store.put(job_id, new)
            self._remember(job_id, new)

    async def get(self, job_id: str, keys: Collection[str]) -> dict[str, str]:
        """Return texts from the cache or the store."""
        missing = {key for key in keys if (job_id, key) not in self._texts}
        texts = {key: self._texts[job_id, key] for key in keys if key not in missing}
        for key in texts:
            self._texts.move_to_end((job_id, key))
        if missing:
            read = await self._store.get(job_id, missing)
            self._remember(job_id, read)
            texts |= read
        return texts

    async def forget(self, job_id: str) -> None:
        """Delete every text of a job, also from the cache."""
        for place in [place for place in self._texts if place[0] == job_id]:
            self._bytes -= len(self._texts.pop(place))
        await self._store.forget(job_id)

    def _remember(self, job_id: str, texts: Mapping[str, str]) -> None:
        for key, text in texts.items():
            self._bytes += len(text) - len(self._texts.pop((job_id, key), ""))
            self._texts[job_id, key] = text
        while self._bytes > self._most_bytes:
            _, dropped = self._texts.popitem(last=False)
            self._bytes -= len(dropped)


def value_not_found(job_id: str, key: str) -> NotFound:
    """The error for a missing text: somebody deleted it, or it was never stored."""
    return NotFound(f"A large value of {job_id} is missing: {key}. Was it deleted from the store?", job_id=job_id)


def _id(job_id: str, key: str) -> str:
    return f"{job_id}/{key}"
