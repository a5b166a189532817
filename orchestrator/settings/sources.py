"""The sources of settings: arguments, the environment, a file `.env`, and a folder with one file per secret."""

import os
from pathlib import Path
from typing import Final

from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsError,
)

# Read only from the environment: the author of the folder in which a command runs must not choose its code.
NOT_IN_FILES: Final = ("ORCHESTRATOR_PLUGINS", "ORCHESTRATOR_SECRETS_DIR")


class SourcedSettings(BaseSettings):
    """Settings from these sources."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, the environment, `.env`, files of `ORCHESTRATOR_SECRETS_DIR`: the first one with a value wins."""
        folder = os.environ.get("ORCHESTRATOR_SECRETS_DIR", "").strip()
        if folder:
            if not Path(folder).is_dir():
                raise SettingsError(f"ORCHESTRATOR_SECRETS_DIR: the folder {folder} does not exist")
            file_secret_settings = SecretsSettingsSource(settings_cls, secrets_dir=folder)
        if isinstance(dotenv_settings, DotEnvSettingsSource):
            variables = dotenv_settings.env_vars
            dotenv_settings.env_vars = {name: variables[name] for name in variables if name.upper() not in NOT_IN_FILES}
        return init_settings, env_settings, dotenv_settings, file_secret_settings
