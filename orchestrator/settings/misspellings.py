"""Finds environment variables that are not read because their names are misspelt."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from orchestrator.settings import Settings
from orchestrator.settings.sources import NOT_IN_FILES

_TEMPORAL: Final = (
    *("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_API_KEY", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE"),
    *("TEMPORAL_TLS", "TEMPORAL_TLS_SERVER_NAME", "TEMPORAL_TLS_SERVER_CA_CERT_PATH"),
    *("TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CLIENT_KEY_PATH"),
)
_COMPOSE: Final = ("ORCHESTRATOR_API_PORTS",)
_PREFIXES: Final = ("ORCHESTRATOR_", "TEMPORAL_", "OPENAI_", "OPEN_AI_", "ANTHROPIC_")
_LINE: Final = re.compile(r"^\s*(?:export\s+)?([A-Z_]+)\s*=", re.MULTILINE)
_CLOSE: Final = 0.85
_VERY_CLOSE: Final = 0.92  # if the prefix is misspelt too


def setting_variables() -> tuple[str, ...]:
    """All variables that the settings read."""
    return tuple(variable for name in Settings.model_fields for variable in _variables(name))


def _variables(name: str) -> Iterable[str]:
    alias = Settings.model_fields[name].validation_alias
    return map(str, getattr(alias, "choices", [alias] if alias else [f"ORCHESTRATOR_{name.upper()}"]))


def not_read(env_file: Path = Path(".env")) -> list[str]:
    """Variables in the file that are read only from the environment."""
    return [name for name in _names_in(env_file) if name in NOT_IN_FILES]


def _names_in(env_file: Path) -> list[str]:
    return _LINE.findall(env_file.read_text(errors="replace")) if env_file.is_file() else []


def misspelt(environment: Mapping[str, str], env_file: Path = Path(".env")) -> dict[str, str]:
    """Variables whose names are close to a setting's, each with the name of that setting."""
    valid = (*setting_variables(), *_TEMPORAL, *_COMPOSE)
    unknown = {name for name in (*environment, *_names_in(env_file)) if "_" in name} - {*valid}
    nearest = {
        name: get_close_matches(name, valid, n=1, cutoff=_CLOSE if name.startswith(_PREFIXES) else _VERY_CLOSE)
        for name in sorted(unknown)
    }
    return {name: matches[0] for name, matches in nearest.items() if matches}
