"""Rows of saved configurations (O-032 to O-035)."""

import builtins
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, or_, select, update

from orchestrator.domain.user_agents import Configuration, Framework
from orchestrator.storage.database import Database
from orchestrator.storage.owned_rows import add_row, bodies_of
from orchestrator.storage.tables import configurations

_FIELDS: Final = tuple(configurations.c[name] for name in Configuration.__dataclass_fields__)
_SHORT: Final = tuple(column for column in _FIELDS if column.name != "configuration")
_REMEDY: Final = "use those, or ask the operator to raise ORCHESTRATOR_MOST_ROWS"


class ConfigurationRepository:
    """The configurations of the index. Every method raises `Unavailable` when the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, configuration: Configuration, *, most: int) -> None:
        """Write a new configuration. Raises `InvalidInput` when its owner has `most` of them."""
        row = asdict(configuration)

        def write(connection: Connection) -> None:
            add_row(connection, configurations, row, most=most, kind="configurations", remedy=_REMEDY)

        await self._db.transaction(write, owner=configuration.owner)

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
        most_bytes: int,
    ) -> builtins.list[Configuration]:
        """An owner's configurations, and with `public` everybody's public ones, newest first; `limit` at most.

        What they hold is read of the first ones, `most_bytes` in all; it is None of the others.
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
        wanted = select(*_SHORT).where(*matching).order_by(*newest).limit(limit)

        def read(connection: Connection) -> builtins.list[Configuration]:
            rows = connection.execute(wanted).mappings().all()
            bodies = bodies_of(
                connection, configurations, "configuration", [row["id"] for row in rows], most_bytes=most_bytes
            )
            return [_configuration({**row, "configuration": bodies.get(row["id"])}) for row in rows]

        return await self._db.autocommit(read)

    async def used(self, configuration_id: str) -> None:
        """Count one more execution that used it."""
        more = configurations.c.usage_count + 1
        count = update(configurations).where(configurations.c.id == configuration_id).values(usage_count=more)
        await self._db.autocommit(lambda connection: connection.execute(count).close())


def _configuration(found: Mapping[str, Any] | RowMapping) -> Configuration:
    columns = {name: found[name] for name in Configuration.__dataclass_fields__}
    return Configuration(**columns | {"framework": Framework(columns["framework"])})
