"""The list of jobs and the page of a job: they show what the API says, to the owner only, whatever is in it."""

import asyncio
import re
import uuid
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from api.page.live import _Updates
from api.page.rendering import fragment
from orchestrator.domain.backoff import Backoff
from orchestrator.domain.jobs import JobState
from orchestrator.storage.tables import jobs
from orchestrator.testing import ADMIN_KEY, Engine, eventually
from tests.page.conftest import Visit

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}'
PARTS = (
    "",
    "/output",
    "/input",
    "/events",
    "/deliveries",
    "/plan",
    "/questions",
    "/live",
    "/files/0",
    "/files/0/download",
)


async def start(visit: Visit, running: Engine, target: str, labels: dict[str, str] | None = None, **values: Any) -> str:
    """A job of the visitor, started as their page does."""
    from orchestrator.domain.ids import JobKind
    from orchestrator.services.jobs.start import StartRequest

    session = await running.services.page_sessions.read(visit.http.cookies["orchestrator_session"].strip('"'))
    request = StartRequest(JobKind.WORKFLOW, target, {"text": HOSTILE, **values}, labels=labels or {})
    return (await running.services.starter.start(session.principal, request)).job_id


async def test_jobs_are_listed_by_cost_and_with_their_labels(running: Engine, owner: Visit):
    ids = [await start(owner, running, name, labels={"team": name}) for name in ("t_three", "t_broken")]
    for job_id in ids:
        await running.ended(job_id)
    await running.services.reader.settle()
    await running.parts.backend.jobs._db.transaction(
        lambda connection: [
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(cost=cost)).close()
            for job_id, cost in zip(ids, (3.0, 7.0), strict=True)
        ]
    )
    text = (await owner.http.get("/ui/jobs?sort=cost")).text
    assert text.index(f'id="row-{ids[1]}"') < text.index(f'id="row-{ids[0]}"')
    assert ">team:t_three</a>" in text
    rest = (await owner.http.get(f"/ui/jobs?sort=cost&after=7.0|{ids[1]}")).text
    assert f'id="row-{ids[0]}"' in rest
    assert f'id="row-{ids[1]}"' not in rest
    for query in ("sort=price", "sort=cost&after=x"):
        assert (await owner.http.get(f"/ui/jobs?{query}")).status_code == 400


async def test_a_list_by_cost_says_what_it_lacks(running: Engine, owner: Visit):
    await start(owner, running, "t_slow")
    text = (await owner.http.get("/ui/jobs?sort=cost")).text
    assert "No job with a known cost" in text
    assert "have ended" in text


async def test_the_list_counts_and_pages_exactly(running: Engine, owner: Visit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.page.jobs.PAGE_ROWS", 3)
    ids = [await start(owner, running, "t_three", {"batch": "one"}) for _ in range(5)]
    ids.append(await start(owner, running, "t_broken"))
    for job_id in ids:
        await running.ended(job_id)
    text = (await owner.http.get("/ui/jobs")).text
    assert re.search(r'All <span class="count">6<', text)
    for state, count in (("completed", 5), ("failed", 1)):
        assert re.search(rf"<span>{state}</span></span> <span class=\"count\">{count}<", text), state
    assert text.count('<tr id="row-') == 3
    older = re.search(r'rel="next" href="([^"]+)"', text)
    assert older is not None
    rest = (await owner.http.get(older[1].replace("&amp;", "&"))).text
    shown = set(re.findall(r'href="/ui/jobs/((?:wf_)?job_[0-9a-f]+)"', text + rest))
    assert shown == set(ids)
    batch = (await owner.http.get("/ui/jobs?label=batch:one")).text
    assert re.search(r'<span class="num">5</span>', batch)
    failed = (await owner.http.get("/ui/jobs?state=FAILED")).text
    assert set(re.findall(r'href="/ui/jobs/(wf_job_[0-9a-f]+)"', failed)) == {ids[-1]}
    assert (await owner.http.get(f"/ui/jobs?q={ids[3]}")).headers["Location"] == f"/ui/jobs/{ids[3]}"
    assert ids[3] in (await owner.http.get(f"/ui/jobs?q={ids[3][:-2]}")).text


@pytest.mark.parametrize(
    "query", ["state=LOST", "reason=bored", "age=2h", "label=x", "since=then", "after=x", "what=1", "q=" + "x" * 300]
)
async def test_a_wrong_filter_is_named(owner: Visit, query: str):
    answer = await owner.http.get(f"/ui/jobs?{query}")
    assert answer.status_code == 400
    assert "This cannot be done" in answer.text


async def test_states_and_reasons_are_taken_in_any_case(running: Engine, owner: Visit):
    job_id = await start(owner, running, "t_broken")
    await running.ended(job_id)
    text = (await owner.http.get("/ui/jobs?state=failed")).text
    assert job_id in text
    assert '<span class="num">1</span> job matches' in text
    assert (await owner.http.get("/ui/jobs?state=failed&reason=Stuck")).status_code == 200
    assert "expected one of PENDING, " in (await owner.http.get("/ui/jobs?state=lost")).text


async def test_another_owners_job_does_not_exist(running: Engine, owner: Visit, admin: Visit):
    job_id = await start(owner, running, "t_broken")
    await running.ended(job_id)
    hidden = (await running.start("t_broken", {})).job_id
    await running.ended(hidden)
    for part in PARTS:
        own, other = await owner.http.get(f"/ui/jobs/{job_id}{part}"), await owner.http.get(f"/ui/jobs/{hidden}{part}")
        assert (own.status_code, other.status_code) == (200, 404), part
    for action in ("cancel", "pause", "resume", "decide", "retry"):
        answer = await owner.post(f"/ui/jobs/{hidden}/{action}", decision="approve")
        assert answer.status_code == 404, action
    assert hidden not in (await owner.http.get("/ui/jobs")).text
    assert hidden not in (await owner.http.get("/")).text
    assert (await owner.http.get("/ui/jobs?owner=tester")).status_code == 403
    assert (await admin.http.get(f"/ui/jobs/{job_id}")).status_code == 200


async def test_texts_of_strangers_are_text(running: Engine, owner: Visit):
    job_id = await start(owner, running, "t_three", {"note": HOSTILE})
    await running.ended(job_id)
    for path in ("/ui/jobs", f"/ui/jobs?q={HOSTILE}", *(f"/ui/jobs/{job_id}{part}" for part in PARTS[:5])):
        text = (await owner.http.get(path)).text
        assert "<script>alert" not in text, path
        assert "<img" not in text, path
        assert not re.search(r"\sonerror=alert\(2\)>", text.replace("&gt;", "")), path
    assert "&lt;script&gt;" in (await owner.http.get(f"/ui/jobs/{job_id}/input")).text
    download = await owner.http.get(f"/ui/jobs/{job_id}/files/0/download")
    assert download.headers["Content-Type"] == "application/octet-stream"
    assert download.headers["Content-Disposition"].startswith("attachment; ")
    assert "sandbox" in download.headers["Content-Security-Policy"]
    assert download.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_page_says_what_the_api_says(running: Engine, admin: Visit):
    job = await running.run("t_broken", {})
    api = (await admin.http.get(f"/v1/jobs/{job.id}", headers={"Authorization": f"Bearer {ADMIN_KEY}"})).json()
    text = (await admin.http.get(f"/ui/jobs/{job.id}")).text
    for call in api["steps"]:
        assert f'id="{call["step"]}.{call["agent"]}"' in text
    assert api["error"]["message"] in text
    assert api["run_page"] in text
    assert ">Retry<" in text


async def test_every_page_says_the_same_cost(running: Engine, owner: Visit):
    free = await start(owner, running, "t_three", {"batch": "costs"})
    unknown = await start(owner, running, "t_broken", {"batch": "costs"})
    for job_id in (free, unknown):
        await running.ended(job_id)

    def costs(text: str, row: str) -> list[str]:
        """The numbers of the row of a table."""
        found = re.search(rf'<tr id="{re.escape(row)}".*?</tr>', text, re.DOTALL)
        assert found is not None
        return re.findall(r'<td class="num"[^>]*>([^<]*)</td>', found[0])

    listed = (await owner.http.get("/ui/jobs?label=batch:costs")).text
    assert costs(listed, f"row-{free}")[-2:] == ["0", "$0.00"]
    assert costs(listed, f"row-{unknown}")[-2:] == ["0", "$0.00"], "t_echo is free, and t_broken reported nothing"
    page = (await owner.http.get(f"/ui/jobs/{free}")).text
    assert [costs(page, f"{step}.t_echo")[-2:] for step in "abc"] == [["0", "$0.00"]] * 3
    assert '<span class="label">Cost</span><span class="num">$0.00</span>' in page
    page = (await owner.http.get(f"/ui/jobs/{unknown}")).text
    assert (costs(page, "a.t_echo")[-2:], costs(page, "a.t_broken")[-2:]) == (["0", "$0.00"], ["–", "–"])
    compared = (await owner.http.get(f"/ui/compare?a={free}&b={unknown}")).text
    step = next(row for row in re.findall("<tr>.*?</tr>", compared, re.DOTALL) if 'agent">t_broken<' in row)
    assert re.findall(r'<td class="num[^>]*>([^<]*)</td>', step)[-5:] == ["–", "–", "–", "–", ""]


async def test_a_failed_job_needs_attention_until_a_retry_makes_it_good(running: Engine, owner: Visit, admin: Visit):
    job_id = await start(owner, running, "t_broken")
    await running.ended(job_id)
    assert job_id in (await owner.http.get("/")).text
    answer = await owner.post(f"/ui/jobs/{job_id}/retry")
    new_id = answer.headers["Location"].rpartition("/")[2]
    assert answer.status_code == 303
    assert new_id != job_id
    await running.ended(new_id)
    text = (await owner.http.get("/")).text
    assert new_id in text
    assert f"/ui/jobs/{job_id}/retry" not in text
    lineage = (await owner.http.get(f"/ui/jobs/{job_id}")).text
    assert new_id in lineage


async def test_a_step_is_decided_once_with_a_note(running: Engine, owner: Visit):
    job_id = await start(owner, running, "t_approval")
    await running.eventually(job_id, lambda job: bool(job.waiting_steps))
    await running.services.reader.settle()
    tab = (await owner.http.get("/ui/jobs?reason=person")).text
    assert f'id="row-{job_id}"' in tab
    assert re.search(r'waits for a person</span></span> <span class="count">1<', tab)
    text = (await owner.http.get(f"/ui/jobs/{job_id}")).text
    assert "waits for a decision" in text
    assert "Go on?" in text
    assert (await owner.post(f"/ui/jobs/{job_id}/decide", step="b", decision="maybe")).status_code == 400
    assert (await owner.post(f"/ui/jobs/{job_id}/decide", step="b", decision="approve", note="fine")).status_code == 303
    job = await running.ended(job_id)
    assert job.state is JobState.COMPLETED
    assert [approval.note for approval in job.approvals] == ["fine"]
    assert (await owner.post(f"/ui/jobs/{job_id}/decide", step="b", decision="reject")).status_code == 400


async def test_a_job_is_paused_and_resumed(running: Engine, owner: Visit):
    job_id = await start(owner, running, "t_slow")
    await running.eventually(job_id, lambda job: job.state is JobState.RUNNING)
    assert (await owner.post(f"/ui/jobs/{job_id}/pause")).status_code == 303
    assert ">Resume<" in (await owner.http.get(f"/ui/jobs/{job_id}")).text
    assert (await owner.post(f"/ui/jobs/{job_id}/resume")).status_code == 303
    assert (await owner.post(f"/ui/jobs/{job_id}/cancel", reason="done with it")).status_code == 303
    await running.ended(job_id)
    assert "done with it" in (await owner.http.get(f"/ui/jobs/{job_id}")).text


async def test_the_live_part_follows_the_job_to_its_end(running: Engine, owner: Visit, site: str):
    job_id = await start(owner, running, "t_approval")
    await running.eventually(job_id, lambda job: bool(job.waiting_steps))
    cookies = dict(owner.http.cookies)
    frames: list[str] = []
    async with (
        httpx2.AsyncClient(base_url=site, cookies=cookies, timeout=30) as http,
        http.stream("GET", f"/ui/jobs/{job_id}/live", headers={"HX-Request": "true"}) as answer,
    ):
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            frames.append(line)
            if "waits for a decision" in line and len(frames) < 200:
                await owner.post(f"/ui/jobs/{job_id}/decide", step="b", decision="approve")
            if line == "event: done":
                break
    text = "\n".join(frames)
    assert "waiting for approval" in text
    assert text.rindex("<span>completed</span>") > text.rindex("waits for a decision")


async def test_open_pages_of_a_session_share_one_rendering_while_nothing_changes(
    running: Engine, owner: Visit, monkeypatch: pytest.MonkeyPatch
):
    renderings: list[str] = []

    def counted(template: str, **values: Any) -> str:
        renderings.append(template)
        return fragment(template, **values)

    monkeypatch.setattr("api.page.live.fragment", counted)
    job_id = await start(owner, running, "t_approval")
    await running.eventually(job_id, lambda job: bool(job.waiting_steps))
    await running.services.reader.settle()
    cookie = owner.http.cookies["orchestrator_session"].strip('"')
    streams = [_Updates(running.services, cookie, job_id, "").frames() for _ in range(10)]
    first = await asyncio.gather(*map(anext, streams))
    assert len(set(first)) == len(renderings) == 1
    for stream in streams:
        await stream.aclose()

    monkeypatch.setattr("api.page.live._REST", 0.01)
    monkeypatch.setattr("api.page.live._REST_PER_SECOND", 0.0)
    monkeypatch.setattr("api.page.live._LOOKS", Backoff(first=0.01, longest=0.01))
    renderings.clear()
    parts = _Updates(running.services, cookie, job_id, "log")._parts()
    looks = [await anext(parts) for _ in range(4)]
    assert len({look.beginning for look in looks}) > 1
    assert len({look.frame for look in looks}) == len(renderings) == 1
    await running.approve(job_id)
    assert [look async for look in parts][-1].job.state.terminal
    assert len(renderings) > 1


async def test_events_are_shown_in_pages(running: Engine, owner: Visit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.page.job.EVENTS", 4)
    job_id = await start(owner, running, "t_three")
    await running.ended(job_id)
    ids, pages, path = [], 0, f"/ui/jobs/{job_id}/events"
    while path:
        text = (await owner.http.get(path)).text
        ids += re.findall(r'<time datetime="[^"]+" title="([^"]+:\d+)">', text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        pages, path = pages + 1, following[1].replace("&amp;", "&") if following else ""
    assert ids == [event.id for event in await running.services.reader.events(job_id)]
    assert pages == -(-len(ids) // 4)


async def test_a_job_whose_calls_are_not_all_known_has_no_percent(running: Engine, owner: Visit):
    job_id = await start(owner, running, "t_each", items=["a", "b"])
    waiting = await running.eventually(job_id, lambda job: job.waiting_steps == ["each"])
    assert not waiting.exact
    for path in (f"/ui/jobs/{job_id}", f"/ui/jobs/{job_id}/events", "/ui/jobs"):
        text = (await owner.http.get(path)).text
        assert job_id in text
        assert not re.search(r"\d %<", text), path
    assert re.search(r"1 of \d known calls<", (await owner.http.get(f"/ui/jobs/{job_id}")).text)
    await running.approve(job_id)
    assert (await running.ended(job_id)).state is JobState.COMPLETED


async def test_a_stream_ends_with_its_session(running: Engine, owner: Visit, site: str):
    job_id = await start(owner, running, "t_slow")
    cookies = dict(owner.http.cookies)
    async with (
        httpx2.AsyncClient(base_url=site, cookies=cookies, timeout=30) as http,
        http.stream("GET", f"/ui/jobs/{job_id}/live") as answer,
    ):
        await owner.post("/ui/sign-out")
        text = "".join([part async for part in answer.aiter_text()])
    assert "running" in text
    assert "event: done" not in text
    await running.services.controller.cancel(
        (await running.services.access.authenticate(ADMIN_KEY)), job_id, uuid.uuid4().hex
    )
    await eventually(lambda: running.job(job_id), lambda job: job.state.terminal)


async def test_a_search_finds_what_lists_show(running: Engine, owner: Visit):
    job_id = await start(owner, running, "t_three", {"batch": "search"})
    other = await start(owner, running, "t_broken", {"batch": "search"})
    for each in (job_id, other):
        await running.ended(each)
    tail = job_id.rpartition("_")[2]
    for text in (
        tail[-12:],
        f"…{tail[-12:]}",
        f"{tail[:12]} t_three",
        "t_three batch:search",
        "batch:search T_three",
        f"{tail[-12:]} batch:search",
    ):
        page = (await owner.http.get("/ui/jobs", params={"q": text})).text
        assert set(re.findall(r'id="row-([^"]+)"', page)) == {job_id}, text
    named = (await owner.http.get("/ui/jobs", params={"q": "api development"})).text
    assert "No job matches" in named
    assert 'value="api development"' in named
    unclear = (await owner.http.get("/ui/jobs", params={"q": "t_t"})).text
    assert "The search takes a job id" in unclear
    assert 'href="/ui/jobs?q=t_three"' in unclear
