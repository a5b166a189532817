"""Large parts of messages in the job index, each once, beside the job that it belongs to (decision 0013)."""

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
    """The port `ValueStore` over the job index."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._insert = db.insert(artifacts).on_conflict_do_nothing(index_elements=[artifacts.c.id])

    async def put(self, job_id: str, bodies: Mapping[str, str]) -> None:
        """Store texts by key; one that is there already stays. Raises `Unavailable`."""
        at = datetime.now(UTC)
        rows = [
            {"id": _id(job_id, key), "job_id": job_id, "name": key, "body": value_of(text), "created_at": at}
            for key, text in bodies.items()
        ]
        await self._db.transaction(lambda connection: connection.execute(self._insert, rows).close())

    async def get(self, job_id: str, keys: Collection[str]) -> dict[str, str]:
        """Stored texts by key. Raises `NotFound`, `Unavailable`."""
        ids = [_id(job_id, key) for key in keys]
        wanted = select(artifacts.c.name, artifacts.c.body).where(artifacts.c.id.in_(ids))
        found = await self._db.autocommit(lambda connection: connection.execute(wanted).all())
        texts = {row.name: text_of(row.body) for row in found}
        for key in keys:
            if key not in texts:
                raise value_not_found(job_id, key)
        return texts

    async def forget(self, job_id: str) -> None:
        """Delete everything of one job. Raises `Unavailable`."""
        everything = delete(artifacts).where(artifacts.c.job_id == job_id)
        await self._db.autocommit(lambda connection: connection.execute(everything).close())


class CachedValues:
    """A `ValueStore` that remembers, within a process, what it stored and read last."""

    def __init__(self, store: ValueStore, *, most_bytes: int = _CACHE_BYTES) -> None:
        self._store = store
        self._most_bytes = most_bytes
        self._texts: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._bytes = 0

    async def put(self, job_id: str, bodies: Mapping[str, str]) -> None:
        """As the store does; what it is known to hold is not sent again."""
        new = {key: text for key, text in bodies.items() if (job_id, key) not in self._texts}
        if new:
            await self._store.put(job_id, new)
            self._remember(job_id, new)

    async def get(self, job_id: str, keys: Collection[str]) -> dict[str, str]:
        """As the store does."""
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
        """As the store does."""
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
    """The error for a body that is gone, deleted past us or never stored."""
    return NotFound(f"A large value of {job_id} is gone: {key}. Was it deleted from the store?", job_id=job_id)


def _id(job_id: str, key: str) -> str:
    return f"{job_id}/{key}"
