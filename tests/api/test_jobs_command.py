"""`orchestrator jobs` as its users run it: processes that talk to a real API over the network."""

import asyncio
import json
from pathlib import Path

import httpx2
import pytest

from orchestrator.testing import ADMIN_KEY, eventually
from tests.api.commands import Account, Commands
from tests.api.test_jobs import ended, until


async def test_an_ended_job_is_listed_shown_watched_and_its_files_left_in_a_folder(
    account: Account, tmp_path: Path
) -> None:
    job_id = await account.start("t_three", {"n": 1})
    await ended(account.http, job_id)
    listed, shown, watched, output = await asyncio.gather(
        account.run.jobs("list"),
        account.run.jobs("show", job_id),
        account.run.jobs("watch", job_id),
        account.run.jobs("output", job_id, "--to", str(tmp_path)),
    )
    assert listed.code == shown.code == watched.code == output.code == 0
    assert [line.split()[:4] for line in listed.out.splitlines()[1:]] == [[job_id, "t_three", "completed", "100"]]
    assert shown.out.count("✓") == 3
    assert "\x1b" not in listed.out + shown.out + watched.out
    assert "completed in" in watched.out
    assert sorted(path.name for path in tmp_path.rglob("*.md")) == ["t_echo.md"] * 3
    text = await account.run.jobs("output", job_id)
    assert text.out.startswith("# ")
    detail = json.loads((await account.run.jobs("show", job_id, "--json")).out)
    assert (detail["job_id"], detail["status"]) == (job_id, "completed")
    assert [row["job_id"] for row in await account.listed("--status", "completed", "--workflow", "t_three")] == [job_id]
    assert await account.listed("--status", "failed") == await account.listed("--before", "1h") == []


async def test_events_are_lines_and_the_exit_code_is_the_jobs(account: Account) -> None:
    job_id = await account.start("t_broken")
    watched = await account.run.jobs("watch", job_id, "--json")
    events = [json.loads(line) for line in watched.out.splitlines()]
    assert watched.code == 1
    assert [events[0]["type"], events[-1]["type"]] == ["job_queued", "job_failed"]
    rest = await account.run.jobs("watch", job_id, "--json", "--after", events[2]["id"])
    assert [json.loads(line) for line in rest.out.splitlines()] == events[3:]
    assert (await account.run.jobs("watch", job_id)).code == 1
    partial = await account.run.jobs("output", job_id)
    assert (partial.code, "finished calls" in partial.err) == (0, True)


async def test_many_jobs_are_counted_before_they_are_cancelled(account: Account) -> None:
    ids = {await account.start("t_slow") for _ in range(3)}
    other = await account.start("t_approval")
    for choice in (["--dry-run"], []):
        seen = await account.run.jobs("cancel", "--workflow", "t_slow", *choice)
        assert seen.code == 0
        assert seen.out.startswith("would cancel 3 jobs: 3 t_slow\n")
        assert "Nothing was done." in seen.out
        assert all(job_id in seen.out for job_id in ids)
    assert {row["status"] for row in await account.listed()} <= {"queued", "running"}

    done = await account.run.jobs("cancel", "--workflow", "t_slow", "--yes", "--note", "provider away")
    assert (done.code, done.out.splitlines()[-1]) == (0, "3 jobs: 3 cancelled")
    assert {row["job_id"] for row in await account.listed("--status", "cancelled")} == ids
    assert (await account.http.get(f"/v1/jobs/{other}")).json()["status"] in {"queued", "running"}
    again = await account.run.jobs("cancel", "--workflow", "t_slow", "--yes", "--json")
    assert (again.code, json.loads(again.out)["jobs"]) == (0, [])
    events = (await account.http.get(f"/v1/jobs/{ids.pop()}/events")).json()["events"]
    assert "provider away" in [event["data"].get("reason") for event in events]


async def test_what_failed_is_named_and_the_rest_is_done(account: Account) -> None:
    over = await account.start("t_three")
    await ended(account.http, over)
    ids = [await account.start("t_slow"), over, "wf_job_unknown"]
    done = await account.run.jobs("cancel", "-", stdin="\n".join(ids))
    assert (done.code, done.out.splitlines()[-1]) == (1, "3 jobs: 1 cancelled, 2 failed")
    assert f"Job {over} has ended (COMPLETED) and cannot be cancelled" in done.err
    assert "Unknown job: wf_job_unknown" in done.err
    report = json.loads((await account.run.jobs("cancel", *ids, "--json")).out)
    assert report["done"] == ids[:1]  # cancelled already, which is as good
    assert {fault["job_id"] for fault in report["failed"]} == set(ids[1:])


async def test_each_control_does_what_its_route_does(account: Account) -> None:
    job_id = await account.start("t_approval")
    await until(account.http, job_id, lambda job: (job["reason"] or {}).get("code") == "waiting_for_approval")
    assert (await account.run.jobs("pause", job_id)).out == f"{job_id}  paused\n"
    assert [row["state"] for row in await account.listed()] == ["PAUSED"]
    assert (await account.run.jobs("resume", "--workflow", "t_approval", "--yes")).out == f"{job_id}  resumed\n"
    wrong = await account.run.jobs("approve", job_id, "--step", "nothing")
    assert (wrong.code, "steps that do: b" in wrong.err) == (1, True)
    assert "orchestrator jobs approve" in (await account.run.jobs("show", job_id)).out
    approved = await account.run.jobs("approve", job_id, "--note", "agreed")
    assert (approved.code, approved.out) == (0, f"{job_id}  approved\n")
    assert (await account.run.jobs("watch", job_id)).code == 0
    second = await account.start("t_approval")
    await until(account.http, second, lambda job: (job["reason"] or {}).get("code") == "waiting_for_approval")
    assert (await account.run.jobs("reject", second, "--step", "b")).code == 0
    assert (await account.run.jobs("watch", second)).code == 1


async def test_a_form_is_shown_and_filled_in(account: Account) -> None:
    job_id = await account.start("t_form")
    await until(account.http, job_id, lambda job: (job["reason"] or {}).get("code") == "waiting_for_input")
    shown = (await account.run.jobs("show", job_id)).out
    assert "? address: Where does it go?" in shown
    assert "street (string)" in shown
    assert "floor (integer, optional) Zero is the ground floor." in shown
    assert f"orchestrator jobs answer {job_id} FIELD=VALUE" in shown
    wrong = await account.run.jobs("answer", job_id, "street=Long Street 5", "floor=top")
    assert (wrong.code, "floor" in wrong.err) == (2, True)
    assert (await account.run.jobs("answer", job_id, "street", "--step", "address")).code == 2
    done = await account.run.jobs("answer", job_id, "street=5", "floor=2", "--note", "up there")
    assert (done.code, "street" in done.err) == (2, True)  # a text stays a text, and is too short
    done = await account.run.jobs("answer", job_id, "street=Long Street 5", "floor=2", "--note", "up there")
    assert (done.code, done.out) == (0, f"{job_id}  answered address\n")
    assert (await account.run.jobs("output", job_id)).out.strip() == "Long Street 5, floor 2"


@pytest.mark.parametrize(("answer", "status"), [("n\n", {"queued", "running"}), ("y\n", {"cancelled"})])
async def test_a_terminal_is_asked(account: Account, answer: str, status: set[str]) -> None:
    await account.start("t_slow")
    asked = await account.run.on_a_terminal("cancel", "--workflow", "t_slow", types=answer)
    assert "would cancel 1 job: 1 t_slow" in asked.out
    assert "Cancel 1 job? [y/N]" in asked.out
    assert asked.code == 0
    await eventually(account.listed, lambda rows: {row["status"] for row in rows} <= status)


@pytest.mark.parametrize(
    ("arguments", "code", "report"),
    [
        (["list", "--api-key", "wrong"], 2, "The API key is not valid; pass another key with --api-key"),
        (["list", "--api-url", "http://127.0.0.1:9"], 1, "start the API with `orchestrator dev`"),
        (["cancel", "wf_job_1", "--api-url", "http://127.0.0.1:9"], 1, "no response from http://127.0.0.1:9"),
        (["show", "wf_job_unknown"], 2, "Unknown job: wf_job_unknown"),
        (["watch", "wf_job_unknown", "--json"], 2, "Unknown job: wf_job_unknown"),
        (
            ["cancel", "--workflow", "t_thre", "--yes"],
            2,
            "there is no workflow 't_thre', and no job ran one of this name; did you mean",
        ),
        (["list", "--owner", "somebody-else"], 2, "Only an admin lists the jobs of others"),
        (["output", "wf_job_unknown"], 1, "Unknown job: wf_job_unknown"),
    ],
)
async def test_a_mistake_is_one_sentence_that_says_what_to_do(
    account: Account, arguments: list[str], code: int, report: str
) -> None:
    refused = await account.run.jobs(*arguments)
    assert (refused.code, refused.out) == (code, "")
    assert report in refused.err
    assert len(refused.err.splitlines()) == 1


async def test_an_open_job_has_no_output_yet_and_says_how_to_wait(account: Account) -> None:
    job_id = await account.start("t_approval")
    waits = await account.run.jobs("output", job_id)
    assert (waits.code, waits.out) == (1, "")
    assert f"{job_id} has no output yet; wait for it with: orchestrator jobs watch {job_id}" in waits.err


async def test_without_a_key_it_says_where_one_is_looked_for(account: Account, tmp_path: Path) -> None:
    refused = await account.run.jobs("list", ORCHESTRATOR_API_KEY="", ORCHESTRATOR_DATA_DIR=str(tmp_path))
    assert refused.code == 2
    assert f"with --data-dir ({tmp_path}" in refused.err


async def test_the_shell_completes_ids_that_the_command_applies_to(account: Account) -> None:
    over = await account.start("t_three")
    await ended(account.http, over)
    running = await account.start("t_slow")

    async def completed(line: str, **environment: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_ORCHESTRATOR_COMPLETE": "complete_bash"}
        return (await account.run(**words, **environment)).out.split()

    assert set(await completed("orchestrator jobs show wf_job_")) == {over, running}
    assert await completed("orchestrator jobs cancel wf_job_") == [running]
    assert await completed("orchestrator jobs list --workflow t_thr") == ["t_three"]
    assert await completed("orchestrator jobs list --reason stu") == ["stuck"]
    assert set(await completed("orchestrator jobs re")) == {"reject", "resume", "retry"}
    nowhere = {"ORCHESTRATOR_API_URL": "http://127.0.0.1:9"}
    assert await completed("orchestrator jobs show wf_job_", **nowhere) == []
    assert "complete -o default" in (await account.run("completion", "bash")).out


async def test_an_admin_sees_the_jobs_of_everybody(account: Account, live: httpx2.AsyncClient) -> None:
    job_id = await account.start("t_three")
    admin = Commands(str(live.base_url), ADMIN_KEY)
    assert job_id in (await admin.jobs("list", "--workflow", "t_three", "--ids")).out.split()
    (listed,) = (await live.get("/v1/jobs", params={"workflow_id": "t_three", "limit": 1})).json()["jobs"]
    assert job_id in (await admin.jobs("list", "--owner", listed["owner"], "--ids")).out.split()
    assert (await admin.jobs("list", "--owner", "nobody", "--ids")).out == ""
