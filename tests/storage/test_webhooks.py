"""Webhooks and their deliveries in the index, on both databases."""

import asyncio
from typing import Any

import pytest

from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.jobs import JobState
from orchestrator.domain.webhooks import Delivery, DeliveryState, DueDelivery, MadeAttempt, Webhook, WebhookEvent
from orchestrator.storage.database import Database
from orchestrator.storage.deliveries import DeliveryRepository
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.webhooks import WebhookRepository
from tests.ledger import ledger
from tests.storage.rows import accepted, at, closed, job_input


@pytest.fixture
def webhooks(database: Database) -> WebhookRepository:
    return WebhookRepository(database)


@pytest.fixture
def deliveries(database: Database) -> DeliveryRepository:
    return DeliveryRepository(database)


@pytest.fixture
def due() -> list[DueDelivery]:
    """What closing jobs handed on to be started."""
    return []


@pytest.fixture
def jobs(database: Database, due: list[DueDelivery]) -> JobRepository:
    return JobRepository(database, due.extend)


def webhook(id: str, *events: str, **more: Any) -> Webhook:
    fields: dict[str, Any] = {
        "id": id,
        "owner": "alice",
        "url": f"https://example.com/{id}",
        "events": list(events or (WebhookEvent.JOB_COMPLETED, WebhookEvent.JOB_FAILED)),
        "secret": "sealed",
        "created_at": at(0),
        "updated_at": at(0),
    }
    return Webhook(**(fields | more))


def delivery(id: str, **more: Any) -> Delivery:
    fields: dict[str, Any] = {
        "id": id,
        "owner": "alice",
        "event": WebhookEvent.JOB_COMPLETED,
        "url": "https://example.com/wh_1",
        "webhook_id": "wh_1",
        "job_id": "wf_job_1",
        "message_id": id,
        "data": None,
        "state": DeliveryState.PENDING,
        "attempts": 0,
        "created_at": at(0),
    }
    return Delivery(**(fields | more))


def attempt(number: int = 1, verdict: str = "retry", **more: Any) -> MadeAttempt:
    fields: dict[str, Any] = {"at": at(number), "status": 500, "error": None, "duration": 0.25}
    return MadeAttempt(number=number, verdict=verdict, **(fields | more))


async def deliveries_by_webhook(deliveries: DeliveryRepository, job_id: str = "wf_job_1") -> dict[str | None, Delivery]:
    """The deliveries of a job by webhook."""
    rows, total = await deliveries.list(job_id=job_id, limit=100, offset=0)
    assert len(rows) == total
    return {row.webhook_id: row for row, _ in rows}


@ledger("D-098")
async def test_webhooks_are_kept_and_counted(webhooks: WebhookRepository):
    rows = [webhook(f"wh_{n}", created_at=at(n)) for n in range(3)]
    for row in rows[:2]:
        await webhooks.add(row, most=2)
    with pytest.raises(InvalidInput, match="limit reached: 2 of 2 webhooks per account; delete one first") as full:
        await webhooks.add(rows[2], most=2)
    assert {name: full.value.details[name] for name in ("limit", "allowed", "used")} == {
        "limit": "webhooks",
        "allowed": 2,
        "used": 2,
    }
    await webhooks.add(webhook("wh_b", owner="bob"), most=2)
    assert await webhooks.get("wh_1") == rows[1]
    assert await webhooks.get("wh_2") is None
    assert await webhooks.list(owner="alice", limit=1, offset=1) == ([rows[1]], 2)
    assert (await webhooks.list(owner=None, limit=10, offset=0))[1] == 3
    changed = await webhooks.change("wh_1", url="https://example.com/new", previous_until=at(9))
    assert changed is not None
    assert (changed.url, changed.previous_until) == ("https://example.com/new", at(9))
    assert [await webhooks.delete("wh_1", at=at(9)), await webhooks.delete("wh_1", at=at(9))] == [True, False]
    assert await webhooks.change("wh_1", url="x") is None


async def test_overdue_are_started_deliveries_whose_attempt_nobody_wrote(deliveries: DeliveryRepository):
    for row in (
        delivery("whd_overdue", created_at=at(1)),
        delivery("whd_waits", created_at=at(0)),
        delivery("whd_tried", created_at=at(0)),
        delivery("whd_unstarted", created_at=at(0)),
        delivery("whd_young", created_at=at(60)),
        delivery("whd_ended", created_at=at(0)),
    ):
        await deliveries.add(row)
    await deliveries.started(["whd_overdue", "whd_waits", "whd_tried", "whd_young", "whd_ended"])
    for name, due in (("whd_waits", at(3600)), ("whd_tried", at(30))):
        pending: dict[str, Any] = {"state": DeliveryState.PENDING, "next_attempt_at": due, "disable_reason": None}
        await deliveries.record(delivery(name), attempt(), **pending)
    assert await deliveries.give_up("whd_ended", DeliveryState.FAILED, at=at(9))
    assert not await deliveries.give_up("whd_ended", DeliveryState.DROPPED, at=at(10))
    found = await deliveries.overdue(before=at(60), limit=10)
    assert [one.id for one in found] == ["whd_tried", "whd_overdue"]
    assert [one.id for one in await deliveries.overdue(before=at(60), limit=1)] == ["whd_tried"]
    ended = await deliveries.get("whd_ended")
    assert ended is not None
    assert ended.state is DeliveryState.FAILED


@ledger("D-099", "D-103")
@pytest.mark.parametrize(
    ("state", "event", "heard"),
    [
        (JobState.COMPLETED, "job.completed", {None, "wh_both", "wh_completed"}),
        (JobState.FAILED, "job.failed", {None, "wh_both", "wh_failed"}),
        (JobState.CANCELLED, "job.failed", {None, "wh_both", "wh_failed"}),
        (JobState.TIMEOUT, "job.failed", {None, "wh_both", "wh_failed"}),
    ],
)
async def test_the_end_of_a_job_is_sent_to_those_who_asked(
    database: Database, state: JobState, event: str, heard: set[str | None]
):
    due: list[DueDelivery] = []
    jobs, webhooks = JobRepository(database, due.extend), WebhookRepository(database)
    deliveries = DeliveryRepository(database)
    for row in (
        webhook("wh_both"),
        webhook("wh_completed", "job.completed"),
        webhook("wh_failed", "job.failed"),
        webhook("wh_deaf", "webhook.disabled"),
        webhook("wh_off", disabled_at=at(1)),
        webhook("wh_late", created_at=at(61)),
        webhook("wh_other", owner="bob"),
    ):
        await webhooks.add(row, most=50)
    await accepted(jobs, job_input())
    await closed(jobs, "wf_job_1", state)
    rows = await deliveries_by_webhook(deliveries)
    assert rows.keys() == heard
    assert {row.event for row in rows.values()} == {event}
    assert {(row.state, row.attempts, row.created_at) for row in rows.values()} == {(DeliveryState.PENDING, 0, at(60))}
    assert rows[None].url == "https://example.com/hook"
    assert {one.id for one in due} == {row.id for row in rows.values()}
    assert {row.message_id for row in rows.values()} == {row.id for row in rows.values()}


async def test_the_end_of_a_job_is_sent_once_by_any_closer_and_however_often(
    jobs: JobRepository, webhooks: WebhookRepository, deliveries: DeliveryRepository, due: list[DueDelivery]
):
    await webhooks.add(webhook("wh_1"), most=50)
    await accepted(jobs, job_input())
    await asyncio.gather(*(closed(jobs, "wf_job_1", snapshot=None, events=None, result=None) for _ in range(3)))
    await asyncio.gather(*(closed(jobs, "wf_job_1") for _ in range(3)))
    assert len(due) == len({one.id for one in due}) == 2
    assert (await deliveries_by_webhook(deliveries)).keys() == {None, "wh_1"}


async def test_a_corrected_end_is_sent_to_those_who_did_not_receive_it(
    jobs: JobRepository, webhooks: WebhookRepository, deliveries: DeliveryRepository
):
    await webhooks.add(webhook("wh_failed", "job.failed"), most=50)
    await accepted(jobs, job_input(webhook_url=None))
    await closed(jobs, "wf_job_1", JobState.COMPLETED, snapshot=None, events=None, result=None)
    assert await deliveries_by_webhook(deliveries) == {}
    await closed(jobs, "wf_job_1", JobState.CANCELLED)
    assert (await deliveries_by_webhook(deliveries)).keys() == {"wh_failed"}


async def test_a_close_that_changes_nothing_sends_nothing(
    jobs: JobRepository, webhooks: WebhookRepository, due: list[DueDelivery]
):
    await webhooks.add(webhook("wh_1"), most=50)
    assert not await closed(jobs, "wf_job_unknown")
    await accepted(jobs, job_input("wf_job_quiet", owner="bob", webhook_url=None))
    assert await closed(jobs, "wf_job_quiet")
    assert due == []


async def test_what_nobody_started_is_found_again(deliveries: DeliveryRepository):
    for n in range(4):
        await deliveries.add(delivery(f"whd_{n}", created_at=at(n)))
    await deliveries.started(["whd_1"])
    assert await deliveries.give_up("whd_2", DeliveryState.DROPPED, at=at(9))
    assert [one.id for one in await deliveries.unstarted(before=at(10), limit=10)] == ["whd_0", "whd_3"]
    assert [one.id for one in await deliveries.unstarted(before=at(3), limit=10)] == ["whd_0"]
    assert [one.id for one in await deliveries.unstarted(before=at(10), limit=1)] == ["whd_0"]


async def test_an_attempt_that_is_made_again_is_one_attempt(deliveries: DeliveryRepository):
    row = delivery("whd_1")
    await deliveries.add(row)
    pending: dict[str, Any] = {"state": DeliveryState.PENDING, "next_attempt_at": at(5), "disable_reason": None}
    await deliveries.record(row, attempt(1, error="first"), **pending)
    await deliveries.record(row, attempt(1, error="again"), **pending)
    await deliveries.record(row, attempt(2), **pending)
    ((kept, made),), total = await deliveries.list(webhook_id="wh_1", limit=5, offset=0)
    assert (total, kept.attempts, kept.next_attempt_at, kept.completed_at) == (1, 2, at(5), None)
    assert [(one.number, one.error, one.duration) for one in made] == [(1, "again", 0.25), (2, None, 0.25)]


async def test_a_settled_delivery_stays_settled(deliveries: DeliveryRepository):
    row = delivery("whd_1")
    await deliveries.add(row)
    done: dict[str, Any] = {"next_attempt_at": None, "disable_reason": None}
    await deliveries.record(row, attempt(1, "delivered", status=204), state=DeliveryState.DELIVERED, **done)
    await deliveries.record(row, attempt(2), state=DeliveryState.FAILED, **done)
    assert not await deliveries.give_up("whd_1", DeliveryState.DROPPED, at=at(9))
    kept = await deliveries.get("whd_1")
    assert kept is not None
    assert (kept.state, kept.attempts, kept.completed_at) == (DeliveryState.DELIVERED, 1, at(1.25))
    assert await deliveries.delivered_since("wh_1", at(1))
    assert not await deliveries.delivered_since("wh_1", at(2))
    assert not await deliveries.delivered_since("wh_2", at(0))


async def test_pending_deliveries_of_a_deleted_webhook_are_dropped(
    webhooks: WebhookRepository, deliveries: DeliveryRepository
):
    await webhooks.add(webhook("wh_1"), most=50)
    for row in (delivery("whd_1"), delivery("whd_2"), delivery("whd_3", webhook_id="wh_2")):
        await deliveries.add(row)
    taken: dict[str, Any] = {"state": DeliveryState.DELIVERED, "next_attempt_at": None, "disable_reason": None}
    await deliveries.record(delivery("whd_1"), attempt(1, "delivered", status=204), **taken)
    waits: dict[str, Any] = {"state": DeliveryState.PENDING, "next_attempt_at": at(99), "disable_reason": None}
    await deliveries.record(delivery("whd_2"), attempt(1), **waits)
    await webhooks.delete("wh_1", at=at(9))
    kept = [await deliveries.get(f"whd_{n}") for n in (1, 2, 3)]
    assert [row and (row.state, row.completed_at, row.next_attempt_at) for row in kept] == [
        (DeliveryState.DELIVERED, at(1.25), None),
        (DeliveryState.DROPPED, at(9), None),
        (DeliveryState.PENDING, None, None),
    ]


async def test_a_webhook_is_disabled_with_the_delivery_that_failed_and_others_receive_theirs(
    webhooks: WebhookRepository, deliveries: DeliveryRepository
):
    await webhooks.add(webhook("wh_1", "job.completed", "webhook.disabled"), most=50)
    await webhooks.add(webhook("wh_2", "webhook.disabled"), most=50)
    await webhooks.add(webhook("wh_3", "job.completed"), most=50)
    await webhooks.add(webhook("wh_4", "webhook.disabled", owner="bob"), most=50)
    row = delivery("whd_1")
    await deliveries.add(row)
    failed: dict[str, Any] = {"state": DeliveryState.FAILED, "next_attempt_at": None, "disable_reason": "it is gone"}
    first = await deliveries.record(row, attempt(1, "gone", status=410), **failed)
    assert await deliveries.record(row, attempt(1, "gone", status=410), **failed) == []
    assert [one.url for one in first] == ["https://example.com/wh_2"]
    ((message, _),), _ = await deliveries.list(webhook_id="wh_2", limit=5, offset=0)
    assert message.data == {"webhook_id": "wh_1", "url": "https://example.com/wh_1", "reason": "it is gone"}
    off = await webhooks.get("wh_1")
    assert off is not None
    assert (off.disabled_at, off.disabled_reason) == (at(1.25), "it is gone")


async def test_deliveries_are_listed_newest_first_by_state(deliveries: DeliveryRepository):
    for n in range(3):
        await deliveries.add(delivery(f"whd_{n}", created_at=at(n)))
    assert await deliveries.give_up("whd_1", DeliveryState.DROPPED, at=at(9))
    rows, total = await deliveries.list(webhook_id="wh_1", state=DeliveryState.PENDING, limit=1, offset=1)
    assert ([row.id for row, _ in rows], total) == (["whd_0"], 2)
    assert await deliveries.list(webhook_id="wh_none", limit=5, offset=0) == ([], 0)
