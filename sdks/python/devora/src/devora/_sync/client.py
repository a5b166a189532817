"""The client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from devora._config import DEFAULT_MAX_RETRIES, DEFAULT_TIMEOUT, CallOptions, Config, Retry
from devora._responses import RawResponse
from devora._sync.account_events import AccountEvents
from devora._sync.agents import Agents
from devora._sync.audit import Audit
from devora._sync.handles import Job
from devora._sync.jobs import Jobs
from devora._sync.keys import Keys
from devora._sync.metrics import Metrics
from devora._sync.resource import Resource, read
from devora._sync.schedules import Schedules
from devora._sync.transport import Request, Transport
from devora._sync.users import Users
from devora._sync.webhooks import Webhooks
from devora._sync.workflows import Workflows
from devora.errors import ServiceUnavailableError
from devora.models import Accepted, Limits, Me, Readiness

if TYPE_CHECKING:
    import httpx2


class DevoraClient(Resource):
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
        http_client: httpx2.Client | None = None,
    ) -> None:
        config = Config(
            api_key=api_key,
            base_url=base_url,
            timeout=timeout,
            max_retries=max_retries,
            default_headers=default_headers,
            on_retry=on_retry,
        )
        super().__init__(Transport(config, http_client))
        self.agents = Agents(self._transport)
        self.workflows = Workflows(self._transport)
        self.jobs = Jobs(self._transport)
        self.metrics = Metrics(self._transport)
        self.keys = Keys(self._transport)
        self.schedules = Schedules(self._transport)
        self.webhooks = Webhooks(self._transport)
        self.users = Users(self._transport)
        self.audit = Audit(self._transport)
        self.events = AccountEvents(self._transport)

    @property
    def base_url(self) -> str:
        """The URL of the API."""
        return self._transport.config.base_url

    def job(self, job_id: str) -> Job:
        """Return a handle on a job by its id. Sends no request."""
        return Job(self._transport, Accepted.from_wire({"job_id": job_id}))

    def me(self, **options: Unpack[CallOptions]) -> Me:
        """Return the caller and the scopes of the key."""
        return self._call(Me, "GET", "/auth/me", **options)

    def limits(self, **options: Unpack[CallOptions]) -> Limits:
        """Return the limits and the usage of the caller."""
        return self._call(Limits, "GET", "/limits", **options)

    def health(self, **options: Unpack[CallOptions]) -> Readiness:
        """Whether the server can run jobs, part by part. A server that is not ready raises no error: see `ready`."""
        request = Request(
            self._transport.config, "GET", "/readyz", at_root=True, default_timeout=DEFAULT_TIMEOUT, **options
        )
        try:
            return read(Readiness, self._transport.send(request))
        except ServiceUnavailableError as fault:
            if fault.response is None or not isinstance(fault.body, dict) or "checks" not in fault.body:
                raise
            return read(Readiness, fault.response)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        **options: Unpack[CallOptions],
    ) -> RawResponse:
        """Send any request, with the key, retries and deadline of every call. `path` is that after `/v1`."""
        return self._send(method.upper(), path, query=query, body=body, **options)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"
