"""What an index keeps of the installation that it belongs to, a value for each name."""

from sqlalchemy import Connection, select, update

from orchestrator.storage.database import Database
from orchestrator.storage.tables import api_key_secrets as secrets
from orchestrator.storage.tables import installation, webhooks


class InstallationRepository:
    """The marks of the index. Every method raises `Unavailable` when the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @property
    def place(self) -> str:
        """Where the index is, without a password."""
        return self._db.place

    async def read(self) -> dict[str, str]:
        """All of them."""
        wanted = select(installation.c.name, installation.c.value)
        return dict(await self._db.autocommit(lambda connection: connection.execute(wanted).all()))

    async def keep(self, values: dict[str, str]) -> dict[str, str]:
        """Write what has no value yet, and answer what the index has: of two processes at once, the first one's."""
        rows = [{"name": name, "value": value} for name, value in values.items()]
        new = self._db.insert(installation).values(rows).on_conflict_do_nothing(index_elements=["name"])
        wanted = select(installation.c.name, installation.c.value).where(installation.c.name.in_(values))

        def unit(connection: Connection) -> dict[str, str]:
            connection.execute(new).close()
            return dict(connection.execute(wanted).all())

        return await self._db.transaction(unit)

    async def replace(self, values: dict[str, str]) -> None:
        """Write values, whatever was there."""
        rows = [{"name": name, "value": value} for name, value in values.items()]
        insert = self._db.insert(installation).values(rows)
        upsert = insert.on_conflict_do_update(index_elements=["name"], set_={"value": insert.excluded.value})
        await self._db.transaction(lambda connection: connection.execute(upsert).close())

    async def sealed_secret(self) -> tuple[str, str] | None:
        """Something that the installation's key has sealed, and the webhook that it is for; or None."""
        wanted = select(webhooks.c.id, webhooks.c.secret).limit(1)
        found = await self._db.autocommit(lambda connection: connection.execute(wanted).first())
        return None if found is None else (found.id, found.secret)

    async def replace_key(self, name: str, old: str, new: str) -> None:
        """Replace the mark of the secret key. Digests without a word on their key were made with the old one."""
        unsaid = update(secrets).where(secrets.c.digest_key.is_(None)).values(digest_key=old)
        mark = update(installation).where(installation.c.name == name, installation.c.value == old).values(value=new)

        def unit(connection: Connection) -> None:
            connection.execute(unsaid)
            connection.execute(mark)

        await self._db.transaction(unit)
