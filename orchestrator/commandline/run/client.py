"""The HTTP client of the commands: it starts a job and follows it as any client does."""

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
from orchestrator.domain.ids import JobKind
from orchestrator.network.loopback import leads_to_this_machine

_TIMEOUT: Final = httpx2.Timeout(30, connect=5)
_STREAM_TIMEOUT: Final = httpx2.Timeout(30, connect=5, read=45)  # Three of the stream's keep-alives.
_LOOK_AGAIN: Final = 2.0
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
_START_PATIENCE: Final = 30.0
_READ_PATIENCE: Final = 300.0
_START: Final = {JobKind.WORKFLOW: "/v1/workflows/{}/run", JobKind.AGENT: "/v1/agents/{}/execute"}
_AGAIN: Final = (429, 500, 502, 503, 504)
_OBJECT: Final = TypeAdapter(dict[str, Any])

M = TypeVar("M", bound=BaseModel)


class _Fault(BaseModel):
    model_config = ConfigDict(extra="ignore")

    message: str
    details: dict[str, Any] = Field(default_factory=dict)


class _Envelope(BaseModel):
    error: _Fault


class Rejected(Refused):
    """The API refuses a request for good. `status` is the HTTP status, `field` what the request got wrong."""

    def __init__(self, message: str, status: int, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.field = field


class _Accepted(BaseModel):
    job_id: str


class NoAnswer(Exception):
    """The API did not answer, or not now; the message says how.

    `retry_after` is the number of seconds that it asks to wait. `limited`: a limit of the caller's is reached.
    `unsure`: it may have done what was asked.
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, limited: bool = False, unsure: bool = True
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.limited = limited
        self.unsure = unsure and not limited


class ApiClient:
    """One API and one key. Answers that no other attempt would change raise `Refused`, the others are tried again.

    An address or a key that cannot be one raises `Refused` at once.
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
        """Whether an id is a workflow's or an agent's. Raises `Refused` when it is neither, or nothing answers."""
        for kind in (JobKind.WORKFLOW, JobKind.AGENT):
            try:
                answer = await self._http.get(f"/v1/{kind}s/{quote(target, safe='')}")
            except httpx2.TransportError as fault:
                raise Refused(str(self._no_answer(fault)), FAILED) from fault
            if answer.status_code != httpx2.codes.NOT_FOUND:
                self._check(answer)
                return kind
        raise Refused(f"there is no workflow and no agent `{target}`; see {self.base_url}/docs")

    async def is_job(self, target: str) -> bool:
        """Whether the API knows a job of that id, which may be that of a workflow started in Temporal."""
        try:
            answer = await self._http.get(job_path(target))
        except httpx2.TransportError:
            return False  # whoever asks for more says so
        return answer.is_success

    async def start(self, kind: JobKind, target: str, body: dict[str, Any]) -> str:
        """Start a job and answer its id. Tried again for 30 s under one key, so that it cannot start twice.

        Raises `Refused`.
        """
        key = uuid.uuid4().hex
        deadline = _now() + _START_PATIENCE
        pause = _FIRST_PAUSE
        while True:
            try:
                answer = await self._request("POST", _START[kind].format(quote(target, safe="")), json=body, key=key)
                return parsed(_Accepted, answer.content).job_id
            except NoAnswer as fault:
                if _now() > deadline:
                    raise Refused(f"the job could not be started: {fault}", FAILED) from fault
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def job(self, job_id: str) -> FollowedJob:
        """The job as it is now. Raises `NoAnswer`, `Refused`."""
        return parsed(FollowedJob, await self.job_json(job_id))

    async def job_json(self, job_id: str) -> bytes:
        """The job as the API words it. Raises `NoAnswer`, `Refused`."""
        return (await self._request("GET", job_path(job_id))).content

    async def output(self, job_id: str) -> dict[str, Any] | None:
        """The job's output, or what is left of a job that ended without; None where nothing is to be had."""
        try:
            answer = await self._request("GET", f"{job_path(job_id)}/output")
        except (NoAnswer, Refused):
            return None
        return _OBJECT.validate_json(answer.content)

    async def follow(self, job_id: str) -> AsyncGenerator[FollowedJob | NoAnswer, None]:
        """The job at each piece of news, and every two seconds; ends with its end.

        A fault is told once and then waited out, for five minutes at most. Raises `Refused`.
        """
        news = asyncio.Event()
        listening = asyncio.ensure_future(self._listen(job_id, news))
        answered = _now()
        try:
            while True:
                news.clear()
                try:
                    job = await self.job(job_id)
                except NoAnswer as fault:
                    if _now() - answered > _READ_PATIENCE:
                        raise Refused(f"{fault}; the job {job_id} goes on without us", FAILED) from fault
                    yield fault
                else:
                    answered = _now()
                    yield job
                    if job.completed_at is not None:
                        return
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_AGAIN):
                        await news.wait()
        finally:
            await cancelled(listening)

    async def _listen(self, job_id: str, news: asyncio.Event) -> None:
        """Set `news` at each event of the job; after a break go on where the stream ended."""
        last, pause = "", _FIRST_PAUSE
        while True:
            try:
                async with aclosing(self._events(job_id, last)) as events:
                    async for event in events:
                        last, pause = event.id or last, _FIRST_PAUSE
                        news.set()
            except httpx2.SSEError:
                last = ""  # refused, perhaps for that cursor
            except httpx2.TransportError:
                news.set()  # the next look at the job tells what is wrong
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _events(self, job_id: str, after: str) -> AsyncGenerator[httpx2.ServerSentEvent, None]:
        headers = {"Last-Event-ID": after} if after else {}
        path = f"{job_path(job_id)}/events?deltas=false"
        # The last event carries the whole output.
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
            answer = await self._http.request(method, path, json=json, params=params, headers=headers)
        except httpx2.TransportError as fault:
            raise self._no_answer(fault) from fault
        if answer.status_code in _AGAIN:
            limited = answer.status_code == httpx2.codes.TOO_MANY_REQUESTS
            raise NoAnswer(
                _message(answer) if limited else f"{self.base_url} answers {answer.status_code}: {_message(answer)}",
                retry_after=_seconds(answer.headers.get("Retry-After")),
                limited=limited,
            )
        self._check(answer)
        return answer

    def _no_answer(self, fault: httpx2.TransportError) -> NoAnswer:
        never_sent = isinstance(fault, httpx2.ConnectError | httpx2.ConnectTimeout)
        advice = ""
        if "SSL" in str(fault):
            advice = "; does the API speak https there, with a certificate that this machine trusts?"
        elif never_sent:
            advice = "; start the API with `orchestrator dev`, or name another with --api-url"
        elif isinstance(fault, httpx2.ProtocolError):
            advice = "; is another program there? Name the API with --api-url"
        return NoAnswer(f"no answer from {self.base_url} ({_words(fault)}){advice}", unsure=not never_sent)

    def _check(self, answer: httpx2.Response) -> None:
        """Raises `Rejected` unless the request succeeded."""
        if answer.is_success:
            return
        if answer.is_redirect:
            place = answer.headers.get("Location", "another address")
            raise Rejected(f"{self.base_url} redirects to {place}; give that host with --api-url", answer.status_code)
        fault = _fault(answer)
        if fault is None:
            kind = answer.headers.get("Content-Type", "no content type").split(";")[0]
            raise Rejected(
                f"{self.base_url} does not answer as this API does (HTTP {answer.status_code}, {kind}); is another "
                "program there? Name the API with --api-url",
                answer.status_code,
            )
        advice = ""
        if answer.status_code in (401, 403):
            advice = "; give another key with --api-key or in ORCHESTRATOR_API_KEY"
        field = fault.details.get("field")
        raise Rejected(_message(answer) + advice, answer.status_code, field if isinstance(field, str) else None)


def parsed(model: type[M], body: bytes) -> M:
    """An answer, read. Raises `Refused` when it cannot be one of this API's."""
    try:
        return model.model_validate_json(body)
    except ValidationError as fault:
        begins = body[:60].decode(errors="replace")
        raise Refused(
            f"an answer is not one of this API's (it begins with {begins!r}); is another program there? Name the API "
            "with --api-url",
            FAILED,
        ) from fault


def _fault(answer: httpx2.Response) -> _Fault | None:
    """The API's own words for a fault, or None when somebody else answers."""
    try:
        return _Envelope.model_validate_json(answer.content).error
    except ValueError:
        return None


def _message(answer: httpx2.Response) -> str:
    fault = _fault(answer)
    if fault is None:
        return answer.reason_phrase or f"HTTP {answer.status_code}"
    expected = fault.details.get("expected")
    return f"{fault.message} (expected: {expected})" if expected and expected not in fault.message else fault.message


def _seconds(retry_after: str | None) -> float | None:
    """The number of seconds of a `Retry-After`, which may also be a date: that counts as none."""
    try:
        return None if retry_after is None else max(0.0, float(retry_after))
    except ValueError:
        return None


def job_path(job_id: str) -> str:
    """The path of a job, whose id may be that of any workflow."""
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
