"""Environment variables that nobody reads because their names are misspelt."""

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
_NEARLY_THE_SAME: Final = 0.92  # where the beginning is misspelt, too


def setting_variables() -> tuple[str, ...]:
    """Every variable that the settings read."""
    return tuple(variable for name in Settings.model_fields for variable in _variables(name))


def _variables(name: str) -> Iterable[str]:
    alias = Settings.model_fields[name].validation_alias
    return map(str, getattr(alias, "choices", [alias] if alias else [f"ORCHESTRATOR_{name.upper()}"]))


def not_read(env_file: Path = Path(".env")) -> list[str]:
    """Variables in the file that count in the environment alone."""
    return [name for name in _names_in(env_file) if name in NOT_IN_FILES]


def _names_in(env_file: Path) -> list[str]:
    return _LINE.findall(env_file.read_text(errors="replace")) if env_file.is_file() else []


def misspelt(environment: Mapping[str, str], env_file: Path = Path(".env")) -> dict[str, str]:
    """Names that are nearly those of settings, with the names that are probably meant."""
    known = (*setting_variables(), *_TEMPORAL, *_COMPOSE)
    strange = {name for name in (*environment, *_names_in(env_file)) if "_" in name} - {*known}
    nearest = {
        name: get_close_matches(name, known, n=1, cutoff=_CLOSE if name.startswith(_PREFIXES) else _NEARLY_THE_SAME)
        for name in sorted(strange)
    }
    return {name: close[0] for name, close in nearest.items() if close}
