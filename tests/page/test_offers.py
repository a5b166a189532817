"""The page offers an action exactly if the API accepts it, in each state of a job, a schedule and a receiver."""

import re
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import httpx2
import pytest

from orchestrator.domain.jobs import Job, JobState
from orchestrator.services.access.authentication import ADMIN as BOOTSTRAP
from orchestrator.testing import ADMIN_KEY, Engine, eventually
from tests.page.conftest import Visit
from tests.page.seeds import copied

BEARER: Final = {"Authorization": f"Bearer {ADMIN_KEY}"}


async def queued(running: Engine, api: httpx2.AsyncClient) -> str:
    answer = await api.post("/v1/workflows/t_three/run", json={"input": {}, "delay": 3600, "async": True})
    assert answer.status_code < 300, answer.text
    return str(answer.json()["job_id"])


async def runs(running: Engine, api: httpx2.AsyncClient) -> str:
    return await _started(running, "t_slow", lambda job: job.calls[0].started_at is not None)


async def paused(running: Engine, api: httpx2.AsyncClient) -> str:
    job_id = await runs(running, api)
    assert (await api.post(f"/v1/jobs/{job_id}/pause")).status_code < 300
    return job_id


async def waits_for_approval(running: Engine, api: httpx2.AsyncClient) -> str:
    return await _started(running, "t_approval", lambda job: bool(job.waiting_steps))


async def waits_for_answer(running: Engine, api: httpx2.AsyncClient) -> str:
    return await _started(running, "t_form", lambda job: bool(job.open_questions))


async def in_code_without_flow(running: Engine, api: httpx2.AsyncClient) -> str:
    return await _started(running, "t_countdown", lambda job: job.state is JobState.RUNNING)


async def completed(running: Engine, api: httpx2.AsyncClient) -> str:
    return (await running.run("t_three", {})).id


async def failed(running: Engine, api: httpx2.AsyncClient) -> str:
    return (await running.run("t_broken", {})).id


async def cancelled(running: Engine, api: httpx2.AsyncClient) -> str:
    job_id = await runs(running, api)
    await api.post(f"/v1/jobs/{job_id}/cancel")
    await running.ended(job_id)
    return job_id


async def cancelled_and_retried(running: Engine, api: httpx2.AsyncClient) -> str:
    job_id = await cancelled(running, api)
    assert (await api.post(f"/v1/jobs/{job_id}/retry")).status_code < 300
    return job_id


async def without_its_answers(running: Engine, api: httpx2.AsyncClient) -> str:
    """A failed job whose answers are no longer kept, neither in the index nor in Temporal."""
    pattern = await running.run("t_three", {})
    tail = uuid.uuid4().hex[:20]
    return await copied(running, pattern, tail, datetime.now(UTC), JobState.FAILED, with_answers=False)


async def _started(running: Engine, workflow: str, holds: Callable[[Job], bool]) -> str:
    """A job that has come to where `holds` is true of it."""
    job_id = (await running.start(workflow, {})).job_id
    await running.eventually(job_id, holds)
    return job_id


STATES: Final = (
    queued,
    runs,
    paused,
    waits_for_approval,
    waits_for_answer,
    in_code_without_flow,
    completed,
    failed,
    cancelled,
    cancelled_and_retried,
    without_its_answers,
)
ACTIONS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "cancel": ("cancel", "cancel", {"reason": "test"}),
    "pause": ("pause", "pause", {}),
    "resume": ("resume", "resume", {}),
    "retry": ("retry", "retry", {}),
    "decide": ("decide", "approve", {}),
    "answer": ("answer", "answers", {"step": "address", "values": {"street": "Main 1"}}),
}
"""Actions on a job: the end of the address of their form, and the request to the API."""
# The API takes these again and changes nothing; an offer would mislead.
HARMLESS: Final = {("paused", "pause"), ("cancelled", "cancel"), ("cancelled_and_retried", "cancel")}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_a_job_offers_what_the_api_accepts(
    running: Engine, admin: Visit, state: Callable[[Engine, httpx2.AsyncClient], Awaitable[str]]
):
    api = admin.http
    api.headers.update(BEARER)
    job_id = await state(running, api)
    page = (await api.get(f"/ui/jobs/{job_id}")).text
    offers = {name for name, (end, _, _) in ACTIONS.items() if f'action="/ui/jobs/{job_id}/{end}"' in page}
    accepted = set()
    for name, (_, end, body) in sorted(ACTIONS.items(), key=lambda action: action[0] in offers):
        if name in offers:  # this action changes the job: a new one for each
            job_id = await state(running, api)
        answer = await api.post(f"/v1/jobs/{job_id}/{end}", json=body)
        assert answer.status_code < 500, answer.text
        if answer.status_code < 300:
            accepted.add(name)
    assert offers == accepted - {name for where, name in HARMLESS if where == state.__name__}


async def test_a_refused_retry_is_explained_wherever_it_is_not_offered(running: Engine, admin: Visit):
    job_id = await without_its_answers(running, admin.http)
    await running.services.reader.settle()
    for path in (f"/ui/jobs/{job_id}", "/", "/ui/bulk?action=retry&q=t_three"):
        page = (await admin.http.get(path)).text
        assert "the answers of its finished calls are no longer kept" in page, path
        assert f'action="/ui/jobs/{job_id}/retry"' not in page
        assert f'name="job" value="{job_id}"' not in page


async def test_a_job_whose_definition_is_gone_is_not_started_again(
    running: Engine, admin: Visit, monkeypatch: pytest.MonkeyPatch
):
    job_id = await failed(running, admin.http)
    assert "Start again…" in (await admin.http.get(f"/ui/jobs/{job_id}")).text
    catalogue = running.services.catalogue.catalogue
    monkeypatch.delitem(catalogue.workflows, "t_broken")
    page = (await admin.http.get(f"/ui/jobs/{job_id}")).text
    assert "Start again…" not in page
    assert "there is no workflow &#39;t_broken&#39; any more" in page


async def test_only_those_whom_a_question_names_get_its_form(running: Engine, owner: Visit):
    from tests.page.test_jobs_pages import start

    job_id = await start(owner, running, "t_form", by=["role:admin"])
    await running.eventually(job_id, lambda job: bool(job.open_questions))
    for path in ("", "/questions"):
        page = (await owner.http.get(f"/ui/jobs/{job_id}{path}")).text
        assert f'action="/ui/jobs/{job_id}/answer"' not in page
        assert "Only role:admin may answer" in page
    assert (await owner.post(f"/ui/jobs/{job_id}/answer", question="address", street="Main 1")).status_code == 403


async def test_a_schedule_offers_what_the_api_accepts(running: Engine, admin: Visit):
    api = admin.http
    api.headers.update(BEARER)
    body = {"workflow_id": "t_three", "input": {}, "spec": {"cron": ["0 3 * * *"]}}
    schedule = (await api.post("/v1/schedules", json=body)).json()["schedule_id"]
    for state, missing in (("pause", "unpause"), ("unpause", "pause")):
        page = (await api.get(f"/ui/schedules/{schedule}")).text
        offers = re.findall(rf'action="/ui/schedules/{schedule}/(\w+)"', page)
        assert sorted(offers) == sorted({"trigger", "delete", state}), missing
        assert (await api.post(f"/v1/schedules/{schedule}/trigger")).status_code < 300
        assert (await api.post(f"/v1/schedules/{schedule}/{state}")).status_code < 300
    assert (await api.delete(f"/v1/schedules/{schedule}")).status_code < 300
    assert (await api.get(f"/ui/schedules/{schedule}")).status_code == 404


async def test_a_receiver_offers_what_the_api_accepts(running: Engine, admin: Visit):
    api = admin.http
    api.headers.update(BEARER)
    body = {"url": "https://hooks.example.com/offers", "events": ["job.completed"]}
    hook = (await api.post("/v1/webhooks", json=body)).json()["id"]
    delivery = (await api.post(f"/v1/webhooks/{hook}/test")).json()
    delivery_id = delivery.get("delivery_id") or delivery["id"]

    async def ended() -> str:
        rows = (await api.get(f"/v1/webhooks/{hook}/deliveries")).json()["deliveries"]
        return str(rows[0]["state"])

    for is_active in (True, False):
        await eventually(ended, lambda state: state != "pending")
        page = (await api.get(f"/ui/webhooks/{hook}")).text
        for end in ("test", f"deliveries/{delivery_id}/redeliver"):
            name = "redeliver" if "redeliver" in end else end
            is_offered = f'action="/ui/webhooks/{hook}/{name}"' in page
            accepted = (await api.post(f"/v1/webhooks/{hook}/{end}")).status_code < 300
            assert is_offered == accepted == is_active, (name, is_active)
        assert ("Switch off" in page, "Switch on" in page) == (is_active, not is_active)
        await api.patch(f"/v1/webhooks/{hook}", json={"active": False})
    await api.delete(f"/v1/webhooks/{hook}")


async def test_cancelled_jobs_are_retried_together_only_if_they_are_asked_for(running: Engine, admin: Visit):
    job_id = (await running.start("t_slow", {}, labels={"batch": "cancelled-ones"})).job_id
    await running.services.controller.cancel(BOOTSTRAP, job_id, "enough")
    await running.ended(job_id)
    listed = "/ui/jobs?label=batch:cancelled-ones"
    assert "action=retry" not in (await admin.http.get(listed)).text
    assert "action=retry" in (await admin.http.get(f"{listed}&state=CANCELLED")).text
    dry = "/ui/bulk?action=retry&label=batch:cancelled-ones"
    assert f'name="job" value="{job_id}"' not in (await admin.http.get(dry)).text
    assert f'name="job" value="{job_id}"' in (await admin.http.get(f"{dry}&state=CANCELLED")).text


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/", "Attention"),
        ("/ui/start", "Start a job"),
        ("/ui/start/workflow/t_three", "Start a job"),
        ("/ui/start?to=schedule", "Schedules"),
        ("/ui/schedules/new/workflow/t_three", "Schedules"),
        ("/ui/compare", "Jobs"),
        ("/ui/bulk?action=cancel", "Jobs"),
    ],
)
async def test_the_side_marks_the_place(admin: Visit, path: str, place: str):
    page = (await admin.http.get(path)).text
    assert re.findall(r'aria-current="page">([^<]+)<', page) == [place]
