"""The HTTP client of the commands: starts a job and follows it through the public API."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from orchestrator.commandline.run.job_view import FollowedJob
from orchestrator.commandline.server.tasks import cancelled
from orchestrator.commandline.terminal.exits import FAILED, Refused
from orchestrator.domain.backoff import Backoff
from orchestrator.domain.ids import JobKind
from orchestrator.network.loopback import leads_to_this_machine

_TIMEOUT: Final = httpx2.Timeout(30, connect=5)
_STREAM_TIMEOUT: Final = httpx2.Timeout(30, connect=5, read=45)  # Three keep-alives of the stream.
_POLL: Final = 2.0
_BACKOFF: Final = Backoff(0.5, 5.0)
_START_SECONDS: Final = 30.0
_READ_SECONDS: Final = 300.0
_START: Final = {JobKind.WORKFLOW: "/v1/workflows/{}/run", JobKind.AGENT: "/v1/agents/{}/execute"}
_RETRYABLE: Final = (429, 500, 502, 503, 504)
_OBJECT: Final = TypeAdapter(dict[str, Any])

M = TypeVar("M", bound=BaseModel)


class _Fault(BaseModel):
    model_config = ConfigDict(extra="ignore")

    message: str
    details: dict[str, Any] = Field(default_factory=dict)


class _Envelope(BaseModel):
    error: _Fault


class Rejected(Refused):
    """The API refuses a request, and a repetition would not help. `field` is the invalid field of the request."""

    def __init__(self, message: str, status: int, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.field = field


class _Accepted(BaseModel):
    job_id: str


class NoAnswer(Exception):
    """The API did not respond, or refused for now; the message says why.

    `retry_after` is the number of seconds to wait. `limited`: a limit of the caller is reached. `unsure`: the API may
    have carried out the request. `problem` is the same for all errors of one outage, whose messages may differ.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        limited: bool = False,
        unsure: bool = True,
        problem: str | None = None,
    ) -> None:
        super().__init__(message)
        self.problem = problem or message
        self.retry_after = retry_after
        self.limited = limited
        self.unsure = unsure and not limited


class ApiClient:
    """Calls one API with one key. Raises `Refused` for responses that a repetition would not change.

    The constructor raises `Refused` for an invalid address or key.
    """

    def __init__(self, base_url: str, api_key: str, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        if not _is_address(base_url):
            raise Refused(f"invalid --api-url {base_url!r}: expected http://host:port")
        if not (api_key.isascii() and api_key.isprintable()):
            raise Refused("the API key contains invalid characters; was it truncated or pasted wrongly?")
        self.base_url = base_url.rstrip("/")
        self._http = httpx2.AsyncClient(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=not leads_to_this_machine(base_url),
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def kind_of(self, target: str) -> JobKind:
        """Whether an id is a workflow's or an agent's. Raises `Refused`, also if the API does not respond."""
        for kind in (JobKind.WORKFLOW, JobKind.AGENT):
            try:
                response = await self._http.get(f"/v1/{kind}s/{quote(target, safe='')}")
            except httpx2.TransportError as fault:
                raise Refused(str(self._no_answer(fault)), FAILED) from fault
            if response.status_code != httpx2.codes.NOT_FOUND:
                self._check(response)
                return kind
        raise Refused(f"there is no workflow or agent `{target}`; {self.base_url}/v1/workflows lists the workflows")

    async def is_job(self, target: str) -> bool:
        """Whether the API knows a job with this id, which may be that of a workflow started in Temporal."""
        try:
            response = await self._http.get(job_path(target))
        except httpx2.TransportError:
            return False  # the next request reports the error
        return response.is_success

    async def start(self, kind: JobKind, target: str, body: dict[str, Any]) -> str:
        """Start a job and return its id. Tries for 30 s with one idempotency key, so that it cannot start twice.

        Raises `Refused`.
        """
        key = uuid.uuid4().hex
        deadline = _now() + _START_SECONDS
        pauses = _BACKOFF.pauses()
        while True:
            try:
                response = await self._request("POST", _START[kind].format(quote(target, safe="")), json=body, key=key)
                return parsed(_Accepted, response.content).job_id
            except NoAnswer as fault:
                if _now() > deadline:
                    raise Refused(f"cannot start the job: {fault}", FAILED) from fault
            await asyncio.sleep(next(pauses))

    async def job(self, job_id: str) -> FollowedJob:
        """The current state of a job. Raises `NoAnswer`, `Refused`."""
        return parsed(FollowedJob, await self.job_json(job_id))

    async def job_json(self, job_id: str) -> bytes:
        """The job as the API's JSON. Raises `NoAnswer`, `Refused`."""
        return (await self._request("GET", job_path(job_id))).content

    async def output(self, job_id: str) -> dict[str, Any] | None:
        """The job's output, or the output of its finished calls; None if there is none."""
        try:
            response = await self._request("GET", f"{job_path(job_id)}/output")
        except (NoAnswer, Refused):
            return None
        return _OBJECT.validate_json(response.content)

    async def follow(self, job_id: str) -> AsyncGenerator[FollowedJob | NoAnswer, None]:
        """Yield the job after each of its events, and every two seconds, until it ends.

        Yields errors of the connection too, and tries again for five minutes. Raises `Refused`.
        """
        new_event = asyncio.Event()
        listener = asyncio.ensure_future(self._listen(job_id, new_event))
        last_response = _now()
        try:
            while True:
                new_event.clear()
                try:
                    job = await self.job(job_id)
                except NoAnswer as fault:
                    if _now() - last_response > _READ_SECONDS:
                        raise Refused(f"{fault}; the job {job_id} continues", FAILED) from fault
                    yield fault
                else:
                    last_response = _now()
                    yield job
                    if job.completed_at is not None:
                        return
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL):
                        await new_event.wait()
        finally:
            await cancelled(listener)

    async def _listen(self, job_id: str, new_event: asyncio.Event) -> None:
        """Set `new_event` at each event of the job; after an interruption, continue after the last event."""
        last, pauses = "", _BACKOFF.pauses()
        while True:
            try:
                async with aclosing(self._events(job_id, last)) as events:
                    async for event in events:
                        last, pauses = event.id or last, _BACKOFF.pauses()
                        new_event.set()
            except httpx2.SSEError:
                last = ""  # the API may have refused this cursor
            except httpx2.TransportError:
                new_event.set()  # the next read of the job reports the error
            await asyncio.sleep(next(pauses))

    async def _events(self, job_id: str, after: str) -> AsyncGenerator[httpx2.ServerSentEvent, None]:
        headers = {"Last-Event-ID": after} if after else {}
        path = f"{job_path(job_id)}/events?deltas=false"
        # The last event contains the whole output.
        async with self._http.sse(path, headers=headers, timeout=_STREAM_TIMEOUT, max_event_size=None) as events:
            async for event in events:
                yield event

    async def _request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: dict[str, str | int] | None = None,
        key: str | None = None,
    ) -> httpx2.Response:
        headers = {"Idempotency-Key": key} if key else None
        try:
            response = await self._http.request(method, path, json=json, params=params, headers=headers)
        except httpx2.TransportError as fault:
            raise self._no_answer(fault) from fault
        if response.status_code in _RETRYABLE:
            limited = response.status_code == httpx2.codes.TOO_MANY_REQUESTS
            raise NoAnswer(
                _message(response)
                if limited
                else f"{self.base_url} answers {response.status_code}: {_message(response)}",
                retry_after=_seconds(response.headers.get("Retry-After")),
                limited=limited,
            )
        self._check(response)
        return response

    def _no_answer(self, fault: httpx2.TransportError) -> NoAnswer:
        never_sent = isinstance(fault, httpx2.ConnectError | httpx2.ConnectTimeout)
        advice = ""
        if "SSL" in str(fault):
            advice = "; does the API use https, with a certificate that this machine trusts?"
        elif never_sent:
            advice = "; start the API with `orchestrator dev`, or pass its address with --api-url"
        elif isinstance(fault, httpx2.ProtocolError):
            advice = "; is it another program? Pass the address of the API with --api-url"
        problem = f"no response from {self.base_url}"
        return NoAnswer(f"{problem} ({_words(fault)}){advice}", unsure=not never_sent, problem=problem)

    def _check(self, response: httpx2.Response) -> None:
        """Raises `Rejected` unless the request succeeded."""
        if response.is_success:
            return
        if response.is_redirect:
            place = response.headers.get("Location", "another address")
            raise Rejected(f"{self.base_url} redirects to {place}; pass that host with --api-url", response.status_code)
        fault = _fault(response)
        if fault is None:
            kind = response.headers.get("Content-Type", "no content type").split(";")[0]
            raise Rejected(
                f"{self.base_url} does not respond like this API (HTTP {response.status_code}, {kind}); is it another "
                "program? Pass the address of the API with --api-url",
                response.status_code,
            )
        advice = ""
        if response.status_code in (401, 403):
            advice = "; pass another key with --api-key or ORCHESTRATOR_API_KEY"
        field = fault.details.get("field")
        raise Rejected(_message(response) + advice, response.status_code, field if isinstance(field, str) else None)


def parsed(model: type[M], body: bytes) -> M:
    """A parsed response. Raises `Refused` if it cannot be from this API."""
    try:
        return model.model_validate_json(body)
    except ValidationError as fault:
        begins = body[:60].decode(errors="replace")
        raise Refused(
            f"a response is not from this API (it begins with {begins!r}); is it another program? Pass the API's "
            "address with --api-url",
            FAILED,
        ) from fault


def _fault(response: httpx2.Response) -> _Fault | None:
    """The error in a response, or None if the response is not from this API."""
    try:
        return _Envelope.model_validate_json(response.content).error
    except ValueError:
        return None


def _message(response: httpx2.Response) -> str:
    fault = _fault(response)
    if fault is None:
        return response.reason_phrase or f"HTTP {response.status_code}"
    expected = fault.details.get("expected")
    return f"{fault.message} (expected: {expected})" if expected and expected not in fault.message else fault.message


def _seconds(retry_after: str | None) -> float | None:
    """The number of seconds of a `Retry-After` header; None if it is missing or a date."""
    try:
        return None if retry_after is None else max(0.0, float(retry_after))
    except ValueError:
        return None


def job_path(job_id: str) -> str:
    """The path of a job. Its id may be that of any workflow, so it is quoted."""
    return f"/v1/jobs/{quote(job_id, safe='')}"


def _words(fault: Exception) -> str:
    return str(fault) or type(fault).__name__


def _is_address(url: str) -> bool:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host)


def _now() -> float:
    return asyncio.get_running_loop().time()
