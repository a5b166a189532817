"""Saved configurations of users' agents: save, list, use (O-032 to O-035)."""

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.rows import LIST_BYTES, check_size
from orchestrator.domain.user_agents import Configuration, Framework
from orchestrator.storage.configurations import ConfigurationRepository

MOST_LISTED: Final = 1000
CONFIGURATION_ID: Final = "configurationId"


@dataclass(frozen=True, slots=True)
class ConfigurationRequest:
    """What is to be saved."""

    name: str
    framework: Framework
    configuration: dict[str, Any]
    description: str | None = None
    template: bool = False
    public: bool = False


@dataclass(frozen=True, slots=True)
class ConfigurationFilter:
    """Which configurations a list shows; `public` adds everybody's public ones. Empty fields do not filter."""

    framework: Framework | None = None
    templates: bool = False
    public: bool = False
    search: str | None = None


class Configurations:
    """Every method raises `Unavailable` when the index does not answer."""

    def __init__(
        self,
        configurations: ConfigurationRepository,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        most: int,
    ) -> None:
        self._most = most
        self._configurations = configurations
        self._clock = clock
        self._new_id = new_id

    async def save(self, principal: Principal, request: ConfigurationRequest) -> Configuration:
        """A new configuration of the caller's. Raises `InvalidInput` for one too large, or one too many."""
        check_size(
            "configuration", name=request.name, description=request.description, configuration=request.configuration
        )
        at = self._clock()
        saved = Configuration(
            id=f"config_{self._new_id()}",
            owner=principal.id,
            name=request.name,
            description=request.description,
            framework=request.framework,
            configuration=request.configuration,
            template=request.template,
            public=request.public,
            usage_count=0,
            created_at=at,
            updated_at=at,
        )
        await self._configurations.add(saved, most=self._most)
        return saved

    async def list(self, principal: Principal, wanted: ConfigurationFilter) -> builtins.list[Configuration]:
        """The caller's configurations, newest first; at most `MOST_LISTED`, and what they hold up to `LIST_BYTES`."""
        return await self._configurations.list(
            principal.id,
            framework=wanted.framework,
            templates=wanted.templates,
            public=wanted.public,
            search=wanted.search,
            limit=MOST_LISTED,
            most_bytes=LIST_BYTES,
        )

    async def named(self, principal: Principal, *configurations: dict[str, Any]) -> Configuration | None:
        """The saved configuration that the first of these names with `configurationId`, if one does.

        Raises `InvalidInput` for one that the caller does not see.
        """
        given = next((each[CONFIGURATION_ID] for each in configurations if CONFIGURATION_ID in each), None)
        if given is None:
            return None
        found = await self._configurations.get(given) if isinstance(given, str) else None
        if found is None or not (found.public or found.owner == principal.id):
            raise InvalidInput(
                "There is no such configuration",
                field=f"configuration.{CONFIGURATION_ID}",
                provided=str(given)[:80],
                expected="the id of a saved configuration",
            )
        return found

    async def used(self, configuration: Configuration) -> None:
        """Count an execution that used it."""
        await self._configurations.used(configuration.id)
