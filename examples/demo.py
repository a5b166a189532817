"""`make demo`: starts the product on free ports, runs one job, shows its progress and result, and stops."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from orchestrator.commandline.admin_key import read_key
from orchestrator.commandline.run import deliverables
from orchestrator.commandline.run.client import ApiClient
from orchestrator.commandline.run.command import follow, summarise
from orchestrator.commandline.run.job_view import FollowedJob
from orchestrator.commandline.server.ports import free_port
from orchestrator.commandline.terminal.exits import FAILED, OK, Refused, leave, say
from orchestrator.domain.ids import JobKind

DATA_DIR: Final = Path(__file__).resolve().parents[1] / ".orchestrator" / "demo"
WORKFLOW: Final = "full_stack_development"
INPUT: Final[dict[str, Any]] = {
    "project_name": "TaskFlow",
    "description": "A shared task board for small teams: lists, assignments and due dates that all see at once.",
    "tech_stack": {"frontend": ["React", "TypeScript"], "backend": ["FastAPI", "PostgreSQL"]},
    "requirements": ["JWT authentication", "CRUD tasks", "Real-time collaboration"],
}
# The demo is the same on every machine: it uses no server, database or paid model of the user. The server in
# TEMPORAL_ADDRESS may be a production server, whose namespace the engine would change.
FOREIGN: Final = ("ORCHESTRATOR_", "TEMPORAL_", "OPENAI_", "ANTHROPIC_", "DATABASE_URL", "REDIS_URL")
START_SECONDS: Final = 300
STOP_SECONDS: Final = 20


def main() -> int:
    """Run the demo. Returns 0 if the job completed and everything stopped cleanly."""
    console = Console()
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    say(f"Starting Temporal, API and worker; data and log in {DATA_DIR}")
    with stack() as (api_url, ui_url):
        key = read_key(DATA_DIR)
        if key is None:
            raise Refused(f"no API key in {DATA_DIR}", FAILED)
        say(f"API {api_url}/docs   Temporal UI {ui_url}\n")
        job = asyncio.run(show(api_url, key, console))
    say(f"\nEverything is stopped. The job stays in {DATA_DIR}; look at it again with")
    say(f"  {sys.executable} -m orchestrator dev --data-dir {DATA_DIR}")
    say(f"  http://127.0.0.1:8233/namespaces/default/workflows/{job.job_id}")
    return OK if job.status == "completed" else FAILED


async def show(api_url: str, key: str, console: Console) -> FollowedJob:
    """Start the job, follow it, and print its result."""
    client = ApiClient(api_url, key)
    try:
        job_id = await client.start(JobKind.WORKFLOW, WORKFLOW, {"input": INPUT, "async": True})
        job = await follow(client, job_id, console)
    finally:
        await client.aclose()
    summarise(job, console, listed=sys.maxsize)
    written = deliverables.write(DATA_DIR / job_id, deliverables.deliverables_of(job.output))
    say(f"{len(written.files)} files in {DATA_DIR / job_id}")
    return job


@contextmanager
def stack() -> Iterator[tuple[str, str]]:
    """Run `orchestrator dev` on free ports, and yield the addresses of the API and of the Temporal UI.

    Raises `Refused` if it does not start, or does not stop cleanly.
    """
    ui_port = free_port()
    ports = ["--port", "0", "--temporal-port", "0", "--ui-port", str(ui_port)]
    log = DATA_DIR / "demo.log"
    with log.open("w") as errors:
        process = subprocess.Popen(  # noqa: S603 - this very product
            [sys.executable, "-m", "orchestrator", "dev", *ports, "--data-dir", str(DATA_DIR)],
            cwd=DATA_DIR,  # Without the .env file of a checkout.
            env={name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        yield ready_url(process, log), f"http://127.0.0.1:{ui_port}"
    finally:
        process.terminate()
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    if code != OK:
        raise Refused(f"`orchestrator dev` ended with code {code}; see {log}", FAILED)


def ready_url(process: "subprocess.Popen[str]", log: Path) -> str:
    """Wait for the line that begins with `ready ` and return its address. Raises `Refused`."""
    overdue = threading.Timer(START_SECONDS, process.terminate)
    overdue.start()
    try:
        for line in process.stdout or ():
            if line.startswith("ready "):
                return line.split()[1]
    finally:
        overdue.cancel()
    tail = "\n".join(log.read_text().splitlines()[-15:])
    if os.environ.get("TEMPORAL_ADDRESS"):
        tail += "\nThe demo runs a Temporal server of its own; `make up` uses the one in TEMPORAL_ADDRESS."
    raise Refused(f"`orchestrator dev` ended with code {process.wait()}; {log} ends with:\n{tail}", FAILED)


if __name__ == "__main__":
    try:
        result = main()
    except Refused as fault:
        sys.stderr.write(f"demo: {fault}\n")
        result = fault.code
    leave(result)
