"""Bodies too large for a Temporal payload, stored in the index beside their job."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import bindparam, select

from orchestrator.domain.errors import NotFound
from orchestrator.storage.database import Database
from orchestrator.storage.tables import artifacts

# Built once: building a statement costs more than running it.
_BODY: Final = select(artifacts.c.body).where(artifacts.c.id == bindparam("this_id"))
_NAMED: Final = select(artifacts.c.name, artifacts.c.body).where(
    artifacts.c.id.in_(bindparam("these_ids", expanding=True))
)


class ArtifactRepository:
    """Implements the port `ArtifactStore` in the job index."""

    def __init__(self, db: Database) -> None:
        self._db = db
        row = db.insert(artifacts)
        replacement = {"body": row.excluded.body, "created_at": row.excluded.created_at}
        self._store = row.on_conflict_do_update(index_elements=[artifacts.c.id], set_=replacement)

    async def put(self, job_id: str, name: str, body: dict[str, Any]) -> str:
        """Store a body and return its id. A repeated attempt overwrites the body. Raises `Unavailable`."""
        artifact_id = f"{job_id}/{name}"
        row = {"id": artifact_id, "job_id": job_id, "name": name, "body": body, "created_at": datetime.now(UTC)}
        await self._db.autocommit(lambda connection: connection.execute(self._store, row).close())
        return artifact_id

    async def get(self, artifact_id: str) -> dict[str, Any]:
        """Return a stored body. Raises `NotFound`, `Unavailable`."""
        parameters = {"this_id": artifact_id}
        row = await self._db.autocommit(lambda connection: connection.execute(_BODY, parameters).first())
        if row is None:
            raise NotFound(f"Unknown artifact: {artifact_id}", artifact_id=artifact_id)
        body: dict[str, Any] = row.body
        return body

    async def named(self, job_id: str, names: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return the stored bodies of a job by name; missing ones are left out. Raises `Unavailable`."""
        if not names:
            return {}
        parameters = {"these_ids": [f"{job_id}/{name}" for name in names]}
        rows = await self._db.autocommit(lambda connection: connection.execute(_NAMED, parameters).all())
        return {row.name: row.body for row in rows}
