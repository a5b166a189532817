"""Rows of saved configurations (O-032 to O-035)."""

import builtins
from dataclasses import asdict
from typing import Final

from sqlalchemy import RowMapping, insert, or_, select, update

from orchestrator.domain.user_agents import Configuration, Framework
from orchestrator.storage.database import Database
from orchestrator.storage.tables import configurations

_FIELDS: Final = tuple(configurations.c[name] for name in Configuration.__dataclass_fields__)


class ConfigurationRepository:
    """The configurations of the index. Every method raises `Unavailable` when the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, configuration: Configuration) -> None:
        """Write a new configuration."""
        row = insert(configurations).values(**asdict(configuration))
        await self._db.autocommit(lambda connection: connection.execute(row).close())

    async def get(self, configuration_id: str) -> Configuration | None:
        """A configuration, or None. Who may see it is for the caller to say."""
        wanted = select(*_FIELDS).where(configurations.c.id == configuration_id)
        found = await self._db.autocommit(lambda connection: connection.execute(wanted).mappings().first())
        return None if found is None else _configuration(found)

    async def list(
        self,
        owner: str,
        *,
        framework: Framework | None,
        templates: bool,
        public: bool,
        search: str | None,
        limit: int,
    ) -> builtins.list[Configuration]:
        """An owner's configurations, and with `public` everybody's public ones, newest first; `limit` at most.

        `search` is found in name or description, in any case; `templates` leaves out what is none.
        """
        own = configurations.c.owner == owner
        matching = [or_(own, configurations.c.public) if public else own]
        if framework is not None:
            matching.append(configurations.c.framework == framework)
        if templates:
            matching.append(configurations.c.template)
        if search:
            texts = (configurations.c.name, configurations.c.description)
            matching.append(or_(*(text.icontains(search, autoescape=True) for text in texts)))
        newest = (configurations.c.created_at.desc(), configurations.c.id.desc())
        wanted = select(*_FIELDS).where(*matching).order_by(*newest).limit(limit)
        found = await self._db.autocommit(lambda connection: connection.execute(wanted).mappings().all())
        return [_configuration(row) for row in found]

    async def used(self, configuration_id: str) -> None:
        """Count one more execution that used it."""
        more = configurations.c.usage_count + 1
        count = update(configurations).where(configurations.c.id == configuration_id).values(usage_count=more)
        await self._db.autocommit(lambda connection: connection.execute(count).close())


def _configuration(found: RowMapping) -> Configuration:
    columns = {name: found[name] for name in Configuration.__dataclass_fields__}
    return Configuration(**columns | {"framework": Framework(columns["framework"])})
