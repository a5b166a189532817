"""Schedules over HTTP, on a real Temporal server: who owns them, when they run, and what their runs are."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from orchestrator.domain.access import Scope
from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import JobKind
from orchestrator.domain.limits import Tier
from orchestrator.domain.schedules import Interval, Schedule, SchedulePlan, ScheduleTimes
from orchestrator.engine.job_schedules import JobSchedules
from orchestrator.services.access.authentication import ADMIN as BOOTSTRAP
from orchestrator.services.access.keys import IssuedKey, KeyRequest
from orchestrator.services.jobs.start import StartRequest
from orchestrator.services.schedules.registry import ScheduleRequest
from orchestrator.testing import Engine, eventually
from tests.api.conftest import over

BASE = "/v1/schedules"
NIGHTLY: dict[str, Any] = {"cron": ["0 3 * * *"], "time_zone": "Europe/Paris"}
SCOPES = frozenset({Scope.WORKFLOWS_RUN, Scope.AGENTS_EXECUTE, Scope.JOBS_READ, Scope.JOBS_CANCEL})


def body(**more: Any) -> dict[str, Any]:
    return {"workflow_id": "t_three", "input": {"topic": "tea"}, "spec": NIGHTLY, **more}


async def create(client: httpx2.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await client.post(BASE, json=body(**more))
    assert answer.status_code == 201, answer.text
    schedule: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"{BASE}/{schedule['schedule_id']}"
    return schedule


async def job_of(client: httpx2.AsyncClient, job_id: str) -> dict[str, Any]:
    async def look() -> httpx2.Response:
        return await client.get(f"/v1/jobs/{job_id}", params={"wait": 10, "until": "end"})

    answer = await eventually(look, lambda answer: answer.status_code == 200)
    job: dict[str, Any] = answer.json()
    return job


@pytest.fixture
async def issued(running: Engine) -> IssuedKey:
    """A key of an owner who has nothing yet."""
    request = KeyRequest(name="k", scopes=SCOPES, tier=Tier.BUSINESS, owner=f"owner-{uuid.uuid4().hex[:8]}")
    return await running.services.keys.issue(BOOTSTRAP, request)


@pytest_asyncio.fixture(loop_scope="session")
async def user(app: FastAPI, issued: IssuedKey) -> AsyncIterator[httpx2.AsyncClient]:
    async with over(app, Authorization=f"Bearer {issued.token}") as client:
        yield client
        for schedule in (await client.get(BASE)).json().get("schedules", []):
            await client.delete(f"{BASE}/{schedule['schedule_id']}")


async def test_a_schedule_shows_its_next_five_times(user: httpx2.AsyncClient):
    spec = {
        "cron": ["30 6 * * MON-FRI"],
        "intervals": [{"every_seconds": 86_400, "offset_seconds": 60}],
        "calendars": [
            {"hour": [{"start": 9}], "day_of_month": [{"start": 1}], "month": [{"start": 1, "end": 12, "step": 3}]}
        ],
        "skip": [
            {"day_of_month": [{"start": 24, "end": 26}], "month": [{"start": 12}], "hour": [{"start": 0, "end": 23}]}
        ],
        "time_zone": "America/New_York",
        "start_at": "2030-01-01T00:00:00Z",
        "end_at": "2031-01-01T00:00:00+01:00",
        "jitter_seconds": 5,
    }
    more = {"overlap": "buffer_one", "catchup_window_seconds": 600, "pause_on_failure": True, "remaining_runs": 7}
    schedule = await create(
        user, spec=spec, name="Quarterly", labels={"team": "tea"}, note="trial", paused=True, **more
    )
    assert schedule["spec"]["cron"] == ["30 6 * * MON-FRI"]
    assert schedule["spec"]["intervals"] == spec["intervals"]
    [calendar] = schedule["spec"]["calendars"]
    assert calendar["hour"] == [{"start": 9, "end": 9, "step": 1}]
    assert calendar["month"] == [{"start": 1, "end": 12, "step": 3}]
    assert schedule["spec"]["skip"][0]["day_of_month"] == [{"start": 24, "end": 26, "step": 1}]
    assert (schedule["spec"]["time_zone"], schedule["spec"]["end_at"]) == ("America/New_York", "2030-12-31T23:00:00Z")
    assert {name: schedule[name] for name in more} == more
    assert (schedule["name"], schedule["note"], schedule["paused"]) == ("Quarterly", "trial", True)
    assert (schedule["workflow_id"], schedule["type"], schedule["input"]) == ("t_three", "workflow", {"topic": "tea"})
    assert schedule["labels"] == {"team": "tea"}
    assert [time[:16] for time in schedule["next_runs"][:4]] == [
        "2030-01-01T00:01",
        "2030-01-01T11:30",
        "2030-01-01T14:00",
        "2030-01-02T00:01",
    ]
    assert len(schedule["next_runs"]) == 5
    path = f"{BASE}/{schedule['schedule_id']}"
    read = (await user.get(path)).json()
    assert {**read, "next_runs": 0} == {**schedule, "next_runs": 0}


async def upcoming(user: httpx2.AsyncClient, **spec: Any) -> list[str]:
    times: list[str] = (await create(user, spec=spec, paused=True))["next_runs"]
    return times


async def test_times_over_a_change_of_clocks(user: httpx2.AsyncClient):
    paris = {"time_zone": "Europe/Paris"}
    three = await upcoming(user, cron=["0 3 * * *"], start_at="2030-03-29T12:00:00Z", **paris)
    assert three[:3] == ["2030-03-30T02:00:00Z", "2030-03-31T01:00:00Z", "2030-04-01T01:00:00Z"]
    # On that day 02:30 does not exist: the run is skipped, not moved.
    gone = await upcoming(user, cron=["30 2 * * *"], start_at="2030-03-29T12:00:00Z", **paris)
    assert gone[:2] == ["2030-03-30T01:30:00Z", "2030-04-01T00:30:00Z"]
    # In autumn 02:30 comes twice: the run is made once, the second time.
    twice = await upcoming(user, cron=["30 2 * * *"], start_at="2030-10-26T12:00:00Z", **paris)
    assert twice[:3] == ["2030-10-27T01:30:00Z", "2030-10-28T01:30:00Z", "2030-10-29T01:30:00Z"]
    # Intervals know no clocks.
    even = await upcoming(user, intervals=[{"every_seconds": 43_200}], start_at="2030-03-30T12:00:00Z", **paris)
    assert even[:3] == ["2030-03-30T12:00:00Z", "2030-03-31T00:00:00Z", "2030-03-31T12:00:00Z"]


async def test_a_run_is_an_ordinary_job_that_names_its_schedule(user: httpx2.AsyncClient, issued: IssuedKey):
    schedule = await create(user, labels={"team": "tea"}, config={"max_tokens": 900})
    path = f"{BASE}/{schedule['schedule_id']}"
    triggered = await user.post(f"{path}/trigger")
    assert triggered.status_code == 202, triggered.text
    job_id = triggered.json()["job_id"]
    assert (await user.get(f"/v1/jobs/{job_id}")).status_code == 200, "the run is read at once"
    job = await job_of(user, job_id)
    assert (job["status"], job["workflow_id"], job["input"]) == ("completed", "t_three", {"topic": "tea"})
    assert job["labels"] == {"team": "tea", "started_by": "schedule", "schedule": schedule["schedule_id"]}
    assert job["config"]["max_tokens"] == 900
    assert job_id.startswith("wf_job_")
    listed = (await user.get("/v1/jobs", params={"label": f"schedule:{schedule['schedule_id']}"})).json()
    assert [row["job_id"] for row in listed["jobs"]] == [job_id]
    shown = (await user.get(path)).json()
    assert [run["job_id"] for run in shown["recent_runs"]] == [job_id]
    assert shown["runs"]["started"] == 1


async def test_it_runs_by_itself_and_its_callback_gets_the_end(running: Engine):
    """Faster than a request may ask for: every second, one run."""
    every_second = ScheduleTimes(intervals=(Interval(timedelta(seconds=1)),))
    start = StartRequest(kind=JobKind.AGENT, target="t_echo", input={"n": 1}, webhook_url="https://93.184.215.14/hook")

    def plan(job: JobInput) -> SchedulePlan:
        return SchedulePlan(job=job, times=every_second, remaining_runs=1)

    schedules = running.services.schedules
    schedule, _ = await schedules.create(BOOTSTRAP, ScheduleRequest(start, plan, "Once"))

    async def look() -> Schedule:
        return await schedules.get(BOOTSTRAP, schedule.row.id)

    done = await eventually(look, lambda seen: bool(seen.course.recent_runs))
    [run] = done.course.recent_runs
    job = await running.ended(run.job_id)
    assert (job.state, job.owner, job.webhook_url) == ("COMPLETED", "admin", start.webhook_url)
    assert run.scheduled_at <= job.created_at
    deliveries = await running.services.webhooks.deliveries_of_job(job.id, limit=5)
    # Webhooks of other tests may take the end of every job of this owner.
    assert start.webhook_url in [delivery.url for delivery, _ in deliveries.rows]
    assert (await look()).plan.remaining_runs == 0
    await schedules.delete(BOOTSTRAP, schedule.row.id)


async def test_a_backfill_starts_the_runs_of_a_period(user: httpx2.AsyncClient):
    spec = {"cron": ["0 3 * * *"], "time_zone": "Europe/Paris"}
    schedule = await create(user, workflow_id=None, agent_id="t_echo", input={}, spec=spec)
    path = f"{BASE}/{schedule['schedule_id']}"
    period = {"start_at": "2026-03-28T00:00:00Z", "end_at": "2026-03-30T12:00:00Z"}
    answer = await user.post(f"{path}/backfill", json={**period, "overlap": "allow_all"})
    assert (answer.status_code, answer.json()["backfilled"]) == (202, 3), answer.text

    async def runs() -> list[str]:
        return sorted(run["scheduled_at"] for run in (await user.get(path)).json()["recent_runs"])

    # The first is in winter, the others in summer.
    times = ["2026-03-28T02:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"]
    await eventually(runs, lambda seen: seen == times)
    for run in (await user.get(path)).json()["recent_runs"]:
        assert (await job_of(user, run["job_id"]))["status"] == "completed"
    wide = {"start_at": "2020-01-01T00:00:00Z", "end_at": "2026-01-01T00:00:00Z"}
    for bad in (
        wide,
        {"start_at": period["end_at"], "end_at": period["start_at"]},
        {**period, "end_at": period["start_at"]},
    ):
        refused = await user.post(f"{path}/backfill", json=bad)
        assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (400, "end_at")


async def test_pause_unpause_and_change(user: httpx2.AsyncClient):
    schedule = await create(user, webhook_url="https://93.184.215.14/hook", remaining_runs=3)
    path = f"{BASE}/{schedule['schedule_id']}"
    paused = (await user.post(f"{path}/pause", json={"note": "holidays"})).json()
    assert (paused["paused"], paused["note"]) == (True, "holidays")
    change = {
        "spec": {"cron": ["@daily"]},
        "overlap": "cancel_other",
        "input": {"topic": "coffee"},
        "webhook_url": None,
        "remaining_runs": None,
        "name": "Coffee",
    }
    answer = await user.patch(path, json=change)
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert changed["spec"]["cron"] == ["@daily"]
    assert {name: changed[name] for name in change if name != "spec"} == {
        k: v for k, v in change.items() if k != "spec"
    }
    assert (changed["paused"], changed["note"]) == (True, "holidays")  # what is left out stays
    unpaused = (await user.post(f"{path}/unpause")).json()
    assert unpaused["paused"] is False
    assert "Unpaused by" in unpaused["note"]
    assert (await user.patch(path, json={"overlap": "sometimes"})).status_code == 400
    assert (await user.patch(path, json={"spec": {"cron": ["99 * * * *"]}})).status_code == 400
    assert (await user.get(path)).json() == unpaused
    assert (await user.delete(path)).status_code == 204
    assert (await user.get(path)).status_code == 404
    assert (await user.delete(path)).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"spec": {"cron": ["99 * * * *"]}}, "spec"),
        ({"spec": {"cron": ["* * * * * *"]}}, "spec.cron"),
        ({"spec": {"cron": ["@every 1s"]}}, "spec.cron"),
        ({"spec": {"cron": ["0 3 * * *"], "time_zone": "Mars/Olympus"}}, "spec.time_zone"),
        ({"spec": {"cron": ["0 3 * * *"], "time_zone": "Local"}}, "spec.time_zone"),
        ({"spec": {"cron": ["0 3 * * *"], "time_zone": "posixrules"}}, "spec.time_zone"),
        ({"spec": {"cron": ["*/99999999999 3 * * *"]}}, "spec.cron"),
        ({"spec": {"calendars": [{"hour": [{"start": 9, "end": 5}]}]}}, "spec.calendars"),
        ({"spec": {"intervals": [{"every_seconds": 1}]}}, "spec.intervals"),
        ({"spec": {"cron": ["0 0 31 2 *"]}}, "spec"),
        ({"spec": {"cron": ["0 3 * * *"], "end_at": "2020-01-01T00:00:00Z"}}, "spec"),
        ({"spec": {}}, "spec"),
        ({"overlap": "never"}, "overlap"),
        ({"workflow_id": "t_three", "agent_id": "t_echo"}, "body"),
        ({"workflow_id": None, "agent_id": "technical_writer", "input": {}}, "subject"),
        ({"config": {"model": "foo:bar"}}, "config.model"),
        ({"webhook_url": "http://127.0.0.1/hook"}, "webhook_url"),
        ({"labels": {"schedule": "mine"}}, "labels"),
    ],
)
async def test_what_is_invalid_creates_nothing(user: httpx2.AsyncClient, change: dict[str, Any], field: str):
    answer = await user.post(BASE, json=body(**change))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["details"]["field"] == field, answer.text
    assert (await user.get(BASE)).json()["total"] == 0


async def test_an_input_that_is_too_large_and_an_unknown_workflow(user: httpx2.AsyncClient):
    assert (await user.post(BASE, json=body(input={"topic": "t" * 50_000}))).status_code == 413
    assert (await user.post(BASE, json=body(workflow_id="t_nowhere"))).status_code == 404
    assert (await user.get(BASE)).json()["total"] == 0


async def test_others_do_not_see_it_and_scopes_are_needed(
    user: httpx2.AsyncClient, app: FastAPI, client: httpx2.AsyncClient, key: Callable[..., Awaitable[dict[str, str]]]
):
    schedule = await create(user)
    path = f"{BASE}/{schedule['schedule_id']}"
    async with over(app, **await key(SCOPES)) as other:
        for method, url in (("GET", path), ("DELETE", path), ("POST", f"{path}/trigger"), ("POST", f"{path}/pause")):
            assert (await other.request(method, url)).status_code == 404
        assert (await other.get(BASE)).json()["schedules"] == []
    async with over(app, **await key({Scope.JOBS_READ})) as reader:
        assert (await reader.post(BASE, json=body())).status_code == 403
    async with over(app, **await key({Scope.AGENTS_EXECUTE})) as agents_only:
        assert (await agents_only.post(BASE, json=body())).status_code == 403
    assert (await client.get(path)).status_code == 200  # an admin sees all


async def test_pages_and_one_creation_for_one_key(user: httpx2.AsyncClient):
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first, again = [await user.post(BASE, json=body(), headers=key) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["schedule_id"] == first.json()["schedule_id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await user.post(BASE, json=body(note="another"), headers=key)
    assert other.status_code == 422
    ids = [first.json()["schedule_id"], *[(await create(user))["schedule_id"] for _ in range(2)]]
    seen: list[str] = []
    after: dict[str, Any] = {}
    while True:
        page = (await user.get(BASE, params={"limit": 2, **after})).json()
        seen += [row["schedule_id"] for row in page["schedules"]]
        if not page["has_more"]:
            break
        after = {"after": page["next"]}
    assert (seen, page["total"]) == (ids, 3)


async def test_a_revoked_key_refuses_the_run_and_pauses_the_schedule(
    user: httpx2.AsyncClient, client: httpx2.AsyncClient, issued: IssuedKey, running: Engine
):
    schedule = await create(user)
    path = f"{BASE}/{schedule['schedule_id']}"
    await running.services.keys.revoke(issued.key.id)
    job_id = (await client.post(f"{path}/trigger")).json()["job_id"]
    job = await job_of(client, job_id)
    assert (job["status"], job["error"]["type"]) == ("failed", "forbidden"), job
    assert issued.key.id in job["error"]["message"]
    assert job["steps"] == [] or all(step["status"] != "completed" for step in job["steps"])

    async def shown() -> dict[str, Any]:
        answer: dict[str, Any] = (await client.get(path)).json()
        return answer

    assert issued.key.id in (await eventually(shown, lambda schedule: schedule["paused"]))["note"]
    await client.delete(path)


async def test_a_run_over_the_limit_is_a_failed_job(app: FastAPI, running: Engine):
    owner = f"owner-{uuid.uuid4().hex[:8]}"
    request = KeyRequest(name="k", scopes=SCOPES, tier=Tier.FREE, owner=owner)
    token = (await running.services.keys.issue(BOOTSTRAP, request)).token
    async with over(app, Authorization=f"Bearer {token}") as user:
        schedule = await create(user, workflow_id="t_approval", input={}, overlap="allow_all")
        path = f"{BASE}/{schedule['schedule_id']}"
        first = (await user.post(f"{path}/trigger")).json()["job_id"]
        await running.eventually(first, lambda job: bool(job.waiting_steps))
        second = (await user.post(f"{path}/trigger")).json()["job_id"]
    job = await running.ended(second)
    assert (job.state, job.error and job.error.type) == ("FAILED", "rate_limit_exceeded")
    assert "concurrent" in (job.error.message if job.error else "")
    assert job.owner == owner
    await running.services.controller.cancel(BOOTSTRAP, first, "")
    assert (await running.ended(first)).state == "CANCELLED"
    await running.services.schedules.delete(BOOTSTRAP, schedule["schedule_id"])


@pytest.mark.parametrize(
    ("overlap", "end"), [("skip", None), ("cancel_other", "CANCELLED"), ("terminate_other", "CANCELLED")]
)
async def test_an_overlap_policy_acts_on_the_job(
    user: httpx2.AsyncClient, running: Engine, overlap: str, end: str | None
):
    schedule = await create(user, workflow_id="t_approval", input={}, overlap=overlap)
    path = f"{BASE}/{schedule['schedule_id']}"
    first = (await user.post(f"{path}/trigger")).json()["job_id"]
    await running.eventually(first, lambda job: bool(job.waiting_steps))
    second = await user.post(f"{path}/trigger")
    assert second.status_code == 202
    if end is None:
        assert second.json()["job_id"] is None
        assert (second.json()["runs"]["skipped"], second.json()["running"]) == (1, [first])
        await user.post(f"/v1/jobs/{first}/cancel")
    else:
        assert (await running.ended(first)).state == end
        await eventually(
            lambda: user.get(path), lambda answer: first not in answer.json()["running"] and answer.json()["running"]
        )
        [later] = (await user.get(path)).json()["running"]
        await running.eventually(later, lambda job: bool(job.waiting_steps))
        await user.post(f"/v1/jobs/{later}/cancel")


async def test_a_creation_without_an_answer_is_repeated_once(app_with: Callable[..., FastAPI], running: Engine):
    """Temporal has the schedule, but the request gets 503; the same request with the same key creates no second one."""

    class Mute(JobSchedules):
        silent = True

        async def create(self, schedule_id: str, plan: SchedulePlan) -> None:
            await super().create(schedule_id, plan)
            if self.silent:
                raise Unavailable("Temporal does not answer")

    services, backend = running.services, running.parts.backend
    mute = Mute(
        backend.client, running.parts.settings.task_queue, prepare=backend.gateway.namespace_id, job_timeout=None
    )
    request = KeyRequest(name="k", scopes=SCOPES, tier=Tier.BUSINESS, owner=f"owner-{uuid.uuid4().hex[:8]}")
    token = (await services.keys.issue(BOOTSTRAP, request)).token
    app = app_with(schedules=replace(services.schedules, temporal=mute))
    key = {"Idempotency-Key": uuid.uuid4().hex}
    async with over(app, Authorization=f"Bearer {token}") as user:
        assert (await user.post(BASE, json=body(), headers=key)).status_code == 503
        Mute.silent = False
        again = await user.post(BASE, json=body(), headers=key)
        assert again.status_code == 201, again.text
        [listed] = (await user.get(BASE)).json()["schedules"]
        assert listed["schedule_id"] == again.json()["schedule_id"]
        assert (await user.delete(f"{BASE}/{listed['schedule_id']}")).status_code == 204


async def test_a_schedule_that_was_deleted_in_temporal_is_unknown(user: httpx2.AsyncClient, running: Engine):
    schedule = await create(user)
    handle = running.parts.backend.client.get_schedule_handle(schedule["schedule_id"])
    await handle.delete()
    path = f"{BASE}/{schedule['schedule_id']}"
    assert (await user.get(path)).status_code == 404
    assert (await user.get(BASE)).json()["schedules"] == []
    assert (await user.delete(path)).status_code == 204  # its row goes, too
    assert (await user.get(BASE)).json()["total"] == 0


def test_the_clock_of_these_tests_is_before_their_times():
    assert datetime.now(UTC) < datetime(2030, 1, 1, tzinfo=UTC)
