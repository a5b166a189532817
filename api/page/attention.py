"""The first page: what needs a person, with the action that helps beside it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope as AsgiScope

from api.deps import Svc
from api.page.errors import PageRoute
from api.page.lists import PERSON, WAITING
from api.page.rendering import page
from api.page.visitors import Reader, Visitor
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.jobs import JobState, ReasonCode
from orchestrator.domain.webhooks import Webhook
from orchestrator.services.container import Services
from orchestrator.services.jobs.reader import JobFilter, JobPage

_ROWS: Final = 20
_WEBHOOKS: Final = 100
STUCK: Final = (ReasonCode.STUCK, ReasonCode.UNKNOWN_AGENT, ReasonCode.BUDGET_EXCEEDED)


class _HtmlOnly(PageRoute):  # type: ignore[misc, valid-type]
    """A route for browsers. To a program its path is unknown, as before there was a page."""

    def matches(self, scope: AsgiScope) -> tuple[Match, AsgiScope]:
        """Match only requests that accept HTML."""
        accepted = b"".join(value for name, value in scope["headers"] if name == b"accept")
        return super().matches(scope) if b"text/html" in accepted else (Match.NONE, {})


router = APIRouter(include_in_schema=False, route_class=_HtmlOnly)


@dataclass(frozen=True, slots=True)
class NeedyJobs:
    """Jobs that need the same help: the first of them, and how many there are. `action` is the word of their link."""

    title: str
    help: str
    action: str
    listed: JobPage
    reason: str = ""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Why the API would refuse to retry a job, by job."""


@router.get("/")
async def attention_page(request: Request, services: Svc, visitor: Reader) -> Response:
    """What needs attention now."""
    return page(request, visitor, "attention.html", **await attention_values(services, visitor))


async def attention_values(services: Services, visitor: Visitor) -> dict[str, Any]:
    """The values of the template."""
    waiting, stuck, unattended, failed = await asyncio.gather(
        _with_reason(services, visitor, *WAITING),
        _with_reason(services, visitor, *STUCK),
        _with_reason(services, visitor, ReasonCode.NO_WORKER),
        _failed(services, visitor),
    )
    counts, webhooks, findings, questions, refusals = await asyncio.gather(
        services.overview.states(visitor.principal, JobFilter()),
        _disabled(services, visitor),
        services.readiness.checks(),
        services.questions.asked(visitor.principal),
        services.retry_refusals.of(visitor.principal, [row.id for row in failed.rows if visitor.can_run(row.kind)]),
    )
    groups = [
        NeedyJobs("Waiting for a person", "Approve, reject or answer.", "Decide", waiting, PERSON),
        NeedyJobs("Stuck", "The worker cannot continue these jobs until somebody acts.", "Look", stuck, "stuck"),
        NeedyJobs("Without a worker", "Start a worker that polls their task queue.", "Look", unattended, "no_worker"),
        NeedyJobs("Failed, and not made good since", "Finished calls are reused.", "Look", failed, refusals=refusals),
    ]
    return {
        "groups": [group for group in groups if group.listed.total],
        "states": counts,
        "all_states": list(JobState),
        "questions": questions,
        "webhooks": webhooks,
        "findings": [finding for finding in findings if not finding.ok],
    }


async def _with_reason(services: Services, visitor: Visitor, *codes: ReasonCode) -> JobPage:
    return await services.reader.list(visitor.principal, JobFilter(reasons=list(codes), limit=_ROWS))


async def _failed(services: Services, visitor: Visitor) -> JobPage:
    """Failed jobs that no later job has completed."""
    states = [state for state in JobState if state.failed]
    return await services.reader.list(visitor.principal, JobFilter(states=states, attention=True, limit=_ROWS))


async def _disabled(services: Services, visitor: Visitor) -> list[Webhook]:
    """The visitor's webhooks that were disabled because their receiver fails."""
    try:
        listed = await services.webhooks.list(visitor.principal, limit=_WEBHOOKS)
    except Unavailable:
        return []
    return [webhook for webhook in listed.rows if webhook.disabled_at is not None]
