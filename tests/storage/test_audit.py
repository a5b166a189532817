"""The audit trail in the index."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.domain.access import AuditEntry
from orchestrator.storage.audit import AuditRepository
from orchestrator.storage.database import Database

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
ENTRY = AuditEntry(
    at=NOON,
    principal="newsroom",
    key_id="key_1",
    action="POST /v1/jobs/{job_id}/cancel",
    path="/v1/jobs/job_1/cancel",
    status=200,
    address="127.0.0.1",
    request_id="req_1",
)


@pytest.fixture
def audit(database: Database) -> AuditRepository:
    return AuditRepository(database)


async def listed(audit: AuditRepository, **wanted: Any) -> list[AuditEntry]:
    nothing = {"principal": None, "action": None, "since": None, "until": None, "before": None, "limit": 50}
    return await audit.list(**nothing | wanted)


async def test_entries_come_back_newest_first_with_ids_that_grow(audit: AuditRepository) -> None:
    bare = replace(ENTRY, principal="admin", key_id=None, address=None, status=500)
    for entry in (ENTRY, bare):
        await audit.add(entry)
    newest, oldest = await listed(audit)
    assert newest.id > oldest.id > 0
    assert (replace(newest, id=0), replace(oldest, id=0)) == (bare, ENTRY)


async def test_entries_are_filtered(audit: AuditRepository) -> None:
    for number, action in enumerate(("POST /v1/webhooks", "POST /v1/jobs/{job_id}/cancel", "post /v1/jobs", "DELETE")):
        at = NOON + timedelta(minutes=number)
        await audit.add(replace(ENTRY, principal=f"p{number % 2}", action=action, at=at, request_id=str(number)))

    async def numbers(**wanted: Any) -> list[str]:
        return [entry.request_id for entry in await listed(audit, **wanted)]

    assert await numbers() == ["3", "2", "1", "0"]
    assert await numbers(principal="p1") == ["3", "1"]
    assert await numbers(principal="p") == []
    assert await numbers(action="POST /v1/jobs") == ["1"], "as it is written, not in another case"
    assert await numbers(action="POST") == ["1", "0"]
    assert await numbers(action="%") == []
    assert await numbers(since=NOON + timedelta(minutes=2)) == ["3", "2"]
    assert await numbers(until=NOON + timedelta(minutes=2)) == ["1", "0"]
    assert await numbers(limit=2) == ["3", "2"]
    second = (await listed(audit, limit=2))[-1].id
    assert await numbers(before=second) == ["1", "0"]
