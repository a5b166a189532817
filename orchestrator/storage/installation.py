"""The marks of the installation that an index belongs to: named values."""

from sqlalchemy import Connection, select, update

from orchestrator.storage.database import Database
from orchestrator.storage.tables import api_key_secrets as secrets
from orchestrator.storage.tables import installation, webhooks


class InstallationRepository:
    """Reads and writes the marks. Every method raises `Unavailable` if the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @property
    def place(self) -> str:
        """The URL of the database, without a password."""
        return self._db.place

    async def read(self) -> dict[str, str]:
        """All marks by name."""
        query = select(installation.c.name, installation.c.value)
        return dict(await self._db.autocommit(lambda connection: connection.execute(query).all()))

    async def keep(self, values: dict[str, str]) -> dict[str, str]:
        """Write the values whose name has none, and return the stored ones: if two processes write, the first wins."""
        rows = [{"name": name, "value": value} for name, value in values.items()]
        insert = self._db.insert(installation).values(rows).on_conflict_do_nothing(index_elements=["name"])
        query = select(installation.c.name, installation.c.value).where(installation.c.name.in_(values))

        def unit(connection: Connection) -> dict[str, str]:
            connection.execute(insert).close()
            return dict(connection.execute(query).all())

        return await self._db.transaction(unit)

    async def replace(self, values: dict[str, str]) -> None:
        """Write values over the existing ones."""
        rows = [{"name": name, "value": value} for name, value in values.items()]
        insert = self._db.insert(installation).values(rows)
        upsert = insert.on_conflict_do_update(index_elements=["name"], set_={"value": insert.excluded.value})
        await self._db.transaction(lambda connection: connection.execute(upsert).close())

    async def sealed_secret(self) -> tuple[str, str] | None:
        """The id and the sealed secret of any webhook, to check the secret key with; or None."""
        query = select(webhooks.c.id, webhooks.c.secret).limit(1)
        row = await self._db.autocommit(lambda connection: connection.execute(query).first())
        return None if row is None else (row.id, row.secret)

    async def replace_key(self, name: str, old: str, new: str) -> None:
        """Replace the mark of the secret key. Digests that do not name their key belong to the old one."""
        unnamed = update(secrets).where(secrets.c.digest_key.is_(None)).values(digest_key=old)
        mark = update(installation).where(installation.c.name == name, installation.c.value == old).values(value=new)

        def unit(connection: Connection) -> None:
            connection.execute(unnamed)
            connection.execute(mark)

        await self._db.transaction(unit)
