"""The client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from devora._async.account_events import AsyncAccountEvents
from devora._async.agents import AsyncAgents
from devora._async.audit import AsyncAudit
from devora._async.handles import AsyncJob
from devora._async.jobs import AsyncJobs
from devora._async.keys import AsyncKeys
from devora._async.metrics import AsyncMetrics
from devora._async.resource import AsyncResource, read
from devora._async.schedules import AsyncSchedules
from devora._async.transport import AsyncTransport, Request
from devora._async.users import AsyncUsers
from devora._async.webhooks import AsyncWebhooks
from devora._async.workflows import AsyncWorkflows
from devora._config import DEFAULT_MAX_RETRIES, DEFAULT_TIMEOUT, CallOptions, Config, Retry
from devora._responses import RawResponse
from devora.errors import ServiceUnavailableError
from devora.models import Accepted, Limits, Me, Readiness

if TYPE_CHECKING:
    import httpx2


class AsyncDevoraClient(AsyncResource):
    """A client of the Devora API.

    `api_key` and `base_url` come from `DEVORA_API_KEY` and `DEVORA_BASE_URL` where they are left out. `timeout` is
    how many seconds a call may take, all of its attempts together; `max_retries` how often a request is sent again.
    `on_retry` is called before each repetition. `http_client` replaces the client's own pool of connections, and is
    not closed with it.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_retries: int = DEFAULT_MAX_RETRIES,
        default_headers: Mapping[str, str] | None = None,
        on_retry: Callable[[Retry], None] | None = None,
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        config = Config(
            api_key=api_key,
            base_url=base_url,
            timeout=timeout,
            max_retries=max_retries,
            default_headers=default_headers,
            on_retry=on_retry,
        )
        super().__init__(AsyncTransport(config, http_client))
        self.agents = AsyncAgents(self._transport)
        self.workflows = AsyncWorkflows(self._transport)
        self.jobs = AsyncJobs(self._transport)
        self.metrics = AsyncMetrics(self._transport)
        self.keys = AsyncKeys(self._transport)
        self.schedules = AsyncSchedules(self._transport)
        self.webhooks = AsyncWebhooks(self._transport)
        self.users = AsyncUsers(self._transport)
        self.audit = AsyncAudit(self._transport)
        self.events = AsyncAccountEvents(self._transport)

    @property
    def base_url(self) -> str:
        """The URL of the API."""
        return self._transport.config.base_url

    def job(self, job_id: str) -> AsyncJob:
        """Return a handle on a job by its id. Sends no request."""
        return AsyncJob(self._transport, Accepted.from_wire({"job_id": job_id}))

    async def me(self, **options: Unpack[CallOptions]) -> Me:
        """Return the caller and the scopes of the key."""
        return await self._call(Me, "GET", "/auth/me", **options)

    async def limits(self, **options: Unpack[CallOptions]) -> Limits:
        """Return the limits and the usage of the caller."""
        return await self._call(Limits, "GET", "/limits", **options)

    async def health(self, **options: Unpack[CallOptions]) -> Readiness:
        """Whether the server can run jobs, part by part. A server that is not ready raises no error: see `ready`."""
        request = Request(
            self._transport.config, "GET", "/readyz", at_root=True, default_timeout=DEFAULT_TIMEOUT, **options
        )
        try:
            return read(Readiness, await self._transport.send(request))
        except ServiceUnavailableError as fault:
            if fault.response is None or not isinstance(fault.body, dict) or "checks" not in fault.body:
                raise
            return read(Readiness, fault.response)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        **options: Unpack[CallOptions],
    ) -> RawResponse:
        """Send any request, with the key, retries and deadline of every call. `path` is that after `/v1`."""
        return await self._send(method.upper(), path, query=query, body=body, **options)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"
