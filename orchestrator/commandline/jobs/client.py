"""The HTTP client of `orchestrator jobs`: lists, actions, and the events of one job."""

import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, Final

import httpx2
from pydantic import BaseModel, ConfigDict, TypeAdapter

from orchestrator.commandline.jobs.actions import Action
from orchestrator.commandline.jobs.retries import ApiRetries
from orchestrator.commandline.jobs.selection import Selection
from orchestrator.commandline.run.client import ApiClient, Rejected, job_path, parsed
from orchestrator.commandline.run.job_view import ListedJob
from orchestrator.commandline.terminal.exits import FAILED, Refused
from orchestrator.commandline.terminal.plain_text import one_line

_PAGE: Final = 100
# Filters that older APIs lack: their name for people, and a field of the list that came with the filter.
NEW_FILTERS: Final = {
    "reason": ("reason", "reason"),
    "needs_attention": ("need of attention", "reason"),
    "owner": ("owner", "owner"),
}
_NO_EVENTS: Final = ("snapshot", "stream_error")
_UNKNOWN: Final = (404, 405)
_OBJECT: Final = TypeAdapter(dict[str, Any])


class _Page(BaseModel):
    model_config = ConfigDict(extra="ignore")

    jobs: list[dict[str, Any]]
    total: int


class _Answer(BaseModel):
    """The response to an action; after a retry, `job_id` is the new job."""

    model_config = ConfigDict(extra="ignore")

    job_id: str
    done: bool = True
    reused_calls: int | None = None


@dataclass(frozen=True, slots=True)
class ListedJobs:
    """Jobs of a list, newest first, with their JSON bodies. `total` counts the jobs that match the API's filters."""

    jobs: list[ListedJob]
    bodies: list[dict[str, Any]]
    total: int


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """The result of an action on one job: done, or requested and not done yet.

    After a retry, `new_job` continues the work and reuses `reused` finished calls.
    """

    job_id: str
    done: bool = True
    new_job: str | None = None
    reused: int | None = None


class JobsClient(ApiClient):
    """Calls one API with one key, for commands about existing jobs."""

    async def find(
        self,
        selection: Selection,
        retries: ApiRetries,
        *,
        maximum: int | None = None,
        applies: Callable[[ListedJob], bool] = lambda _: True,
    ) -> ListedJobs:
        """The newest `maximum` jobs of a selection, or all. Raises `NoAnswer` and `Refused`, also if no job matches
        and the selection names an unknown workflow or agent."""
        rows: dict[str, tuple[ListedJob, dict[str, Any]]] = {}
        total = 0
        for query in selection.queries():
            matching, count = 0, 0
            async with aclosing(self._rows(query, retries, selection)) as page_rows:
                async for job, body, api_total in page_rows:
                    matching = api_total
                    if not selection.takes(job) or not applies(job):
                        continue
                    rows[job.job_id] = (job, body)
                    count += 1
                    if count == maximum:
                        break
            total += matching
        if not total:
            await self._refuse_unknown(selection)
        ordered = sorted(rows.values(), key=lambda row: row[1].get("created_at") or "", reverse=True)[:maximum]
        return ListedJobs([job for job, _ in ordered], [body for _, body in ordered], total)

    async def _refuse_unknown(self, selection: Selection) -> None:
        for kind, name in (("workflow", selection.workflow), ("agent", selection.agent)):
            names = await self.names(f"{kind}s") if name else []
            if name and name not in names:
                matches = get_close_matches(name, names, n=1)
                hint = f"; did you mean {matches[0]}?" if matches else ""
                raise Refused(f"there is no {kind} {one_line(name)!r}, and no job ran one of this name{hint}")

    async def act(self, job_id: str, action: Action, body: dict[str, Any], key: str) -> ActionOutcome:
        """Act on a job. To repeat a request without a response, pass the same `key`. Raises `Refused`, `NoAnswer`."""
        path = f"{job_path(job_id)}/{action}"
        try:
            response = parsed(_Answer, (await self._request("POST", path, json=body, key=key)).content)
        except Rejected as fault:
            if action is Action.RETRY and fault.status in _UNKNOWN and await self.is_job(job_id):
                raise Refused("this API is older than this command and cannot retry jobs: upgrade the API") from fault
            raise
        if action is Action.RETRY:
            return ActionOutcome(job_id, new_job=response.job_id, reused=response.reused_calls)
        return ActionOutcome(job_id, done=response.done)

    async def answer(self, job_id: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """Answer a question, and return the API's response. Raises `Refused`, `NoAnswer`."""
        response = await self._request("POST", f"{job_path(job_id)}/answers", json=body, key=key)
        return _OBJECT.validate_json(response.content)

    async def output_json(self, job_id: str) -> dict[str, Any]:
        """The job's output, or the output of its finished calls. Raises `Refused` if there is none, `NoAnswer`."""
        response = await self._request("GET", f"{job_path(job_id)}/output")
        try:
            return _OBJECT.validate_json(response.content)
        except ValueError as fault:
            raise Refused(
                f"the output of {job_id} is not a JSON object: is another program at {self.base_url}?", FAILED
            ) from fault

    async def names(self, kind: str) -> list[str]:
        """The ids of all workflows or agents (`workflows`, `agents`). Raises `Refused`, `NoAnswer`."""
        body = _OBJECT.validate_json((await self._request("GET", f"/v1/{kind}")).content)
        return [str(item["id"]) for item in body.get(kind, [])]

    async def events(self, job_id: str, after: str, retries: ApiRetries) -> AsyncGenerator[dict[str, Any], None]:
        """Each event of a job once, in order, from a cursor to the last one, across interruptions. Raises `Refused`."""
        last = after
        while True:
            complete = False
            with suppress(httpx2.TransportError):
                async with aclosing(self._events(job_id, last)) as stream:
                    async for event in stream:
                        if event.id and event.id != last and event.event not in _NO_EVENTS:
                            last = event.id
                            retries.answered()
                            yield _OBJECT.validate_json(event.data)
                complete = True
            # A page reports what a stream cannot: an unknown job or cursor, an invalid key, or the end of the events.
            page = _OBJECT.validate_json((await retries.call(partial(self._event_page, job_id, last))).content)
            if complete and page.get("next") is None and not page.get("events"):
                return
            await retries.pause()

    async def _event_page(self, job_id: str, after: str) -> httpx2.Response:
        query: dict[str, str | int] = {"limit": 1, **({"after": after} if after else {})}
        return await self._request("GET", f"{job_path(job_id)}/events", params=query)

    async def _rows(
        self, query: dict[str, str | int], retries: ApiRetries, selection: Selection
    ) -> AsyncGenerator[tuple[ListedJob, dict[str, Any], int], None]:
        """The jobs of one list, newest first, back to the selection's oldest; with body and the API's total."""
        offset = 0
        while True:
            page = await retries.call(partial(self._page, query, offset))
            for body in page.jobs:
                job = ListedJob.model_validate(body)
                if selection.is_too_old(job):
                    return
                yield job, body, page.total
            offset += len(page.jobs)
            if not page.jobs or offset >= page.total:
                return

    async def _page(self, query: dict[str, str | int], offset: int) -> _Page:
        try:
            response = await self._request("GET", "/v1/jobs", params={**query, "limit": _PAGE, "offset": offset})
        except Rejected as fault:
            if fault.field in NEW_FILTERS and "Unknown query parameter" in str(fault):
                raise _too_old(fault.field) from fault
            raise
        page = parsed(_Page, response.content)
        ignored = next((name for name in NEW_FILTERS if name in query), None)
        if ignored and any(NEW_FILTERS[ignored][1] not in body for body in page.jobs):
            raise _too_old(ignored)
        return page


def _too_old(query: str) -> Refused:
    name, _ = NEW_FILTERS[query]
    return Refused(
        f"this API is older than this command and cannot filter jobs by {name}: upgrade the API, or name the job ids"
    )


def new_key() -> str:
    """An idempotency key: a request counts once, however often it is sent."""
    return uuid.uuid4().hex
