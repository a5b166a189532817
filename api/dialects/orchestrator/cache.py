"""A cache of answers by endpoint and parameters (M-050)."""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any


class APICache:
    """Stores answers for `ttl` seconds, in this process."""

    def __init__(self, ttl: int = 300, *, timer: Callable[[], float] = time.monotonic) -> None:
        self.ttl = ttl
        self._timer = timer
        self._answers: dict[str, tuple[dict[str, Any], float]] = {}

    def get_key(self, endpoint: str, params: dict[str, Any]) -> str:
        """Return the key of an answer: the MD5 of both, as documented. It protects nothing."""
        content = f"{endpoint}:{json.dumps(params, sort_keys=True)}"
        return hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()

    async def get(self, key: str) -> dict[str, Any] | None:
        """Return the stored answer, or None if it is older than `ttl` seconds."""
        data, since = self._answers.get(key, (None, 0.0))
        return data if data is not None and self._timer() - since < self.ttl else None

    async def set(self, key: str, data: dict[str, Any]) -> None:
        """Store an answer."""
        self._answers[key] = (data, self._timer())
