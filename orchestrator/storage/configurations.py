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
_REMEDY: Final = "use an existing one, or ask the operator to raise ORCHESTRATOR_MOST_ROWS"


class ConfigurationRepository:
    """Saved configurations. Every method raises `Unavailable` if the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, configuration: Configuration, *, most: int) -> None:
        """Insert a configuration. Raises `InvalidInput` if its owner already has `most`."""
        row = asdict(configuration)

        def write(connection: Connection) -> None:
            add_row(connection, configurations, row, most=most, kind="configurations", remedy=_REMEDY)

        await self._db.transaction(write, owner=configuration.owner)

    async def get(self, configuration_id: str) -> Configuration | None:
        """A configuration, or None. The caller decides who may see it."""
        query = select(*_FIELDS).where(configurations.c.id == configuration_id)
        row = await self._db.autocommit(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else _configuration(row)

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
        """At most `limit` configurations of an owner, newest first; with `public`, also the public ones of others.

        Contents are read until they reach `most_bytes` in total; the remaining rows have None.
        `search` matches name or description and ignores case. `templates` selects templates only.
        """
        is_owner = configurations.c.owner == owner
        matching = [or_(is_owner, configurations.c.public) if public else is_owner]
        if framework is not None:
            matching.append(configurations.c.framework == framework)
        if templates:
            matching.append(configurations.c.template)
        if search:
            texts = (configurations.c.name, configurations.c.description)
            matching.append(or_(*(text.icontains(search, autoescape=True) for text in texts)))
        newest = (configurations.c.created_at.desc(), configurations.c.id.desc())
        query = select(*_SHORT).where(*matching).order_by(*newest).limit(limit)

        def read(connection: Connection) -> builtins.list[Configuration]:
            rows = connection.execute(query).mappings().all()
            bodies = bodies_of(
                connection, configurations, "configuration", [row["id"] for row in rows], most_bytes=most_bytes
            )
            return [_configuration({**row, "configuration": bodies.get(row["id"])}) for row in rows]

        return await self._db.autocommit(read)

    async def used(self, configuration_id: str) -> None:
        """Add 1 to the usage count."""
        incremented = configurations.c.usage_count + 1
        count = update(configurations).where(configurations.c.id == configuration_id).values(usage_count=incremented)
        await self._db.autocommit(lambda connection: connection.execute(count).close())


def _configuration(row: Mapping[str, Any] | RowMapping) -> Configuration:
    columns = {name: row[name] for name in Configuration.__dataclass_fields__}
    return Configuration(**columns | {"framework": Framework(columns["framework"])})
