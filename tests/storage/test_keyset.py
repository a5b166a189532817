"""Pages that begin after a row, on both databases: nothing is skipped or repeated while rows are added."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import pytest

from orchestrator.domain.jobs import JobState
from orchestrator.domain.pages import Position
from orchestrator.storage.database import Database
from orchestrator.storage.deliveries import DeliveryRepository
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.keys import KeyRepository
from orchestrator.storage.webhooks import WebhookRepository
from tests.storage.ended import job_row, write
from tests.storage.rows import at, job_input
from tests.storage.test_keys import digested, new_key
from tests.storage.test_webhooks import delivery, webhook

Add = Callable[[str, datetime], Awaitable[None]]
Page = Callable[[Position | None, int], Awaitable[Sequence[Any]]]


def job_list(database: Database, **filters: Any) -> tuple[Add, Page]:
    jobs = JobRepository(database)

    async def add(id: str, created_at: datetime) -> None:
        row = job_row(f"wf_job_{id}", state=JobState.FAILED) | {"created_at": created_at}
        await write(database, job_rows=[row])

    async def page(after: Position | None, limit: int) -> Sequence[Any]:
        wanted: dict[str, Any] = {"owner": None, "states": None, "kind": None, "definition": None} | filters
        return (await jobs.list(**wanted, limit=limit, offset=0, after=after))[0]

    return add, page


def failed_job_list(database: Database) -> tuple[Add, Page]:
    return job_list(database, states=[JobState.FAILED, JobState.TIMEOUT])


def attention_list(database: Database) -> tuple[Add, Page]:
    return job_list(database, attention=True)


def key_list(database: Database) -> tuple[Add, Page]:
    keys = KeyRepository(database)

    async def add(id: str, created_at: datetime) -> None:
        await keys.add(new_key(int(id), created_at=created_at, expires_at=None), digested("d"))

    async def page(after: Position | None, limit: int) -> Sequence[Any]:
        return (await keys.list(limit=limit, offset=0, after=after))[0]

    return add, page


def webhook_list(database: Database) -> tuple[Add, Page]:
    webhooks = WebhookRepository(database)

    async def add(id: str, created_at: datetime) -> None:
        await webhooks.add(webhook(f"wh_{id}", created_at=created_at), most=100)

    async def page(after: Position | None, limit: int) -> Sequence[Any]:
        return (await webhooks.list(owner="alice", limit=limit, offset=0, after=after))[0]

    return add, page


def delivery_list(database: Database) -> tuple[Add, Page]:
    deliveries = DeliveryRepository(database)

    async def add(id: str, created_at: datetime) -> None:
        await deliveries.add(delivery(f"whd_{id}", created_at=created_at))

    async def page(after: Position | None, limit: int) -> Sequence[Any]:
        rows, _ = await deliveries.list(webhook_id="wh_1", limit=limit, offset=0, after=after)
        return [row for row, _ in rows]

    return add, page


@pytest.mark.parametrize("listing", [job_list, failed_job_list, attention_list, key_list, webhook_list, delivery_list])
async def test_a_walk_sees_each_row_once_while_rows_are_added(
    database: Database, listing: Callable[[Database], tuple[Add, Page]]
):
    add, page = listing(database)
    oldest_first = listing is webhook_list
    for number in range(10, 17):  # three of them at one moment
        await add(str(number), at(min(number, 14)))
    expected = [row.id for row in await page(None, 100)]
    assert len(expected) == 7
    ids: list[str] = []
    after: Position | None = None
    while rows := await page(after, 2):
        ids += [row.id for row in rows]
        after = Position(rows[-1].created_at, rows[-1].id)
        # Rows on the side that the walk has left, where an offset would repeat one.
        number = 20 + len(ids)
        await add(str(number), at(-number if oldest_first else 100 + number))
    assert ids == expected


async def test_jobs_of_a_time(database: Database):
    add, _ = job_list(database)
    jobs = JobRepository(database)
    for number in range(4):
        await add(str(number), at(number))
    wanted: dict[str, Any] = {"owner": None, "states": None, "kind": None, "definition": None}
    rows, total = await jobs.list(**wanted, since=at(1), until=at(3), limit=1, offset=0)
    assert ([row.id for row in rows], total) == (["wf_job_2"], 2)
    rows, total = await jobs.list(**wanted, attention=True, since=at(3), limit=5, offset=0)
    assert ([row.id for row in rows], total) == (["wf_job_3"], 1)


async def test_jobs_with_a_label(jobs: JobRepository):
    odd = {"a:b": "c", "a": "b:c", "line\n": "x\\"}
    for number, labels in enumerate([{"team": "press"}, {"team": "Press"}, {}, {"team": "press", "x": "y"}, odd]):
        await jobs.accept(job_input(f"wf_job_{number}", labels=labels), request_hash="h", at=at(number))

    async def ids(labels: dict[str, str], **more: Any) -> list[str]:
        wanted: dict[str, Any] = {"owner": None, "states": None, "kind": None, "definition": None} | more
        rows, total = await jobs.list(**wanted, labels=labels, limit=10, offset=0)
        assert total == len(rows)
        return [row.id[-1] for row in rows]

    assert await ids({"team": "press"}) == ["3", "0"]
    assert await ids({"team": "press", "x": "y"}) == ["3"]
    assert await ids({"team": "pres"}) == await ids({"eam": "press"}) == await ids({"team": "%"}) == []
    assert [await ids({name: value}) for name, value in odd.items()] == [["4"]] * 3
    assert await ids({"a": "b"}) == await ids({"b": "c"}) == []
    assert await ids({"team": "press"}, owner="bob") == []
    assert await ids({"team": "press"}, states=[JobState.PENDING]) == ["3", "0"]
    assert await ids({"team": "press"}, attention=True) == []


async def test_labels_that_are_too_long_for_an_index_do_not_fail_a_start(jobs: JobRepository):
    labels = {f"label-{number:02}": "ü" * 200 for number in range(20)}
    await jobs.accept(job_input("wf_job_1", labels=labels), request_hash="h", at=at(0))
    wanted: dict[str, Any] = {"owner": None, "states": None, "kind": None, "definition": None}
    assert (await jobs.list(**wanted, labels={"label-00": "ü" * 200}, limit=1, offset=0))[1] == 1
