"""`orchestrator jobs` by reason and by need of attention, and retries of what failed, over a real API."""

from pathlib import Path

from orchestrator.testing import eventually
from tests.api.commands import Account
from tests.api.test_jobs import ended, until


async def waits_for_approval(account: Account) -> str:
    job_id = await account.start("t_approval")
    await until(account.http, job_id, lambda job: (job["reason"] or {}).get("code") == "waiting_for_approval")
    return job_id


async def test_what_waits_for_a_person_is_found_and_decided_by_its_reason(account: Account) -> None:
    waiting = {await waits_for_approval(account) for _ in range(2)}
    await account.start("t_slow")

    async def found(*filters: str) -> set[str]:
        return {row["job_id"] for row in await account.listed(*filters)}

    await eventually(lambda: found("--reason", "waiting_for_approval"), lambda ids: ids == waiting)
    assert await found("--needs-attention", "--reason", "stuck,waiting_for_approval") == waiting
    assert await found("--reason", "stuck") == set()
    listed = await account.run.jobs("list", "--needs-attention")
    assert listed.out.count("waiting_for_approval") == 2
    unknown = await account.run.jobs("list", "--reason", "stuk")
    assert (unknown.code, "stuk" in unknown.err, "stuck" in unknown.err) == (2, True, True)
    approved = await account.run.jobs("approve", "--workflow", "t_approval", "--yes")
    assert (approved.code, approved.out.splitlines()[-1]) == (0, "2 jobs: 2 approved")
    assert await found("--reason", "waiting_for_approval") == set()


async def test_failed_jobs_are_finished_by_a_filter_and_only_once(account: Account, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    old = [await account.start("r_chain", {"gate": str(gate)}) for _ in range(2)]
    for job_id in old:
        assert (await ended(account.http, job_id))["status"] == "failed"
    assert {row["job_id"] for row in await account.listed("--needs-attention")} == set(old)
    assert f"orchestrator jobs retry {old[0]}" in (await account.run.jobs("show", old[0])).out

    gate.touch()
    counted = await account.run.jobs("retry", "--workflow", "r_chain")
    assert counted.out.startswith("would retry 2 jobs: 2 r_chain\n")
    done = await account.run.jobs("retry", "--workflow", "r_chain", "--yes")
    assert (done.code, done.out.splitlines()[-1]) == (0, "2 jobs: 2 retried")
    assert done.out.count("; 2 finished calls are reused") == 2
    lines = [line.split() for line in done.out.splitlines()[:-1]]
    new = {words[0]: words[3].rstrip(";") for words in lines}
    assert set(new) == set(old)
    assert [(await account.run.jobs("watch", job_id)).code for job_id in new.values()] == [0, 0]

    assert await account.listed("--needs-attention") == []
    again = await account.run.jobs("retry", "--workflow", "r_chain", "--yes")
    assert (again.code, again.out) == (0, "no job to retry matches\n")
    assert (await account.run.jobs("retry", old[0])).code == 1
    before, after = [await account.run.jobs("show", job_id) for job_id in (old[0], new[old[0]])]
    assert f"retried as {new[old[0]]}" in before.out
    assert f"retry of {old[0]}" in after.out
    assert after.out.count(" reused  ") == 2
