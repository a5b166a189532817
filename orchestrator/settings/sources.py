"""Where settings come from: arguments, the environment, a file `.env`, and a folder with a file for each secret."""

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

# Read in the environment alone: whoever wrote the folder in which a command happens to run must not choose its code.
NOT_IN_FILES: Final = ("ORCHESTRATOR_PLUGINS", "ORCHESTRATOR_SECRETS_DIR")


class SourcedSettings(BaseSettings):
    """Settings that are read from all of these places."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, the environment, `.env`, and the files of `ORCHESTRATOR_SECRETS_DIR`, in this order."""
        folder = os.environ.get("ORCHESTRATOR_SECRETS_DIR", "").strip()
        if folder:
            if not Path(folder).is_dir():
                raise SettingsError(f"ORCHESTRATOR_SECRETS_DIR: there is no folder {folder}")
            file_secret_settings = SecretsSettingsSource(settings_cls, secrets_dir=folder)
        if isinstance(dotenv_settings, DotEnvSettingsSource):
            read = dotenv_settings.env_vars
            dotenv_settings.env_vars = {name: read[name] for name in read if name.upper() not in NOT_IN_FILES}
        return init_settings, env_settings, dotenv_settings, file_secret_settings
