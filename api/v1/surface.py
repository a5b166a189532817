"""Definition of the native surface."""

from typing import Final

from api.dialects.surface import Surface
from api.v1 import (
    account_events,
    agents,
    audit,
    auth,
    controls,
    events,
    jobs,
    limits,
    metrics,
    questions,
    schedules,
    users,
    webhooks,
    workflows,
    ws,
)
from api.v1.envelope import render

DEVORA: Final = Surface(
    name="devora",
    title="Native API",
    version="v1",
    description="The native API: agents, workflows, jobs, schedules, webhooks, API keys and metrics.",
    prefixes=("/v1",),
    routers=tuple(
        part.router
        for part in (
            *(agents, workflows, jobs, controls, questions, events, schedules),
            *(metrics, webhooks, account_events, limits, auth, users, audit, ws),
        )
    ),
    render=render,
)
