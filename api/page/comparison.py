"""Two jobs step by step: what differs in state, time, tokens and cost."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.deps import Svc, known_job_id
from api.page.errors import PageRoute
from api.page.formats import cost, duration, number, tokens
from api.page.rendering import ROOT, page
from api.page.visitors import Reader, Visitor
from orchestrator.domain.jobs import AgentCall, Job, JobState
from orchestrator.domain.usage import Usage
from orchestrator.services.container import Services
from orchestrator.services.jobs.reader import JobFilter

router = APIRouter(prefix=ROOT, include_in_schema=False, route_class=PageRoute)

PREVIOUS: Final = "previous"
"""Instead of the first id: the run before."""

_NOTABLE: Final = 1.5  # Times as much: such a difference is marked.
JobName = Annotated[str, Query(max_length=255)]


@dataclass(frozen=True, slots=True)
class ComparedCall:
    """One call of both jobs; None in the job that lacks it."""

    title: str
    agent: str
    first: AgentCall | None
    second: AgentCall | None

    @property
    def both(self) -> tuple[AgentCall | None, AgentCall | None]:
        """The call of the first job and that of the second."""
        return self.first, self.second

    @property
    def states_differ(self) -> bool:
        """Whether the call ended differently, or only one job has it."""
        return self.first is None or self.second is None or self.first.status is not self.second.status

    @property
    def tries(self) -> list[str]:
        """The numbers of attempts; a dash in the job that lacks the call."""
        return [number(None if call is None else len(call.attempts)) for call in self.both]

    @property
    def durations(self) -> list[float | None]:
        """Seconds, None where the call did not run or has not ended."""
        return [None if call is None else call.duration for call in self.both]

    @property
    def usages(self) -> list[Usage | None]:
        """The usages; that of a reused call is the one of the job that made it."""
        return [None if call is None else call.reused if call.reused_from else call.usage for call in self.both]

    @property
    def cost_ratio(self) -> str:
        """How many times as much the second one cost."""
        return ratio(*(None if usage is None else usage.cost for usage in self.usages))

    @property
    def is_slower(self) -> bool:
        """Whether the call took much longer in one of the jobs. A reused call took no time."""
        return not any(call and call.reused_from for call in self.both) and _is_notable(*self.durations)

    @property
    def is_dearer(self) -> bool:
        """Whether the call used many more tokens in one of the jobs."""
        return _is_notable(*(None if usage is None else usage.total_tokens for usage in self.usages))


@dataclass(frozen=True, slots=True)
class _Total:
    """A figure of both jobs: as it is written, and as a number."""

    name: str
    first_text: str
    second_text: str
    first: float | None
    second: float | None

    @property
    def is_notable(self) -> bool:
        """Whether one is much more than the other."""
        return _is_notable(self.first, self.second)


@router.get("/compare")
async def compare_page(request: Request, services: Svc, visitor: Reader, a: JobName = "", b: JobName = "") -> Response:
    """Both jobs side by side; without two ids, the form to name them."""
    values: dict[str, Any] = {
        "first": None,
        "second": None,
        "calls": [],
        "a": a,
        "b": b,
        "fault": "",
    }
    if not a or not b:
        return page(request, visitor, "compare.html", **values)
    second = await services.reader.get(visitor.principal, known_job_id(b.strip()))
    earlier = await _before(services, visitor, second) if a == PREVIOUS else a.strip()
    if earlier is None:
        fault = f"No earlier job of {second.definition} has completed. Name another job to compare with."
        return page(request, visitor, "compare.html", **{**values, "a": "", "fault": fault})
    first = await services.reader.get(visitor.principal, known_job_id(earlier))
    return page(
        request,
        visitor,
        "compare.html",
        first=first,
        second=second,
        calls=compared(first, second),
        a=first.id,
        b=second.id,
        fault="",
        changed_fields=changed_fields(first.input, second.input),
        totals=[
            _Total("Took", duration(first.duration), duration(second.duration), first.duration, second.duration),
            _Total(
                "Tokens",
                tokens(first.usage),
                tokens(second.usage),
                first.usage.total_tokens,
                second.usage.total_tokens,
            ),
            _Total("Cost", cost(first.usage), cost(second.usage), first.usage.cost, second.usage.cost),
        ],
        ratio=ratio,
    )


async def _before(services: Services, visitor: Visitor, job: Job) -> str | None:
    """The last completed job of the same definition, owner and labels, the schedule among them, that was created before
    a job; else the last one with other labels."""
    for labels in [job.labels, {}] if job.labels else [{}]:
        if earlier := await _last_completed(services, visitor, job, labels):
            return earlier
    return None


async def _last_completed(services: Services, visitor: Visitor, job: Job, labels: dict[str, str]) -> str | None:
    job_filter = JobFilter(
        owner=job.owner if visitor.principal.admin else None,
        kind=job.kind,
        definition=job.definition,
        states=[JobState.COMPLETED],
        labels=labels,
        until=job.created_at,
        limit=2,
    )
    listed = await services.reader.list(visitor.principal, job_filter)
    # A row is written just before its job is started.
    return next((row.id for row in listed.rows if row.id != job.id), None)


def compared(first: Job, second: Job) -> list[ComparedCall]:
    """The calls of both jobs, in the order of the first; then those that only the second has."""
    firsts = {(call.step, call.key, call.agent, call.number): call for call in first.calls}
    seconds = {(call.step, call.key, call.agent, call.number): call for call in second.calls}
    calls = []
    for key in dict.fromkeys([*firsts, *seconds]):
        call = firsts.get(key) or seconds[key]
        title = f"{call.title} [{call.key}]" if call.key else call.title
        calls.append(ComparedCall(title, call.agent, firsts.get(key), seconds.get(key)))
    return calls


def changed_fields(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """The fields of two inputs whose values differ, with both values; None in the input that lacks it."""
    names = dict.fromkeys([*first, *second])
    return [(name, first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)]


def ratio(first: float | None, second: float | None) -> str:
    """How many times as much the second is, such as `2.1 ×`; empty if one is missing or nothing."""
    return f"{second / first:.1f} ×" if first and second else ""


def _is_notable(first: float | None, second: float | None) -> bool:
    if not first or not second:
        return bool(first) != bool(second)
    return max(first, second) >= _NOTABLE * min(first, second)
