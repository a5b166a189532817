"""The client: signs in where it has a user, and keeps the tokens fresh."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack

from devora._async import runtime
from devora._async.resource import read
from devora._async.transport import AsyncTransport, Request
from devora._config import DEFAULT_MAX_RETRIES, DEFAULT_TIMEOUT, CallOptions, Config
from devora._model import Model
from devora.errors import AuthenticationError, ConfigurationError
from devskyy_client.models import (
    Configuration,
    Decision,
    DeploymentReadiness,
    EndpointList,
    Health,
    Partnership,
    PartnershipMetrics,
    SystemStatus,
    Tokens,
)

if TYPE_CHECKING:
    import httpx2

_ORCHESTRATION: Final = "/api/v1/orchestration"
_AUTH: Final = "/api/v1/auth"
# Seconds before the end of an access token at which it is replaced.
_EARLY: Final = 30.0
Answer = TypeVar("Answer", bound=Model)


class AsyncDevSkyyClient:
    """A client of the DevSkyy orchestration API.

    Give a user's `username` and `password`, or an `api_key`; each comes from `DEVSKYY_USERNAME`, `DEVSKYY_PASSWORD` and
    `DEVSKYY_API_KEY` where it is left out. A user is signed in at the first call, and the tokens are kept fresh.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        username: str | None = None,
        password: str | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_retries: int = DEFAULT_MAX_RETRIES,
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        self._username = username or os.environ.get("DEVSKYY_USERNAME", "")
        self._password = password or os.environ.get("DEVSKYY_PASSWORD", "")
        config = Config(
            # A user that is given wins over a key of the environment.
            api_key="" if username else api_key,
            base_url=base_url,
            timeout=timeout,
            max_retries=max_retries,
            default_headers=None,
            on_retry=None,
            product="devskyy",
            key_variable="DEVSKYY_API_KEY",
            url_variable="DEVSKYY_API_URL",
            default_base_url="https://api.devskyy.com",
            prefix="",
            needs_key=not self._username,
        )
        if self._username and not self._password:
            raise ConfigurationError("A username needs a password: give password, or set DEVSKYY_PASSWORD")
        self._signs_in = not config.api_key
        self._transport = AsyncTransport(config, http_client)
        self._tokens: Tokens | None = None
        self._fresh_until = 0.0
        self._signing_in = runtime.Lock()

    async def health(self, **options: Unpack[CallOptions]) -> Health:
        """The system and every partnership."""
        return await self._get(Health, "/health", **options)

    async def metrics(self, **options: Unpack[CallOptions]) -> list[PartnershipMetrics]:
        """Uptime, response time and success of every partnership."""
        return await self._list(PartnershipMetrics, "/metrics", **options)

    async def decide(self, context: dict[str, Any], **options: Unpack[CallOptions]) -> Decision:
        """A decision for a context: goal, time, money, options, constraints."""
        request = await self._request("POST", f"{_ORCHESTRATION}/decisions", body={"context": context}, **options)
        return read(Decision, await self._transport.send(request))

    async def partnerships(self, **options: Unpack[CallOptions]) -> list[Partnership]:
        """Progress and deliverables of every partnership."""
        return await self._list(Partnership, "/partnerships", **options)

    async def status(self, **options: Unpack[CallOptions]) -> SystemStatus:
        """The parts of the installation, what the answering process uses, and the latest jobs."""
        return await self._get(SystemStatus, "/status", **options)

    async def configuration(self, **options: Unpack[CallOptions]) -> Configuration:
        """Every setting, for the role `admin`."""
        return await self._get(Configuration, "/config", **options)

    async def deployment_readiness(self, **options: Unpack[CallOptions]) -> DeploymentReadiness:
        """What is missing for production."""
        return await self._get(DeploymentReadiness, "/deployment/readiness", **options)

    async def endpoints(self, **options: Unpack[CallOptions]) -> EndpointList:
        """Every operation of the API."""
        return await self._get(EndpointList, "/docs/endpoints", **options)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _get(self, model: type[Answer], path: str, **options: Unpack[CallOptions]) -> Answer:
        return read(model, await self._transport.send(await self._request("GET", _ORCHESTRATION + path, **options)))

    async def _list(self, model: type[Answer], path: str, **options: Unpack[CallOptions]) -> list[Answer]:
        response = await self._transport.send(await self._request("GET", _ORCHESTRATION + path, **options))
        items = response.parsed_body()
        return [model.from_wire(item, response) for item in items if isinstance(item, dict)]

    async def _request(self, method: str, path: str, *, body: Any = None, **options: Unpack[CallOptions]) -> Request:
        config = self._transport.config
        if self._signs_in:
            token = await self._access_token()
            options["headers"] = {**options.get("headers", {}), "Authorization": f"Bearer {token}"}
        return Request(config, method, path, body=body, default_timeout=config.timeout, **options)

    async def _access_token(self) -> str:
        # A refresh token is good for one use: two threads must not use the same one.
        async with self._signing_in:
            if self._tokens is None or time.monotonic() > self._fresh_until:
                self._tokens = await self._new_tokens(self._tokens)
                self._fresh_until = time.monotonic() + self._tokens.expires_in - _EARLY
            return self._tokens.access_token

    async def _new_tokens(self, old: Tokens | None) -> Tokens:
        if old is not None:
            try:
                # Without a repetition: a refresh token that was used and is sent again voids the sign-in.
                return await self._sign("refresh", {"refresh_token": old.refresh_token}, max_retries=0)
            except AuthenticationError:
                pass  # expired, or used by a refresh whose answer was lost
        return await self._sign("login", {"username": self._username, "password": self._password})

    async def _sign(self, verb: str, body: dict[str, str], **options: Unpack[CallOptions]) -> Tokens:
        config = self._transport.config
        request = Request(config, "POST", f"{_AUTH}/{verb}", body=body, default_timeout=DEFAULT_TIMEOUT, **options)
        return read(Tokens, await self._transport.send(request))
