"""A worker that dies during a pass of the reconciler does not hold up the next passes."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from temporalio.testing import ActivityEnvironment

from activities.records import RecordActivities
from orchestrator.domain import names
from orchestrator.domain.commands import ReconcileReport, ReconcileRequest
from orchestrator.testing import Engine


async def test_temporal_learns_soon_that_the_worker_of_a_pass_is_gone(engine: Engine) -> None:
    client, settings = engine.parts.backend.client, engine.parts.settings
    run = await client.start_workflow(
        names.WORKFLOW_RECONCILE, ReconcileRequest(), id="one-pass", task_queue=settings.task_queue
    )
    await run.result()
    history = await run.fetch_history()
    passes = [
        event.activity_task_scheduled_event_attributes
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert [each.activity_type.name for each in passes] == [names.ACTIVITY_RECONCILE]
    assert timedelta() < passes[0].heartbeat_timeout.ToTimedelta() <= timedelta(seconds=30)


async def test_a_long_pass_sends_heartbeats() -> None:
    beats = asyncio.Event()

    async def reconcile(_: ReconcileRequest) -> ReconcileReport:
        await beats.wait()
        return ReconcileReport()

    parts = cast(Any, SimpleNamespace(reconcile=reconcile))
    activities = RecordActivities(parts, parts, parts, clock=cast(Any, None))
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *_: beats.set()
    environment.info = replace(environment.info, heartbeat_timeout=timedelta(seconds=0.03))
    assert await environment.run(activities.reconcile_index, ReconcileRequest()) == ReconcileReport()
