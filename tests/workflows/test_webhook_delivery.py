"""Deliveries over a real Temporal and a real receiver: sent at least once, whatever dies; never in a job's way."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError

from activities.webhooks import WebhookActivities
from orchestrator.domain import names
from orchestrator.domain.access import ORDINARY, Scope
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.commands import ReconcileRequest
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.jobs import CallStatus, Job, JobState
from orchestrator.domain.webhooks import (
    Delivery,
    DeliveryAttempt,
    DeliveryInput,
    DeliveryReport,
    DeliveryState,
    MadeAttempt,
    Webhook,
)
from orchestrator.engine.worker import build_webhook_worker, build_worker
from orchestrator.security.sealing import callback_secrets
from orchestrator.services.access.authentication import ADMIN
from orchestrator.services.access.keys import KeyRequest
from orchestrator.storage.deliveries import DeliveryRepository
from orchestrator.testing import TESTER, Engine, eventually, running_engine
from tests.fakes.webhook_receiver import RESET, STALL, Answer, Receiver, receiving
from tests.ledger import ledger
from workflows.webhook_delivery import WebhookDeliveryWorkflow

AT_ONCE = ReconcileRequest(grace=-1.0)
OVERDUE = ReconcileRequest(grace=-7200.0)
SETTINGS: dict[str, Any] = {"webhook_allow_private": True, "webhook_retry_schedule": "0,0.1,0.2"}
FAILED = Answer(status=500)
TAKEN = Answer(status=200)


@pytest_asyncio.fixture(loop_scope="session")
async def engine(temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]) -> AsyncIterator[Engine]:
    """An engine that may call this machine, and tries three times in a row."""
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, **SETTINGS) as running:
        yield running


async def hook(engine: Engine, receiver: Receiver, *events: str) -> Webhook:
    chosen = events or ("job.completed", "job.failed")
    return (await engine.services.webhooks.register(TESTER, url=receiver.url, events=chosen)).webhook


async def log_of(engine: Engine, webhook: Webhook) -> list[tuple[Delivery, list[MadeAttempt]]]:
    page = await engine.services.webhooks.deliveries(TESTER, webhook.id, state=None, limit=50, offset=0)
    return page.rows


async def settled(engine: Engine, webhook: Webhook, count: int = 1) -> list[tuple[Delivery, list[MadeAttempt]]]:
    """The deliveries of a webhook once there are `count` of them and none is pending."""

    def done(rows: list[tuple[Delivery, list[MadeAttempt]]]) -> bool:
        return len(rows) == count and all(row.state is not DeliveryState.PENDING for row, _ in rows)

    rows: list[tuple[Delivery, list[MadeAttempt]]] = await eventually(lambda: log_of(engine, webhook), done)
    return rows


async def ran(engine: Engine, target: str = "t_echo", **more: Any) -> Job:
    return await engine.run(target, {"n": 1}, **more)


@ledger("D-099", "D-100")
async def test_a_completed_job_is_delivered_with_what_it_made(engine: Engine) -> None:
    async with receiving(TAKEN) as receiver:
        webhook = await hook(engine, receiver)
        job = await ran(engine)
        ((delivery, attempts),) = await settled(engine, webhook)
        (request,) = receiver.requests
    body = json.loads(request.body)
    assert (delivery.state, [one.status for one in attempts]) == (DeliveryState.DELIVERED, [200])
    assert (body["event"], body["job_id"], body["data"]["status"]) == ("job.completed", job.id, "completed")
    assert body["data"]["output"] == await engine.services.outputs.get(TESTER, job.id)
    assert {"total_tokens", "execution_time", "cost"} <= body["data"]["metrics"].keys()
    assert body["data"]["error"] is None
    assert body["timestamp"] == f"{job.closed_at:%Y-%m-%dT%H:%M:%SZ}"


@ledger("D-099")
async def test_a_failed_job_is_delivered_with_its_error(engine: Engine) -> None:
    async with receiving(TAKEN) as receiver:
        webhook = await hook(engine, receiver)
        await ran(engine, "t_broken")
        await settled(engine, webhook)
        body = json.loads(receiver.requests[0].body)
    assert (body["event"], body["data"]["status"], body["data"]["output"]) == ("job.failed", "failed", None)
    assert body["data"]["error"]["type"] == "provider_rejected"


@pytest.mark.parametrize(
    "fault",
    [FAILED, Answer(status=404), Answer(status=302, headers={"Location": "https://example.com/"}), RESET],
    ids=["500", "404", "redirect", "reset"],
)
async def test_a_receiver_that_recovers_gets_the_same_message_again(engine: Engine, fault: Any) -> None:
    async with receiving(fault, TAKEN) as receiver:
        webhook = await hook(engine, receiver)
        await ran(engine)
        ((delivery, attempts),) = await settled(engine, webhook)
        ids = {request.headers["webhook-id"] for request in receiver.requests}
    assert (delivery.state, delivery.attempts, delivery.next_attempt_at) == (DeliveryState.DELIVERED, 2, None)
    assert [(one.number, one.verdict) for one in attempts] == [(1, "retry"), (2, "delivered")]
    assert attempts[0].error
    assert ids == {delivery.message_id}


async def test_a_receiver_that_hangs_holds_up_neither_its_job_nor_others(engine: Engine) -> None:
    async with receiving(STALL) as hanging, receiving(TAKEN) as quick:
        stalled = await hook(engine, hanging)
        webhook = await hook(engine, quick)
        assert (await ran(engine)).state is JobState.COMPLETED
        await settled(engine, webhook)
        assert (await ran(engine)).state is JobState.COMPLETED
        rows = await log_of(engine, stalled)
    assert [(row.state, row.attempts) for row, _ in rows] == [(DeliveryState.PENDING, 0)] * 2  # it still hangs


async def test_a_receiver_s_own_wish_for_a_pause_is_honoured(engine: Engine) -> None:
    async with receiving(Answer(status=429, headers={"Retry-After": "2"}), TAKEN) as receiver:
        webhook = await hook(engine, receiver)
        await ran(engine)
        ((delivery, _),) = await settled(engine, webhook)
    assert delivery.state is DeliveryState.DELIVERED
    (pause,) = await _pauses(engine, delivery.id)
    assert pause == 2.0


async def test_gone_disables_the_webhook_at_once_and_the_owner_s_others_hear_of_it(engine: Engine) -> None:
    async with receiving(Answer(status=410)) as gone, receiving(TAKEN) as other:
        webhook = await hook(engine, gone)
        watching = await hook(engine, other, "webhook.disabled")
        await ran(engine)
        ((delivery, attempts),) = await settled(engine, webhook)
        await settled(engine, watching)
        body = json.loads(other.requests[0].body)
    assert (delivery.state, [one.verdict for one in attempts]) == (DeliveryState.FAILED, ["gone"])
    off = await engine.services.webhooks.get(TESTER, webhook.id)
    assert off.disabled_at is not None
    assert "410" in (off.disabled_reason or "")
    assert body["event"] == "webhook.disabled"
    assert body["data"] == {"webhook_id": webhook.id, "url": webhook.url, "reason": off.disabled_reason}
    await ran(engine)
    assert len(await log_of(engine, webhook)) == 1


async def test_a_webhook_that_fails_to_the_end_is_disabled_and_can_be_taken_up_again(engine: Engine) -> None:
    async with receiving(FAILED, FAILED, FAILED, TAKEN) as receiver:
        webhook = await hook(engine, receiver)
        await ran(engine)
        ((delivery, attempts),) = await settled(engine, webhook)
        assert (delivery.state, len(attempts)) == (DeliveryState.FAILED, 3)
        assert (await engine.services.webhooks.get(TESTER, webhook.id)).disabled_reason
        back = await engine.services.webhooks.change(TESTER, webhook.id, active=True)
        assert (back.disabled_at, back.disabled_reason) == (None, None)
        again = await engine.services.webhooks.redeliver(TESTER, webhook.id, delivery.id)
        rows = await settled(engine, webhook, 2)
        assert again.message_id == delivery.message_id
        assert {row.id: row.state for row, _ in rows}[again.id] is DeliveryState.DELIVERED
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1


async def test_a_webhook_that_took_another_delivery_meanwhile_stays_active(engine: Engine) -> None:
    async with receiving(FAILED, TAKEN, FAILED, FAILED) as receiver:
        webhook = await hook(engine, receiver)
        await ran(engine)
        await eventually(lambda: log_of(engine, webhook), lambda rows: rows[0][0].attempts == 1)
        await engine.services.webhooks.test(TESTER, webhook.id)
        rows = await settled(engine, webhook, 2)
    assert sorted(row.state for row, _ in rows) == [DeliveryState.DELIVERED, DeliveryState.FAILED]
    assert (await engine.services.webhooks.get(TESTER, webhook.id)).disabled_at is None


async def test_a_webhook_deleted_while_it_is_tried_gets_nothing_more(engine: Engine) -> None:
    async with receiving(Answer(status=503, headers={"Retry-After": "3"})) as receiver:
        webhook = await hook(engine, receiver)
        job = await ran(engine)
        await eventually(lambda: log_of(engine, webhook), lambda rows: rows[0][0].attempts == 1)
        await engine.services.webhooks.delete(TESTER, webhook.id)
        page = await engine.services.webhooks.deliveries_of_job(job.id, limit=5, offset=0)
        ((delivery, _),) = page.rows
        assert (delivery.state, delivery.next_attempt_at) == (DeliveryState.DROPPED, None)
        await engine.parts.backend.client.get_workflow_handle(delivery.id).result()
        assert len(receiver.requests) == 1


async def test_what_is_pending_goes_to_the_new_url(engine: Engine) -> None:
    async with receiving(FAILED) as old, receiving(TAKEN) as new:
        webhook = await hook(engine, old)
        await ran(engine)
        await eventually(lambda: log_of(engine, webhook), lambda rows: rows[0][0].attempts == 1)
        await engine.services.webhooks.change(TESTER, webhook.id, url=new.url)
        ((delivery, _),) = await settled(engine, webhook)
    assert delivery.state is DeliveryState.DELIVERED
    assert delivery.url == new.url
    assert len(new.requests) == 1


@ledger("D-103")
async def test_a_job_s_own_callback_is_signed_with_its_account_s_secret(engine: Engine) -> None:
    async with receiving(TAKEN) as receiver:
        job = await ran(engine, webhook_url=receiver.url)
        await eventually(lambda: _count(receiver), lambda count: count == 1)
        (request,) = receiver.requests
    digest = hmac.new(
        callback_secrets(engine.parts.backend.sealer, TESTER.id)[0].encode(), request.body, hashlib.sha256
    )
    assert request.headers["x-devora-signature"] == f"sha256={digest.hexdigest()}"
    assert json.loads(request.body)["job_id"] == job.id


async def test_what_the_process_could_not_start_the_reconciler_starts_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(TAKEN) as receiver:
        webhook = await hook(engine, receiver)
        with monkeypatch.context() as dying:
            dying.setattr(engine.parts.backend.gateway, "start_delivery", _unavailable)
            assert (await ran(engine)).state is JobState.COMPLETED
            await engine.parts.backend.dispatcher.settle()
        ((delivery, _),) = await log_of(engine, webhook)
        assert (delivery.state, receiver.requests) == (DeliveryState.PENDING, [])
        assert (await engine.parts.workers.reconciler.reconcile(AT_ONCE)).dispatched == 1
        ((delivery, _),) = await settled(engine, webhook)
        assert (await engine.parts.workers.reconciler.reconcile(AT_ONCE)).dispatched == 0
        engine.parts.backend.dispatcher.dispatch([delivery])
        await engine.parts.backend.dispatcher.settle()
        runs = [run async for run in engine.parts.backend.client.list_workflows(f"WorkflowId = '{delivery.id}'")]
        assert (len(runs), len(receiver.requests)) == (1, 1)


@ledger("D-099")
async def test_a_job_terminated_in_temporal_is_delivered_by_the_reconciler(engine: Engine) -> None:
    async with receiving(TAKEN) as receiver:
        webhook = await hook(engine, receiver)
        started = await engine.start("t_slow", {})
        await engine.eventually(started.job_id, lambda job: job.calls[0].status is CallStatus.RUNNING)
        await engine.parts.backend.client.get_workflow_handle(started.job_id).terminate(reason="gone")
        assert (await engine.parts.workers.reconciler.reconcile(AT_ONCE)).closed == 1
        await settled(engine, webhook)
        body = json.loads(receiver.requests[0].body)
    assert (body["event"], body["data"]["status"]) == ("job.failed", "cancelled")
    assert body["data"]["error"]["type"] == "terminated"


@ledger("D-103")
async def test_a_delivery_terminated_in_temporal_is_closed_as_failed_by_the_reconciler(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.parts.backend.dispatcher, "_schedule", [0.0, 3600.0])
    async with receiving(FAILED) as receiver:
        webhook = await hook(engine, receiver)
        await ran(engine)
        ((delivery, _),) = await eventually(lambda: log_of(engine, webhook), lambda rows: rows[0][0].attempts == 1)
        assert delivery.next_attempt_at is not None
        assert (await engine.parts.workers.reconciler.reconcile(OVERDUE)).given_up == 0  # it waits, however late it is
        workflow = engine.parts.backend.client.get_workflow_handle(delivery.id)
        await workflow.terminate(reason="an operator's wish")
        assert (await engine.parts.workers.reconciler.reconcile(AT_ONCE)).given_up == 0  # not due yet, so nobody looks
        assert (await engine.parts.workers.reconciler.reconcile(OVERDUE)).given_up == 1
        ((delivery, attempts),) = await log_of(engine, webhook)
        assert (delivery.state, len(attempts)) == (DeliveryState.FAILED, 1)
        assert (delivery.next_attempt_at, delivery.completed_at is None) == (None, False)
        assert (await engine.services.webhooks.get(TESTER, webhook.id)).disabled_at is None
        assert (await engine.parts.workers.reconciler.reconcile(OVERDUE)).given_up == 0


async def test_a_delivery_that_temporal_no_longer_knows_is_started_again(engine: Engine) -> None:
    async with receiving(TAKEN) as receiver:
        webhook = await hook(engine, receiver)
        lost = Delivery(
            id="whd_lost",
            owner=TESTER.id,
            event="webhook.disabled",
            url=receiver.url,
            webhook_id=webhook.id,
            job_id=None,
            message_id="whd_lost",
            data={},
            state=DeliveryState.PENDING,
            attempts=0,
            created_at=webhook.created_at,
        )
        deliveries = DeliveryRepository(engine.parts.backend.database)
        await deliveries.add(lost)
        await deliveries.started([lost.id])
        assert (await engine.parts.workers.reconciler.reconcile(OVERDUE)).given_up == 0
        ((delivery, _),) = await settled(engine, webhook)
        assert (delivery.state, len(receiver.requests)) == (DeliveryState.DELIVERED, 1)


async def test_a_worker_that_comes_back_goes_on_where_the_other_stopped(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    async with (
        receiving(FAILED, TAKEN) as receiver,
        running_engine(temporal_address, tmp_path, orchestrator_plugins, worker=False, **SETTINGS) as engine,
    ):
        webhook = await hook(engine, receiver)
        async with engine.parts.workers.for_jobs():
            await ran(engine)
            await eventually(lambda: log_of(engine, webhook), lambda rows: rows[0][0].attempts == 1)
        async with engine.parts.workers.for_jobs():
            ((delivery, attempts),) = await settled(engine, webhook)
    assert (delivery.state, [one.number for one in attempts]) == (DeliveryState.DELIVERED, [1, 2])


async def test_an_attempt_that_the_index_fails_is_made_again_and_is_one_attempt(engine: Engine) -> None:
    made: list[DeliveryAttempt] = []

    class Faulty:
        async def attempt(self, attempt: DeliveryAttempt) -> DeliveryReport:
            made.append(attempt)
            if len(made) < 3:
                raise Unavailable("The job index does not answer.", retry_after=0.05)
            return DeliveryReport(state=DeliveryState.PENDING if attempt.number < 3 else DeliveryState.FAILED)

    client, queue = engine.parts.backend.client, f"{engine.parts.settings.task_queue}-faulty"
    courier = build_webhook_worker(client, task_queue=queue, deliver=WebhookActivities(Faulty()).deliver_webhook)
    worker = build_worker(client, task_queue=queue, workflows=[WebhookDeliveryWorkflow], activities=[], beside=courier)
    async with worker:
        result = await client.execute_workflow(
            names.WORKFLOW_WEBHOOK_DELIVERY,
            DeliveryInput(delivery_id="whd_faulty", schedule=[0.0, 0.1, 0.2]),
            id=f"whd_{queue}",
            task_queue=queue,
        )
    assert result == {"state": "failed", "attempts": 3}
    assert [(one.number, one.last) for one in made] == [(1, False), (1, False), (1, False), (2, False), (3, True)]
    assert [one.next_delay is None for one in made] == [False, False, False, False, True]
    assert all(0.09 <= pause <= 0.22 for pause in await _pauses(engine, f"whd_{queue}"))


async def test_only_an_index_that_does_not_answer_is_worth_another_attempt() -> None:
    class Broken:
        async def attempt(self, attempt: DeliveryAttempt) -> DeliveryReport:
            raise Unavailable("no answer")

    with pytest.raises(ApplicationError) as raised:
        await WebhookActivities(Broken()).deliver_webhook(DeliveryAttempt(delivery_id="whd_1", number=1))
    assert (raised.value.type, raised.value.non_retryable) == ("unavailable", False)


async def test_no_secret_is_in_a_history_or_a_log(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    secret = "a-secret-of-the-owner"
    async with receiving(FAILED, TAKEN, TAKEN) as receiver:
        done = await engine.services.webhooks.register(
            TESTER, url=f"{receiver.url}?token=in-the-url", events=["job.completed"], secret=secret
        )
        job = await ran(engine, webhook_url=receiver.url)
        await settled(engine, done.webhook)
        page = await engine.services.webhooks.deliveries_of_job(job.id, limit=5, offset=0)
        histories = [(await engine.history(row.id)).to_json() for row, _ in page.rows]
    files = engine.parts.settings.data_dir.glob("index.sqlite3*")
    stored = "".join(path.read_bytes().decode("latin-1") for path in files)
    said = capfd.readouterr()
    callback = callback_secrets(engine.parts.backend.sealer, TESTER.id)[0]
    assert len(histories) == 2
    for text in (*histories, (await engine.history(job.id)).to_json(), said.out + said.err, stored):
        assert secret not in text
        assert callback not in text
    assert all("in-the-url" not in text for text in (*histories, said.out + said.err))


async def test_operators_see_what_is_delivered_where(engine: Engine) -> None:
    async with receiving(TAKEN) as receiver:
        webhook = await hook(engine, receiver)
        await ran(engine)
        ((delivery, _),) = await settled(engine, webhook)
    handle = engine.parts.backend.client.get_workflow_handle(delivery.id)
    await handle.result()
    description = await handle.describe()
    assert description.workflow_type == names.WORKFLOW_WEBHOOK_DELIVERY
    assert description.status is WorkflowExecutionStatus.COMPLETED
    assert await description.static_summary() == "job.completed to 127.0.0.1"
    queues = [
        event.activity_task_scheduled_event_attributes.task_queue.name
        for event in (await engine.history(delivery.id)).events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    assert queues == [names.webhook_queue(engine.parts.settings.task_queue)]


async def _count(receiver: Receiver) -> int:
    return len(receiver.requests)


async def _unavailable(*_: Any, **__: Any) -> None:
    raise Unavailable("Temporal does not answer")


async def _pauses(engine: Engine, delivery_id: str) -> list[float]:
    """The seconds of every timer of a delivery."""
    history = await engine.history(delivery_id)
    return [
        event.timer_started_event_attributes.start_to_fire_timeout.ToMilliseconds() / 1000
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_TIMER_STARTED
    ]


ENDS: list[tuple[dict[str, Any], str]] = [
    ({"revoked_at": datetime(2026, 1, 2, tzinfo=UTC)}, "was revoked: activate the webhook with another key"),
    ({"expires_at": datetime(2026, 1, 2, tzinfo=UTC)}, "has expired"),
    ({"scopes": frozenset({Scope.WORKFLOWS_RUN})}, "lacks the scope jobs:read"),
]


async def test_a_webhook_stops_with_the_key_that_registered_it(engine: Engine) -> None:
    webhooks, keys = engine.services.webhooks, engine.services.keys
    async with receiving(TAKEN) as receiver:
        stopped: list[Webhook] = []
        for changes, _ in ENDS:
            issued = await keys.issue(ADMIN, KeyRequest("leaked", ORDINARY, owner=TESTER.id))
            leaked = await engine.services.access.authenticate(issued.token)
            stopped.append((await webhooks.register(leaked, url=receiver.url, events=["job.completed"])).webhook)
            assert await engine.parts.backend.keys.change(issued.key.id, **changes)
        await ran(engine)
        for webhook, (_, reason) in zip(stopped, ENDS, strict=True):
            ((delivery, attempts),) = await settled(engine, webhook)
            assert (delivery.state, attempts) == (DeliveryState.DROPPED, [])
            report = await webhooks.get(TESTER, webhook.id)
            assert report.disabled_at is not None
            assert reason in str(report.disabled_reason)
        assert receiver.requests == []

        taken_over = await webhooks.change(TESTER, stopped[0].id, active=True)
        assert (taken_over.key_id, taken_over.disabled_at) == (None, None)
        await ran(engine)
        (newest, _), _ = await settled(engine, taken_over, count=2)
        assert (newest.state, len(receiver.requests)) == (DeliveryState.DELIVERED, 1)


async def test_an_administrator_who_looks_after_a_webhook_does_not_answer_for_it(engine: Engine) -> None:
    issued = await engine.services.keys.issue(ADMIN, KeyRequest("own", ORDINARY))
    principal = await engine.services.access.authenticate(issued.token)
    url = "https://127.0.0.1/"
    webhook = (await engine.services.webhooks.register(principal, url=url, events=["job.failed"])).webhook
    assert webhook.key_id == issued.key.id
    assert (await engine.services.webhooks.change(ADMIN, webhook.id, active=False)).key_id == issued.key.id
