"""Secrets of tools by name: read in the worker, and masked in everything that a tool returns."""

from collections.abc import Iterable, Mapping
from typing import Final

from orchestrator.domain.errors import AgentError
from orchestrator.domain.tool_schemas import Secret
from orchestrator.runtime import masking

_SHORTEST: Final = 4  # A shorter value would mask parts of ordinary words.


class ToolSecrets:
    """The environment variables that tools name."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._read: set[str] = set()

    def value(self, secret: Secret) -> str:
        """The value of a secret. Raises `AgentError`, not retryable, if this worker does not have it."""
        value = self._environment.get(secret.name)
        if not value:
            message = f"The environment variable {secret.name} is not set on this worker."
            raise AgentError(message, kind="secret_missing", retryable=False)
        if len(value) >= _SHORTEST:
            self._read.add(value)
        return value

    def missing(self, secrets: Iterable[Secret]) -> list[str]:
        """The names without a value."""
        return sorted({secret.name for secret in secrets if not self._environment.get(secret.name)})

    def masked(self, text: str) -> str:
        """The text without the values that were read so far, in any form."""
        return masking.masked(text, self._read)
