"""The other pages: bulk actions, start forms, catalogue, comparison, webhooks, access and workers."""

import re
from collections.abc import Awaitable, Callable

import pytest

from api.v1.schedule_bodies import NewScheduleBody
from orchestrator.domain.access import Scope
from orchestrator.domain.jobs import JobState
from orchestrator.testing import ADMIN_KEY, Engine
from tests.page.conftest import Visit
from tests.page.test_jobs_pages import start

PAGES = (
    "/",
    "/ui/jobs",
    "/ui/start",
    "/ui/start/workflow/market_research",
    "/ui/start/agent/product_manager",
    "/ui/start/workflow/t_three",
    "/ui/catalogue",
    "/ui/catalogue/workflow/api_development",
    "/ui/catalogue/agent/product_manager",
    "/ui/schedules",
    "/ui/start?to=schedule",
    "/ui/schedules/new/agent/product_manager",
    "/ui/webhooks",
    "/ui/workers",
    "/ui/compare",
)
ADMIN_PAGES = ("/ui/access", "/ui/access/audit")


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_opens(owner: Visit, path: str):
    answer = await owner.http.get(path)
    assert answer.status_code == 200
    assert "<h1>" in answer.text


@pytest.mark.parametrize("path", ADMIN_PAGES)
async def test_pages_of_admins_are_closed_to_others(owner: Visit, admin: Visit, path: str):
    assert (await owner.http.get(path)).status_code == 403
    assert (await admin.http.get(path)).status_code == 200
    assert path not in (await owner.http.get("/ui/jobs")).text


async def test_a_key_sees_what_its_scopes_allow(
    visitor_of: Callable[[str], Awaitable[Visit]], key: Callable[..., Awaitable[dict[str, str]]], running: Engine
):
    headers = await key([Scope.JOBS_READ])
    visit = await visitor_of(headers["Authorization"].removeprefix("Bearer "))
    job_id = await start(visit, running, "t_broken")
    await running.ended(job_id)
    text = (await visit.http.get(f"/ui/jobs/{job_id}")).text
    assert ">Retry<" not in text
    assert (await visit.post(f"/ui/jobs/{job_id}/retry")).status_code == 403
    assert (await visit.post(f"/ui/jobs/{job_id}/cancel")).status_code == 403
    assert (await visit.post("/ui/bulk", action="cancel", job=job_id)).status_code == 403
    assert (await visit.http.get("/ui/catalogue")).status_code == 403


async def test_a_bulk_action_acts_on_the_jobs_that_were_counted(running: Engine, owner: Visit):
    ids = [await start(owner, running, "t_slow", {"batch": "x"}) for _ in range(3)]
    other = await start(owner, running, "t_slow")
    finished = await start(owner, running, "t_three", {"batch": "x"})
    await running.ended(finished)
    dry = await owner.http.get("/ui/bulk?action=cancel&label=batch:x")
    assert re.search(r'Cancel <span class="num">3</span> jobs\?', dry.text)
    listed = re.findall(r'name="job" value="([^"]+)"', dry.text)
    assert sorted(listed) == sorted(ids)
    assert [(await running.job(job_id)).cancel_requested_at for job_id in ids] == [None] * 3
    foreign = (await running.start("t_slow", {})).job_id
    csrf = await owner.csrf()
    data = {"csrf": csrf, "action": "cancel", "note": "bulk test", "job": [*listed, finished, foreign]}
    result = await owner.http.post("/ui/bulk", data=data)
    assert re.search(r'<span class="num">3</span> done, <span class="num">2</span> refused', result.text)
    for job_id in ids:
        assert (await running.ended(job_id)).cancel_reason == "bulk test"
    assert (await running.job(foreign)).cancel_requested_at is None
    assert (await running.job(other)).cancel_requested_at is None
    for job_id, visit in ((other, owner), (foreign, None)):
        if visit is not None:
            await visit.post(f"/ui/jobs/{job_id}/cancel")
        else:
            await running.services.controller.cancel(
                await running.services.access.authenticate(ADMIN_KEY), job_id, "tidy"
            )


async def test_failed_jobs_are_retried_together_once(running: Engine, owner: Visit):
    job_id = await start(owner, running, "t_broken", {"batch": "r"})
    await running.ended(job_id)
    dry = await owner.http.get("/ui/bulk?action=retry&label=batch:r")
    assert re.findall(r'name="job" value="([^"]+)"', dry.text) == [job_id]
    result = await owner.post("/ui/bulk", action="retry", job=job_id)
    new_id = re.search(r"retried as <a href=\"/ui/jobs/([^\"]+)\"", result.text)
    assert new_id is not None
    await running.ended(new_id[1])
    again = await owner.http.get("/ui/bulk?action=retry&label=batch:r")
    assert job_id not in re.findall(r'name="job" value="([^"]+)"', again.text)


@pytest.mark.parametrize(
    "data", [{"action": "cancel"}, {"action": "explode", "job": "job_1"}, {"action": "cancel", "job": "a/b"}]
)
async def test_a_wrong_bulk_action_is_refused(owner: Visit, data: dict[str, str]):
    assert (await owner.post("/ui/bulk", **data)).status_code == 400


async def test_a_schedule_is_created_from_the_form_and_its_faults_are_shown_at_their_fields(owner: Visit):
    page = "/ui/schedules/new/workflow/t_three"
    times = {"cron": "0 6 * * 1-5", "time_zone": "Europe/Paris", "overlap": "buffer_one"}
    for change, field, words in (
        ({"cron": ""}, "cron", "Say when it runs"),
        ({"cron": "often"}, "cron", "a cron expression of five fields"),
        ({"every": "0"}, "every", "greater than or equal to 60"),
        ({"every": "x"}, "every", "a whole number"),
        ({"overlap": "both"}, "overlap", "overlap"),
        ({"labels": "team"}, "labels", "NAME:VALUE"),
    ):
        refused = await owner.post(page, page=page, **(times | change))
        assert refused.status_code == 400, change
        at = refused.text.index(f'id="{field}-hint"')
        assert words in refused.text[at : at + 400], (change, refused.text[at : at + 400])
        assert 'value="Europe/Paris"' in refused.text
    for change in ({"time_zone": "Mars/Base"}, {"input": "{]"}):
        assert (await owner.post(page, page=page, **(times | change))).status_code == 400
    assert 'href="/ui/schedules/sch_' not in (await owner.http.get("/ui/schedules")).text
    created = await owner.post(page, page=page, name="Mornings", labels="team:a", once="o1", input="{}", **times)
    assert created.status_code == 303
    again = await owner.post(page, page=page, name="Mornings", labels="team:a", once="o1", input="{}", **times)
    assert again.headers["Location"] == created.headers["Location"], "a double click creates one schedule"
    text = (await owner.http.get(created.headers["Location"])).text
    for words in ("Mornings", "0 6 * * 1-5 (Europe/Paris)", "buffer one", "label=team%3Aa"):
        assert words in text
    assert (await owner.http.get("/ui/schedules/new/workflow/nothing")).status_code == 404
    await owner.post(f"{created.headers['Location']}/delete")


async def test_a_job_is_started_from_the_form_of_its_schema(running: Engine, owner: Visit):
    page = "/ui/start/agent/product_manager"
    text = (await owner.http.get(page)).text
    assert re.search(r'<select id="field-1" name="f.task_type" required', text)
    once = re.search(r'name="once" value="([^"]+)"', text)
    assert once is not None
    fields = {"f.task_type": "prd", "f.context": 'Ada\'s "bikes"', "labels": "team:growth", "once": once[1]}
    shown = await owner.post(f"{page}/run", **fields, show="curl")
    assert "curl http://testserver/v1/agents/product_manager/execute" in shown.text
    assert "team" in shown.text
    first, second = await owner.post(f"{page}/run", **fields), await owner.post(f"{page}/run", **fields)
    assert first.headers["Location"] == second.headers["Location"], "a double click starts one job"
    job = await running.ended(first.headers["Location"].rpartition("/")[2])
    assert (job.input, job.labels) == ({"task_type": "prd", "context": 'Ada\'s "bikes"'}, {"team": "growth"})
    again = (await owner.http.get(f"{page}?from={job.id}")).text
    assert "Ada&#39;s &#34;bikes&#34;" in again
    assert re.search(r'name="labels"[^>]* value="team:growth"', again)


async def test_a_wrong_value_is_shown_at_its_field(owner: Visit):
    answer = await owner.post("/ui/start/workflow/t_modelled/run", **{"f.when": "2026-01-01T10:00", "f.seats": "7"})
    assert answer.status_code == 400
    assert re.search(r'name="f.seats"[^>]*aria-invalid="true"', answer.text)
    assert "seats come in pairs" in answer.text
    assert 'value="7"' in answer.text
    number = await owner.post("/ui/start/workflow/t_modelled/run", **{"f.when": "2026-01-01T10:00", "f.seats": "x"})
    assert "not a whole number" in number.text
    text = await owner.post("/ui/start/workflow/t_three/run", input="{]")
    assert "This is no JSON" in text.text
    assert (await owner.http.get("/ui/start/workflow/nothing")).status_code == 404
    assert (await owner.http.get("/ui/start/nothing/t_three")).status_code == 400


async def test_a_wrong_label_or_model_is_shown_at_its_field(owner: Visit):
    for target in ("workflow/t_three", "agent/product_manager"):
        path = f"/ui/start/{target}/run"
        fields = {"input": "{}", "f.task_type": "prd", "f.context": "bikes"}
        for field, text, words in (
            ("labels", "team", "NAME:VALUE"),
            ("labels", "team:" + "a" * 100, "60 characters"),
            ("model", "nobody:nothing", "nobody"),
        ):
            refused = await owner.post(path, **fields, **{field: text})
            assert refused.status_code == 400, (target, field, text)
            at = refused.text.index(f'id="{field}-hint"')
            assert words in refused.text[at : at + 400], refused.text[at : at + 400]
            assert f'value="{text}"' in refused.text
            assert re.search(rf'name="{field}"[^>]*aria-invalid="true"', refused.text)
            assert "<details open>" in refused.text


async def test_two_jobs_are_compared_step_by_step(running: Engine, owner: Visit):
    first, second = await start(owner, running, "t_three"), await start(owner, running, "t_three")
    for job_id in (first, second):
        assert (await running.ended(job_id)).state is JobState.COMPLETED
    alone = await owner.http.get(f"/ui/compare?a=previous&b={first}")
    assert alone.status_code == 200
    assert "No earlier job of t_three has completed" in alone.text
    assert f'value="{first}"' in alone.text
    labelled = [await start(owner, running, "t_three", {"team": team}) for team in ("red", "blue", "red")]
    for job_id in labelled:
        await running.ended(job_id)
    same = (await owner.http.get(f"/ui/compare?a=previous&b={labelled[2]}")).text
    assert labelled[0] in same, "the run before has the same labels"
    assert labelled[1] not in same
    other = (await owner.http.get(f"/ui/compare?a=previous&b={labelled[0]}")).text
    assert second in other, "without one, any earlier run"
    text = (await owner.http.get(f"/ui/compare?a=previous&b={second}")).text
    assert first in text, re.findall(r"<p>.*</p>", text)
    assert text.count("t_echo") == 3
    hidden = (await running.run("t_three", {})).id
    assert (await owner.http.get(f"/ui/compare?a={first}&b={hidden}")).status_code == 404


async def test_webhooks_are_shown_and_switched(running: Engine, owner: Visit, admin: Visit):
    session = await running.services.page_sessions.read(owner.http.cookies["orchestrator_session"].strip('"'))
    registered = await running.services.webhooks.register(
        session.principal, url="https://example.com/hook", events=["job.completed"]
    )
    path = f"/ui/webhooks/{registered.webhook.id}"
    assert "https://example.com/hook" in (await owner.http.get("/ui/webhooks")).text
    assert (await owner.post(f"{path}/test")).status_code == 303
    assert (await owner.post(f"{path}/switch", to="off")).status_code == 303
    off = (await owner.http.get(path)).text
    assert "switch the receiver on to redeliver" in off
    assert "Redeliver</button>" not in off
    assert "disabled" in (await owner.http.get(path)).text
    assert "https://example.com/hook" in (await owner.http.get("/")).text
    assert (await owner.post(f"{path}/test")).status_code == 400
    assert (await owner.post(f"{path}/switch", to="on")).status_code == 303
    assert (await owner.post(f"{path}/redeliver", delivery="whd_none")).status_code == 404
    assert (await owner.http.get(f"{path}?state=bored")).status_code == 400
    assert registered.secret is not None
    assert registered.secret not in (await owner.http.get(path)).text


async def test_keys_and_users_are_managed_by_admins(running: Engine, admin: Visit, owner: Visit):
    fields = {"name": "from the page", "tier": "pro", "scope": "jobs:read"}
    assert (await owner.post("/ui/access/keys", **fields)).status_code == 403
    issued = await admin.post("/ui/access/keys", **fields)
    token = re.search(r"dvr_sk_live_[0-9a-f]{80}", issued.text)
    assert token is not None
    assert (await running.services.access.authenticate(token[0])).scopes == {Scope.JOBS_READ}
    key_id = next(row.id for row in (await running.services.keys.list(limit=200)).keys if row.name == "from the page")
    assert 'name="scope" value="jobs:read" checked' not in issued.text, "nothing is granted that was not chosen"
    assert token[0] not in (await admin.http.get("/ui/access")).text
    assert (await admin.post(f"/ui/access/keys/{key_id}/revoke")).status_code == 303
    assert (await admin.post("/ui/access/keys", name="x")).status_code == 400
    assert (
        await admin.post("/ui/access/users", username="page-eve", password="long enough", role="admin")
    ).status_code == 303
    assert "page-eve" in (await admin.http.get("/ui/access")).text
    assert (await admin.post("/ui/access/users/page-eve/remove")).status_code == 303


async def test_workers_and_waits_are_shown(running: Engine, admin: Visit, owner: Visit):
    await running.run("t_three", {})
    text = (await admin.http.get("/ui/workers")).text
    assert running.parts.settings.task_queue in text
    assert running.parts.backend.client.identity in text
    assert "orchestrator worker" in text
    assert "Waits of new jobs for a worker" in text
    assert "Waits of new jobs for a worker" not in (await owner.http.get("/ui/workers")).text


async def test_a_question_is_answered_with_its_form_and_another_decided(running: Engine, owner: Visit):
    job_id = await start(owner, running, "t_form", approval=True)
    await running.eventually(job_id, lambda job: bool(job.open_questions))
    text = (await owner.http.get(f"/ui/jobs/{job_id}")).text
    assert "Where does it go?" in text
    assert re.search(r'name="f.street" required', text)
    path = f"/ui/jobs/{job_id}/answer"
    wrong = await owner.post(path, **{"question": "address", "f.street": "Elm", "f.floor": "x"})
    assert wrong.status_code == 400
    assert re.search(r'name="f.floor"[^>]*aria-invalid="true"', wrong.text)
    assert "Elm</textarea>" in wrong.text
    assert (await owner.post(path, **{"question": "other", "f.street": "Elm 1"})).status_code == 404
    answered = await owner.post(
        path, **{"question": "address", "f.street": "Elm 1", "f.floor": "2", "note": "by phone"}
    )
    assert answered.status_code == 303
    job = await running.eventually(job_id, lambda job: "ship" in job.waiting_steps)
    reply = job.questions[0].answer
    assert reply is not None
    assert (reply.values, reply.note) == ({"street": "Elm 1", "floor": 2, "express": False}, "by phone")
    text = (await owner.http.get(f"/ui/jobs/{job_id}")).text
    assert "Ship it?" in text
    assert "&#34;street&#34;: &#34;Elm 1&#34;" in text, "the person sees what the decision is about"
    decided = await owner.post(f"/ui/jobs/{job_id}/decide", step="ship", decision="approve", note="go")
    assert decided.status_code == 303
    job = await running.ended(job_id)
    assert job.result is not None
    assert "yes of" in job.result["output"]


async def test_a_schedule_is_shown_triggered_paused_and_deleted(running: Engine, owner: Visit, admin: Visit):
    session = await running.services.page_sessions.read(owner.http.cookies["orchestrator_session"].strip('"'))
    request = NewScheduleBody.model_validate(
        {"name": "Nightly", "workflow_id": "t_three", "input": {}, "spec": {"cron": ["0 3 * * *"]}}
    ).request(None)
    schedule, _ = await running.services.schedules.create(session.principal, request)
    path = f"/ui/schedules/{schedule.row.id}"
    assert "Nightly" in (await owner.http.get("/ui/schedules")).text
    assert "T_three" not in (await owner.http.get(path)).text
    assert (await owner.post(f"{path}/pause", note="holiday")).status_code == 303
    assert "holiday" in (await owner.http.get(path)).text
    assert (await owner.post(f"{path}/unpause")).status_code == 303
    triggered = await owner.post(f"{path}/trigger")
    job_id = triggered.headers["Location"].rpartition("/")[2]
    assert (await running.ended(job_id)).definition == "t_three"
    assert (await admin.http.get(path)).status_code == 200
    assert (await owner.post(f"{path}/delete")).headers["Location"] == "/ui/schedules"
    assert (await owner.http.get(path)).status_code == 404


async def test_somebody_who_may_answer_sees_the_question_and_nothing_else(
    running: Engine,
    owner: Visit,
    visitor_of: Callable[[str], Awaitable[Visit]],
    key: Callable[..., Awaitable[dict[str, str]]],
):
    desk = await visitor_of((await key(name="front desk"))["Authorization"].removeprefix("Bearer "))
    other = await visitor_of((await key(name="another desk"))["Authorization"].removeprefix("Bearer "))
    job_id = await start(owner, running, "t_form", by=["key:front desk", "role:admin"], approval=True)
    await running.eventually(job_id, lambda job: bool(job.open_questions))
    await running.services.reader.settle()
    page = f"/ui/jobs/{job_id}"
    assert "Where does it go?" in (await desk.http.get("/")).text
    for visit in (other, owner):
        assert "Questions to you" not in (await visit.http.get("/")).text
    assert (await desk.http.get(page)).headers["Location"] == f"{page}/questions"
    text = (await desk.http.get(f"{page}/questions")).text
    assert "Where does it go?" in text
    assert 'name="f.street" required' in text
    assert "alert(1)" not in text, "the input of the job is not shown"
    for part in ("/output", "/input", "/events", "/deliveries", "/live"):
        assert (await desk.http.get(page + part)).status_code == 404, part
    for action in ("cancel", "pause", "resume", "retry"):
        assert (await desk.post(f"{page}/{action}")).status_code == 404, action
    for path in (page, f"{page}/questions"):
        assert (await other.http.get(path)).status_code == 404
    fields = {"question": "address", "f.street": "Elm 1", "f.floor": "2"}
    assert (await other.post(f"{page}/answer", **fields)).status_code == 404
    assert (await owner.post(f"{page}/answer", **fields)).status_code == 403
    wrong = await desk.post(f"{page}/answer", **{**fields, "f.floor": "x"})
    assert (wrong.status_code, "aria-invalid" in wrong.text) == (400, True)
    assert (await desk.post(f"{page}/answer", **fields)).status_code == 303
    await running.eventually(job_id, lambda job: "ship" in job.waiting_steps)
    await running.services.reader.settle()
    assert "Questions to you" not in (await desk.http.get("/")).text
    text = (await desk.http.get(f"{page}/questions")).text
    assert "is answered by" in text
    assert "Ship it?" not in text
    assert "Ship it?" in (await owner.http.get(page)).text
    assert (await owner.post(f"{page}/decide", step="ship", decision="approve")).status_code == 303
    assert (await running.ended(job_id)).state is JobState.COMPLETED
