"""Saves, lists and uses configurations of users' agents (O-032 to O-035)."""

import builtins
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any, Final

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.rows import LIST_BYTES, check_size
from orchestrator.domain.user_agents import Configuration, Framework
from orchestrator.storage.configurations import ConfigurationRepository

MAX_LISTED: Final = 1000
CONFIGURATION_ID: Final = "configurationId"


@dataclass(frozen=True, slots=True)
class ConfigurationRequest:
    """The values of a new configuration."""

    name: str
    framework: Framework
    configuration: dict[str, Any]
    description: str | None = None
    template: bool = False
    public: bool = False


@dataclass(frozen=True, slots=True)
class ConfigurationFilter:
    """Selects configurations for a list. `public` adds public ones of all owners. Empty fields do not filter."""

    framework: Framework | None = None
    templates: bool = False
    public: bool = False
    search: str | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Configurations:
    """Saved configurations. Every method raises `Unavailable` if the index does not answer."""

    configurations: ConfigurationRepository
    _: KW_ONLY
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    most: int

    async def save(self, principal: Principal, request: ConfigurationRequest) -> Configuration:
        """A new configuration of the caller. Raises `InvalidInput` if it is too large, or above the limit of `most`."""
        check_size(
            "configuration", name=request.name, description=request.description, configuration=request.configuration
        )
        at = self.clock()
        configuration = Configuration(
            id=f"config_{self.new_id()}",
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
        await self.configurations.add(configuration, most=self.most)
        return configuration

    async def list(self, principal: Principal, filter: ConfigurationFilter) -> builtins.list[Configuration]:
        """The caller's configurations, newest first: at most `MAX_LISTED`, and at most `LIST_BYTES` of contents."""
        return await self.configurations.list(
            principal.id,
            framework=filter.framework,
            templates=filter.templates,
            public=filter.public,
            search=filter.search,
            limit=MAX_LISTED,
            most_bytes=LIST_BYTES,
        )

    async def named(self, principal: Principal, *configurations: dict[str, Any]) -> Configuration | None:
        """The saved configuration that the first of these names in `configurationId`, or None.

        Raises `InvalidInput` for a configuration that the caller may not see.
        """
        saved_id = next((each[CONFIGURATION_ID] for each in configurations if CONFIGURATION_ID in each), None)
        if saved_id is None:
            return None
        saved = await self.configurations.get(saved_id) if isinstance(saved_id, str) else None
        if saved is None or not (saved.public or saved.owner == principal.id):
            raise InvalidInput(
                f"Unknown configuration: {str(saved_id)[:80]}",
                field=f"configuration.{CONFIGURATION_ID}",
                provided=str(saved_id)[:80],
                expected="the id of a saved configuration",
            )
        return saved

    async def used(self, configuration: Configuration) -> None:
        """Count an execution that uses the configuration."""
        await self.configurations.used(configuration.id)
