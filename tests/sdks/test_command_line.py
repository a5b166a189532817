"""The command `devora`, installed in an empty project, against the real server."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import re
import shutil
import stat
import termios
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx2
import pytest

from orchestrator.domain.webhooks import SUBSCRIBABLE
from orchestrator.testing import eventually
from tests.ledger import ledger
from tests.page_commands import ROOT, blocks
from tests.sdks.node_packages import PACKAGES
from tests.sdks.processes import Finished, run
from tests.sdks.proxy import Proxy
from tests.sdks.runners import neutral_environment

Devora = Callable[..., Coroutine[Any, Any, Finished]]
PRD = '{"task_type": "prd", "context": "A delivery app"}'


@pytest.fixture
def environment(npm_project: Path, tmp_path: Path, server: str) -> dict[str, str]:
    """A home of its own and the server, but no key."""
    path = f"{npm_project / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path), "XDG_CONFIG_HOME": "", "DEVORA_BASE_URL": server}


@pytest.fixture
def devora(environment: dict[str, str], tmp_path: Path, key: str) -> Devora:
    """Runs the command with a key in the environment."""

    async def command(*arguments: str, stdin: str | None = None, **more: str) -> Finished:
        variables = {**environment, "DEVORA_API_KEY": key, **more}
        return await run("devora", *arguments, cwd=tmp_path, stdin=stdin, **variables)

    return command


@ledger("D-091", "D-092", "D-093", "D-094")
async def test_the_printed_commands_run(devora: Devora, tmp_path: Path, key: str) -> None:
    no_key = {"DEVORA_API_KEY": ""}
    await devora("config", "set", "api-key", key, **no_key)
    ran = await devora("agents", "execute", "product_manager", "--input", PRD, **no_key)
    assert ran.succeeded().startswith("#")
    assert re.search(r"job job_\w+ completed: \d+ tokens", ran.errors)
    (tmp_path / "input.json").write_text('{"api_name": "TaskMaster", "description": "Tâches", "api_type": "rest"}')
    arguments = ("--input", "input.json", "--output", "result.json", "--watch")
    ran = await devora("workflows", "run", "api_development", *arguments, **no_key)
    assert ran.succeeded() == ""
    assert "\x1b" not in ran.errors  # lines, not a bar, where there is no terminal
    assert re.search(r"^100%  job\.completed", ran.errors, re.MULTILINE)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["status"] == "success"
    assert result["deliverables"]


@pytest.mark.parametrize(
    "page", [ROOT / "docs" / "cli.md", PACKAGES["@devora/cli"] / "README.md"], ids=["docs", "readme"]
)
async def test_the_commands_of_a_page_run(page: Path, environment: dict[str, str], tmp_path: Path, key: str) -> None:
    script = "".join(block.script for block in blocks(page) if "$KEY" in block.script)
    assert script.count("devora ") >= 5
    done = await run("bash", "-euo", "pipefail", "-c", script, cwd=tmp_path, **{**environment, "KEY": key})
    assert "api_development" in done.succeeded()


async def test_its_own_tests_pass(npm_project: Path) -> None:
    """Those that need no server of ours; the packages are built."""
    done = await run("npm", "test", "--silent", cwd=PACKAGES["@devora/cli"])
    assert done.code == 0, done.output[-8000:]


@ledger("D-092")
async def test_a_key_is_kept_for_its_owner_alone(devora: Devora, tmp_path: Path, key: str) -> None:
    no_key = {"DEVORA_API_KEY": ""}
    refused = await devora("agents", "list", **no_key)
    assert (refused.code, refused.output) == (2, "")
    assert "devora config set api-key" in refused.errors
    (await devora("config", "set", "api-key", stdin=f"{key}\n", **no_key)).succeeded()
    kept = tmp_path / ".config" / "devora" / "config.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(kept.read_text()) == {"api-key": key}
    shown = (await devora("config", "get", "api-key")).succeeded() + (await devora("config", "list")).succeeded()
    assert key not in shown
    assert key[:12] in shown
    assert "product_manager" in (await devora("agents", "list", **no_key)).succeeded()
    kept.chmod(0o644)
    assert "chmod 600" in (await devora("agents", "list", **no_key)).errors
    (await devora("config", "unset", "api-key")).succeeded()
    assert (await devora("agents", "list", **no_key)).code == 2
    listed = await devora("agents", "list", "--api-key", "-", stdin=key, **no_key)
    assert "product_manager" in listed.succeeded()


async def test_json_is_what_the_api_sent(devora: Devora, server: str, key: str) -> None:
    job_id = (await devora("agents", "execute", "t_echo", "--async")).succeeded().strip()
    watched = (await devora("jobs", "watch", job_id, "--json")).succeeded()
    events = [json.loads(line) for line in watched.splitlines()]
    assert [event["name"] for event in events][:: len(events) - 1] == ["job.queued", "job.completed"]
    async with httpx2.AsyncClient(base_url=server, headers={"Authorization": f"Bearer {key}"}) as http:
        for command, path in (
            (("jobs", "show", job_id), f"/v1/jobs/{job_id}"),
            (("jobs", "output", job_id), f"/v1/jobs/{job_id}/output"),
            (("agents", "show", "t_echo"), "/v1/agents/t_echo"),
            (("workflows", "list"), "/v1/workflows"),
        ):
            assert json.loads((await devora(*command, "--json")).succeeded()) == (await http.get(path)).json()
    listed = json.loads((await devora("jobs", "list", "--json", "--limit", "1")).succeeded())
    assert [job["job_id"] for job in listed] == [job_id]


async def test_exit_codes(devora: Devora) -> None:
    """1: the job failed, 2: the command is wrong or was refused, 3: nobody answers."""
    cases = [
        (("agents", "execute", "t_broken"), 1, "refused for good"),
        (("workflows", "run", "t_broken", "--watch"), 1, "failed: "),
        (("agents", "execute", "t_echo", "--input", "{broken"), 2, "--input is not JSON"),
        (("agents", "execute", "t_echo", "--input", "absent.json"), 2, "absent.json"),
        (("agents", "execute", "t_echo", "--input", "[1]"), 2, "--input must be a JSON object"),
        (("agents", "list", "--timeout", "-1"), 2, "is not a number above 0"),
        (("agents", "execute", "t_echo", "--label", "team"), 2, "expected NAME:VALUE"),
        (("agents", "execute", "t_echo", "--input", "-"), 2, "standard input is not JSON"),
        (("agents", "execute", "nobody"), 2, "nobody"),
        (("agents", "execute", "product_manager"), 2, "Missing required field: task_type"),
        (("agents", "execute", "t_echo", "--async", "--watch"), 2, "leave out --watch"),
        (("jobs", "show", "job_0"), 2, "job_0"),
        (("jobs", "list", "--status", "lost"), 2, "status"),
        (("jobs", "list", "--limit", "many"), 2, "not a number"),
        (("config", "set", "apikey", "x"), 2, "expected api-key or base-url"),
        (("completion", "tcsh"), 2, "expected bash, zsh, fish"),
        (
            ("webhooks", "listen", "--forward-to", "1", "--events", "job.lost"),
            2,
            f"expected {','.join(SUBSCRIBABLE)}\n",
        ),
        (("nonsense",), 2, "unknown command"),
        (("agents", "list", "--base-url", "http://127.0.0.1:9"), 3, "no answer from http://127.0.0.1:9"),
        (("agents", "list", "--base-url", "nowhere"), 2, "invalid base URL"),
    ]
    done = await asyncio.gather(*(devora(*command, stdin="") for command, _, _ in cases))
    seen = [
        (command, each.code, words in each.errors or each.errors)
        for (command, _, words), each in zip(cases, done, strict=True)
    ]
    assert seen == [(command, code, True) for command, code, _ in cases]


async def test_an_invalid_key_is_refused_by_name(devora: Devora) -> None:
    refused = await devora("agents", "list", DEVORA_API_KEY="dvr_sk_live_0000000000000000")
    assert refused.code == 2
    assert re.search(r"devora: .*\(request req_\w+\)", refused.errors)


async def test_jobs_are_controlled(devora: Devora, server: str, key: str) -> None:
    job_id = (await devora("workflows", "run", "t_approval", "--async")).succeeded().strip()
    async with httpx2.AsyncClient(base_url=server, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
        await http.get(f"/v1/jobs/{job_id}", params={"wait": 30, "until": "attention"})
    assert "waiting_for_approval" in (await devora("jobs", "list", "--needs-attention")).succeeded()
    assert (await devora("jobs", "approve", job_id, "--note", "go")).succeeded() == f"{job_id} approved\n"
    assert "completed" in (await devora("jobs", "watch", job_id)).errors
    assert "COMPLETED (completed), 100%" in (await devora("jobs", "show", job_id)).succeeded()
    open_jobs = [(await devora("agents", "execute", "t_slow", "--async")).succeeded().strip() for _ in range(2)]
    cancelled = await devora("jobs", "cancel", *open_jobs, "job_0")
    assert cancelled.code == 2
    assert cancelled.output == "".join(f"{each} cancelled\n" for each in open_jobs)
    assert "job_0" in cancelled.errors
    again = (await devora("jobs", "retry", open_jobs[0])).succeeded().strip()
    assert again not in open_jobs
    await devora("jobs", "cancel", again)
    assert (await devora("jobs", "watch", again)).code == 1


async def test_the_same_key_starts_one_job(devora: Devora) -> None:
    arguments = ("agents", "execute", "t_echo", "--async", "--idempotency-key", "nightly")
    first, second = (await devora(*arguments)).succeeded(), (await devora(*arguments)).succeeded()
    assert first == second


async def test_jobs_have_labels(devora: Devora) -> None:
    start = ("agents", "execute", "t_echo", "--async", "--label", "team:news room", "--label", "Run_Of:7")
    job_id = (await devora(*start)).succeeded().strip()
    await devora("agents", "execute", "t_echo", "--async", "--label", "team:sport")
    listed = json.loads((await devora("jobs", "list", "--json", "--label", "team:news room")).succeeded())
    assert [job["job_id"] for job in listed] == [job_id]
    shown = json.loads((await devora("jobs", "show", job_id, "--json")).succeeded())
    assert {"team": "news room", "Run_Of": "7"}.items() <= shown["labels"].items()
    assert (await devora("jobs", "list", "--label", "team")).code == 2


async def test_nothing_is_lost_on_a_bad_line(devora: Devora, server: str, tmp_path: Path) -> None:
    """A lost answer, a limit, and streams that break: one job, each event once."""
    faults = [
        {"on": "POST /v1/workflows/*/run", "do": "cut", "when": "after"},
        {"on": "POST /v1/workflows/*/run", "do": "answer", "status": 429, "headers": {"Retry-After": "0"}, "body": {}},
        {"on": "GET /v1/jobs/*/events", "times": 2, "do": "cut", "when": "during", "events": 2},
        {"on": "GET /v1/jobs/*", "do": "cut", "when": "before"},
    ]
    async with Proxy(server, faults) as proxy:
        arguments = ("workflows", "run", "t_three", "--watch", "--json")
        done = await devora(*arguments, DEVORA_BASE_URL=proxy.url)
    result = json.loads(done.succeeded())
    lines = [line.split()[1] for line in done.errors.splitlines() if re.match(r" *\d+%", line)]
    assert lines == ["job.queued", "job.started", *["agent.scheduled", "agent.completed"] * 3, "job.completed"]
    listed = json.loads((await devora("jobs", "list", "--json")).succeeded())
    assert [job["job_id"] for job in listed] == [result["job_id"]]


@contextlib.asynccontextmanager
async def terminal(
    *command: str, cwd: Path, **environment: str
) -> AsyncIterator[tuple[Callable[[str], object], Callable[[], Coroutine[Any, Any, str]]]]:
    """A program in a terminal of its own: what types there, and what reads all that it has shown."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), env={**neutral_environment(), **environment},
    )  # fmt: skip
    os.close(theirs)
    os.set_blocking(ours, False)
    drawn = bytearray()

    async def shown() -> str:
        with contextlib.suppress(OSError):  # nothing is there yet, or the program has ended
            drawn.extend(os.read(ours, 65536))
        return drawn.decode(errors="replace")

    try:
        yield lambda text: os.write(ours, text.encode()), shown
    finally:
        os.close(ours)
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_an_interrupt_leaves_the_job_and_a_terminal_gets_a_bar(
    environment: dict[str, str], tmp_path: Path, key: str, devora: Devora
) -> None:
    command = ("bash", "-c", "devora agents execute t_slow --watch; echo code $?")
    async with terminal(*command, cwd=tmp_path, **environment, DEVORA_API_KEY=key) as (write, shown):
        await eventually(shown, lambda text: "agent.scheduled" in text, 30)
        write("\x03")
        text = await eventually(shown, lambda text: "code 130" in text, 30)
    assert "goes on" in text
    assert "░" in text
    assert "\x1b[2K" in text
    job_id = re.search(r"devora jobs watch (job_\w+)", text)[1]  # type: ignore[index]
    assert "RUNNING" in (await devora("jobs", "show", job_id)).succeeded()
    await devora("jobs", "cancel", job_id)


async def test_webhooks_are_received_on_this_machine(
    environment: dict[str, str], tmp_path: Path, key: str, devora: Devora, npm_project: Path
) -> None:
    """The events of the account reach a local receiver, whose library finds them genuine."""
    open_before = (await devora("workflows", "run", "t_approval", "--async")).succeeded().strip()
    receiver = npm_project / "receiver.mjs"
    receiver.write_text("""
import { createServer } from "node:http";
import { unwrapWebhook, verifyWebhook } from "@devora/sdk";
const [secret] = process.argv.slice(2);
const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const event = await unwrapWebhook(body, request.headers, secret);
  const plain = await verifyWebhook(body, request.headers["x-devora-signature"], secret);
  const inner = body.toString().replace(/,"signature":"(sha256=[0-9a-f]{64})"}$/, "}");
  const own = await verifyWebhook(inner, JSON.parse(body).signature, secret);
  console.log(JSON.stringify([event.event, event.jobId, event.data.status, plain, own]));
  response.writeHead(204).end();
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
""")
    secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    hook = await asyncio.create_subprocess_exec("node", str(receiver), secret, stdout=asyncio.subprocess.PIPE)
    assert hook.stdout is not None
    port = int(await hook.stdout.readline())
    variables = {**neutral_environment(), **environment, "DEVORA_API_KEY": key}
    listening = await asyncio.create_subprocess_exec(
        "devora", "webhooks", "listen", "--forward-to", str(port), "--secret", secret,
        cwd=tmp_path, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=variables,
    )  # fmt: skip
    assert listening.stderr is not None
    assert listening.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert (await listening.stderr.readline()).decode() == f"signing secret: {secret}\n"
            assert (await listening.stderr.readline()).startswith(b"ready: ")
            done = (await devora("agents", "execute", "t_echo", "--async")).succeeded().strip()
            broken = (await devora("agents", "execute", "t_broken", "--async")).succeeded().strip()
            await devora("jobs", "cancel", open_before)
            received = [json.loads(await hook.stdout.readline()) for _ in range(3)]
            printed = [(await listening.stdout.readline()).decode() for _ in range(3)]
    finally:
        for process in (listening, hook):
            process.kill()
            await process.wait()
    assert sorted(received) == sorted(
        [
            ["job.completed", done, "completed", True, True],
            ["job.failed", broken, "failed", True, True],
            ["job.failed", open_before, "cancelled", True, True],
        ]
    )
    assert all(line.endswith("->  204\n") for line in printed)


async def test_completion(devora: Devora, environment: dict[str, str], tmp_path: Path) -> None:
    async def words(*typed: str) -> list[str]:
        return (await devora("__complete", *typed)).succeeded().split()

    assert await words("w") == ["webhooks", "workflows"]
    assert await words("jobs", "re") == ["reject", "resume", "retry"]
    assert "--watch" in await words("workflows", "run", "x", "--w")
    assert await words("agents", "execute", "x", "--input", "") == []
    assert await words("--base-url", "jobs", "jo") == ["jobs"]


# What a person types in a terminal, after the script was read as the page says.
SHELLS = {
    "bash": ("bash", "--norc", "-i"),
    "zsh": ("zsh", "-i"),
    "fish": ("fish", "--private", "-i"),
}


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_shell_completes_what_is_typed(shell: str, environment: dict[str, str], tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"not on the path: {shell}")
    script = tmp_path / "completion"
    script.write_text((await run("devora", "completion", shell, cwd=tmp_path, **environment)).succeeded())
    (tmp_path / ".zshrc").touch()  # without it, zsh asks questions
    async with terminal(*SHELLS[shell], cwd=tmp_path, **environment, TERM="xterm") as (write, shown):
        write(f"source {script}; echo re''ady\n")
        await eventually(shown, lambda text: "\nready" in text.replace("\r", "\n"), 30)
        write("devora jobs rej\t")
        await eventually(shown, lambda text: "reject" in text, 30)
        write("\x15devora wor\t")
        await eventually(shown, lambda text: "workflows" in text, 30)
