"""`orchestrator schedules` as its users run it: processes that talk to a real API over the network."""

import json

from tests.api.commands import Account
from tests.api.test_jobs import ended


async def test_a_schedule_is_created_shown_paused_triggered_and_deleted(account: Account) -> None:
    created = await account.run(
        *("schedules", "create", "t_three", "--input", '{"n": 1}', "--name", "Every morning"),
        *("--cron", "0 6 * * MON-FRI", "--time-zone", "Europe/Paris", "--overlap", "buffer_one"),
    )
    assert created.code == 0, created.err
    schedule_id = created.out.split()[0]
    assert created.out.splitlines()[0] == f"{schedule_id}  t_three  active  Every morning"
    assert created.out.count(" UTC") == 5

    paused = await account.run("schedules", "pause", schedule_id, "--note", "holiday")
    assert (paused.code, "paused" in paused.out, "note: holiday" in paused.out) == (0, True, True)
    listed = await account.run("schedules", "list")
    assert [line.split()[:3] for line in listed.out.splitlines()[1:]] == [[schedule_id, "t_three", "paused"]]
    resumed = await account.run("schedules", "resume", schedule_id, "--note", "back")
    assert "active" in resumed.out.splitlines()[0]

    triggered = await account.run("schedules", "trigger", schedule_id)
    assert triggered.code == 0, triggered.err
    job_id = triggered.out.strip()
    assert (await ended(account.http, job_id))["input"] == {"n": 1}
    shown = json.loads((await account.run("schedules", "show", schedule_id, "--json")).out)
    assert (shown["schedule_id"], shown["overlap"], len(shown["next_runs"])) == (schedule_id, "buffer_one", 5)
    assert job_id in (await account.run("schedules", "show", schedule_id)).out

    assert (await account.run("schedules", "delete", schedule_id)).code == 0
    empty = await account.run("schedules", "list")
    assert (empty.code, empty.out) == (0, "")
    assert "no schedules" in empty.err


async def test_wrong_arguments_are_refused_by_name(account: Account) -> None:
    create = ("schedules", "create")
    for arguments, message in (
        (("t_three",), "a schedule needs times"),
        (("t_three", "--every", "soon"), "invalid --every 'soon'"),
        (("t_three", "--spec", '{"cron": ["@daily"]}', "--every", "1h"), "leave out --cron, --every"),
        (("t_thee", "--every", "1h"), "there is no workflow or agent `t_thee`"),
        (("t_three", "--cron", "0 6 * * *", "--time-zone", "Mars/Base"), "unknown time zone Mars/Base"),
    ):
        refused = await account.run(*create, *arguments)
        assert refused.code == 2, arguments
        assert message in refused.err
    assert (await account.run("schedules", "show", "sch_unknown")).code == 2
    long = await account.run(*create, "t_three", "--every", "6h", "--name", "The morning report of every single team")
    assert long.out.split()[0] in (await account.run("schedules", "list")).out.split()
    every = await account.run(*create, "t_echo", "--every", "6h", "--paused", "--json")
    body = json.loads(every.out)
    assert body["spec"]["intervals"] == [{"every_seconds": 21600, "offset_seconds": 0}]
    assert (body["agent_id"], body["paused"]) == ("t_echo", True)
    held = await account.run("schedules", "trigger", body["schedule_id"], "--json")
    assert json.loads(held.out)["job_id"]
