"""The caller that a schedule acts for: what its key or account may do now."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.domain.access import ApiKey, Role, Scope
from orchestrator.domain.errors import Forbidden
from orchestrator.domain.ids import JobKind
from orchestrator.domain.limits import Tier
from orchestrator.domain.schedules import ScheduleRow
from orchestrator.services.schedules.credentials import ScheduleCredentials
from orchestrator.storage.users import UserRecord

NOW = datetime(2026, 11, 26, tzinfo=UTC)
ACCOUNT = "grace:0123456789abcdef"
ROW = ScheduleRow(
    id="sch_1",
    owner="alice",
    kind=JobKind.WORKFLOW,
    name="Tea",
    key_id="key_1",
    tier=Tier.PRO,
    request_hash="",
    created_at=NOW,
    updated_at=NOW,
)
KEY = ApiKey(
    id="key_1",
    owner="alice",
    name="k",
    scopes=frozenset({Scope.WORKFLOWS_RUN}),
    tier=Tier.PRO,
    created_by="admin",
    created_at=NOW,
    expires_at=None,
    revoked_at=None,
    last_used_at=None,
    prefix="p",
)


class Rows:
    """Keys and users by id."""

    def __init__(self, *rows: Any) -> None:
        self._rows = {row.id: row for row in rows}

    async def get(self, row_id: str) -> Any:
        return self._rows.get(row_id)

    of_account = get


def credentials(*rows: Any) -> ScheduleCredentials:
    return ScheduleCredentials(Rows(*rows), Rows(*rows), clock=lambda: NOW)  # type: ignore[arg-type]


async def test_a_run_has_the_present_tier_of_its_key():
    principal = await credentials(replace(KEY, tier=Tier.BUSINESS)).principal(ROW)
    assert (principal.id, principal.tier, principal.key) == ("alice", Tier.BUSINESS, "key_1")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (None, "revoked"),
        (replace(KEY, revoked_at=NOW), "revoked"),
        (replace(KEY, expires_at=NOW - timedelta(seconds=1)), "expired"),
        (replace(KEY, scopes=frozenset({Scope.JOBS_READ})), "workflows:run"),
    ],
)
async def test_a_key_that_has_ended_or_lost_its_scope_is_refused(key: ApiKey | None, words: str):
    with pytest.raises(Forbidden, match=words):
        await credentials(*([] if key is None else [key])).principal(ROW)


async def test_a_user_has_the_present_roles_until_the_account_is_removed():
    row = replace(ROW, owner=f"user:{ACCOUNT}", key_id=None, tier=None)
    manager = UserRecord(ACCOUNT, "grace", "", [Role.ORCHESTRATION_MANAGER], NOW)
    principal = await credentials(manager).principal(row)
    assert (principal.id, principal.admin, principal.tier) == (f"user:{ACCOUNT}", False, Tier.BUSINESS)
    with pytest.raises(Forbidden, match="removed"):
        await credentials().principal(row)
    with pytest.raises(Forbidden):  # no role is left
        await credentials(UserRecord(ACCOUNT, "grace", "", [], NOW)).principal(row)


async def test_the_bootstrap_key_has_no_limits_and_a_foreign_token_its_tier():
    admin = await credentials().principal(replace(ROW, owner="admin", key_id=None, tier=None))
    assert (admin.admin, admin.tier) == (True, None)
    foreign = await credentials().principal(replace(ROW, owner="user:someone@else", key_id=None, tier=Tier.BUSINESS))
    assert (foreign.admin, foreign.tier) == (False, Tier.BUSINESS)
