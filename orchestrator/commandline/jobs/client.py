"""The HTTP client of `orchestrator jobs`: lists, controls and the events of one job."""

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
from orchestrator.commandline.jobs.patience import Patience
from orchestrator.commandline.jobs.selection import Selection
from orchestrator.commandline.run.client import ApiClient, Rejected, job_path, parsed
from orchestrator.commandline.run.job_view import ListedJob
from orchestrator.commandline.terminal.exits import FAILED, Refused
from orchestrator.commandline.terminal.plain_text import one_line

_PAGE: Final = 100
# Filters that older APIs lack: in words, and the field that a list shows since there is one.
_NEW_FILTERS: Final = {
    "reason": ("reason", "reason"),
    "needs_attention": ("their need of attention", "reason"),
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
    """What a control answers; `job_id` is that of the new job after a retry."""

    model_config = ConfigDict(extra="ignore")

    job_id: str
    done: bool = True
    reused_calls: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Jobs of a list, newest first, and each as the API words it. `total` counts what the API's own filters match."""

    jobs: list[ListedJob]
    bodies: list[dict[str, Any]]
    total: int


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """What became of an action on one job: done, or requested and not yet in force.

    After a retry `new_job` does the rest, and takes over `reused` finished calls.
    """

    job_id: str
    done: bool = True
    new_job: str | None = None
    reused: int | None = None


class JobsClient(ApiClient):
    """One API and one key, for commands about jobs that exist."""

    async def find(
        self,
        selection: Selection,
        patience: Patience,
        *,
        most: int | None = None,
        applies: Callable[[ListedJob], bool] = lambda _: True,
    ) -> Found:
        """The newest `most` jobs of a selection, or all. Raises `Refused`, also for an unknown workflow or agent that
        no job ran; `NoAnswer`."""
        rows: dict[str, tuple[ListedJob, dict[str, Any]]] = {}
        total = 0
        for query in selection.queries():
            matching, taken = 0, 0
            async with aclosing(self._rows(query, patience, selection)) as listed:
                async for job, body, counted in listed:
                    matching = counted
                    if not selection.takes(job) or not applies(job):
                        continue
                    rows[job.job_id] = (job, body)
                    taken += 1
                    if taken == most:
                        break
            total += matching
        if not total:
            await self._refuse_unknown(selection)
        ordered = sorted(rows.values(), key=lambda row: row[1].get("created_at") or "", reverse=True)[:most]
        return Found([job for job, _ in ordered], [body for _, body in ordered], total)

    async def _refuse_unknown(self, selection: Selection) -> None:
        for kind, wanted in (("workflow", selection.workflow), ("agent", selection.agent)):
            known = await self.names(f"{kind}s") if wanted else []
            if wanted and wanted not in known:
                near = get_close_matches(wanted, known, n=1)
                meant = f"; did you mean {near[0]}?" if near else ""
                raise Refused(f"there is no {kind} {one_line(wanted)!r}, and no job of one{meant}")

    async def act(self, job_id: str, action: Action, body: dict[str, Any], key: str) -> ActionOutcome:
        """Do something to a job; again with the same `key` where no answer came. Raises `Refused`, `NoAnswer`."""
        path = f"{job_path(job_id)}/{action}"
        try:
            answer = parsed(_Answer, (await self._request("POST", path, json=body, key=key)).content)
        except Rejected as fault:
            if action is Action.RETRY and fault.status in _UNKNOWN and await self.is_job(job_id):
                raise Refused("this API is older than this command and cannot retry jobs; upgrade the API") from fault
            raise
        if action is Action.RETRY:
            return ActionOutcome(job_id, new_job=answer.job_id, reused=answer.reused_calls)
        return ActionOutcome(job_id, done=answer.done)

    async def output_json(self, job_id: str) -> dict[str, Any]:
        """The job's output, or what is left of it. Raises `Refused` while there is none, `NoAnswer`."""
        answer = await self._request("GET", f"{job_path(job_id)}/output")
        try:
            return _OBJECT.validate_json(answer.content)
        except ValueError as fault:
            raise Refused("the output is no JSON object: the answer is not one of this API's", FAILED) from fault

    async def names(self, kind: str) -> list[str]:
        """The ids of all workflows or agents (`workflows`, `agents`). Raises `Refused`, `NoAnswer`."""
        body = _OBJECT.validate_json((await self._request("GET", f"/v1/{kind}")).content)
        return [str(one["id"]) for one in body.get(kind, [])]

    async def events(self, job_id: str, after: str, patience: Patience) -> AsyncGenerator[dict[str, Any], None]:
        """Each event of a job once, in order, from a cursor to the last; breaks are waited out. Raises `Refused`."""
        last = after
        while True:
            complete = False
            with suppress(httpx2.TransportError):
                async with aclosing(self._events(job_id, last)) as stream:
                    async for event in stream:
                        if event.id and event.id != last and event.event not in _NO_EVENTS:
                            last = event.id
                            patience.answered()
                            yield _OBJECT.validate_json(event.data)
                complete = True
            # A page says what a stream could not: no such job, no such cursor, no valid key, or that this was all.
            page = _OBJECT.validate_json((await patience.call(partial(self._event_page, job_id, last))).content)
            if complete and page.get("next") is None and not page.get("events"):
                return
            await patience.breathe()

    async def _event_page(self, job_id: str, after: str) -> httpx2.Response:
        query: dict[str, str | int] = {"limit": 1, **({"after": after} if after else {})}
        return await self._request("GET", f"{job_path(job_id)}/events", params=query)

    async def _rows(
        self, query: dict[str, str | int], patience: Patience, selection: Selection
    ) -> AsyncGenerator[tuple[ListedJob, dict[str, Any], int], None]:
        """The jobs of one list, newest first, each with how many match in all, as far back as the selection goes."""
        offset = 0
        while True:
            page = await patience.call(partial(self._page, query, offset))
            for body in page.jobs:
                job = ListedJob.model_validate(body)
                if selection.begun_too_early(job):
                    return
                yield job, body, page.total
            offset += len(page.jobs)
            if not page.jobs or offset >= page.total:
                return

    async def _page(self, query: dict[str, str | int], offset: int) -> _Page:
        try:
            answer = await self._request("GET", "/v1/jobs", params={**query, "limit": _PAGE, "offset": offset})
        except Rejected as fault:
            if fault.field in _NEW_FILTERS and "Unknown query parameter" in str(fault):
                raise _too_old(fault.field) from fault
            raise
        page = parsed(_Page, answer.content)
        ignored = next((name for name in _NEW_FILTERS if name in query), None)
        if ignored and any(_NEW_FILTERS[ignored][1] not in body for body in page.jobs):
            raise _too_old(ignored)
        return page


def _too_old(query: str) -> Refused:
    what, _ = _NEW_FILTERS[query]
    return Refused(
        f"this API is older than this command and cannot choose jobs by {what}; upgrade it, or name the jobs"
    )


def new_key() -> str:
    """A key under which a request counts once, however often it is sent."""
    return uuid.uuid4().hex
