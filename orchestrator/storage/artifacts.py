"""Bodies too large for a Temporal payload, stored beside their job (architecture, section 4: limits)."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from orchestrator.domain.errors import NotFound
from orchestrator.storage.database import Database
from orchestrator.storage.tables import artifacts


class ArtifactRepository:
    """The port `ArtifactStore` over the job index."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def put(self, job_id: str, name: str, body: dict[str, Any]) -> str:
        """Store a body, or overwrite it: an attempt that comes again stores it again. The answer is its id.

        Raises `Unavailable`.
        """
        artifact_id = f"{job_id}/{name}"
        row = self._db.insert(artifacts).values(
            id=artifact_id, job_id=job_id, name=name, body=body, created_at=datetime.now(UTC)
        )
        new = {"body": row.excluded.body, "created_at": row.excluded.created_at}
        store = row.on_conflict_do_update(index_elements=[artifacts.c.id], set_=new)
        await self._db.autocommit(lambda connection: connection.execute(store).close())
        return artifact_id

    async def get(self, artifact_id: str) -> dict[str, Any]:
        """A stored body. Raises `NotFound`, `Unavailable`."""
        wanted = select(artifacts.c.body).where(artifacts.c.id == artifact_id)
        found = await self._db.autocommit(lambda connection: connection.execute(wanted).first())
        if found is None:
            raise NotFound(f"Unknown artifact: {artifact_id}", artifact_id=artifact_id)
        body: dict[str, Any] = found.body
        return body
