"""Performs the calls of `sdks/conformance` with the command line `devora`: one process for each call.

An error is known by the exit code, `exit`; the tests compare it with that of the error's kind.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

COMMAND = ("node", str(Path(__file__).parents[2] / "sdks" / "cli" / "dist" / "main.js"))
# The words of each call, with the arguments that stand between them.
CALLS: dict[str, list[str]] = {
    "agents.list": ["agents", "list"],
    "agents.get": ["agents", "show", "{agent_id}"],
    "agents.execute": ["agents", "execute", "{agent_id}", "--input", "{input}"],
    "workflows.list": ["workflows", "list"],
    "workflows.get": ["workflows", "show", "{workflow_id}"],
    "workflows.run": ["workflows", "run", "{workflow_id}", "--input", "{input}"],
    "jobs.get": ["jobs", "show", "{job_id}"],
    "jobs.output": ["jobs", "output", "{job_id}"],
    "jobs.stream": ["jobs", "watch", "{job_id}"],
    "jobs.cancel": ["jobs", "cancel", "{job_id}"],
    "jobs.approve": ["jobs", "approve", "{job_id}"],
    "jobs.reject": ["jobs", "reject", "{job_id}"],
}
OPTIONS = frozenset({"api_key", "base_url", "idempotency_key"})
PRINT_NOTHING = frozenset({"jobs.cancel", "jobs.approve", "jobs.reject"})
EXITS = {"JobFailed": 1, "JobCancelled": 1, "RateLimit": 3, "ServiceUnavailable": 3, "Server": 3, "Connection": 3}
USAGE = 2


def words_of(command: dict[str, Any]) -> list[str]:
    """The command line of a call."""
    arguments, options = command.get("arguments", {}), command["options"]
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in arguments.items()}
    words = [word.format_map(texts) if word.startswith("{") else word for word in CALLS[command["call"]]]
    if arguments.get("async"):
        words.append("--async")
    if "idempotency_key" in options:
        words += ["--idempotency-key", options["idempotency_key"]]
    return [*words, "--json"]


def perform(command: dict[str, Any]) -> dict[str, Any]:
    """Run one command, and write a line for each event that it prints."""
    options = command["options"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "DEVORA_API_KEY": options["api_key"],
            "DEVORA_BASE_URL": options["base_url"],
            "DEVORA_CONFIG": str(Path(folder) / "config.json"),
        }
        done = subprocess.run(
            [*COMMAND, *words_of(command)], env=environment, capture_output=True, text=True, check=False
        )
    sys.stderr.write(done.stderr)
    if command["call"] == "jobs.stream":
        for line in done.stdout.splitlines():
            print(json.dumps({"id": command["id"], "event": json.loads(line)}), flush=True)
    if done.returncode != 0:
        return {"id": command["id"], "ok": False, "error": {"exit": done.returncode, "message": done.stderr}}
    value = None if command["call"] in {"jobs.stream", *PRINT_NOTHING} else json.loads(done.stdout)
    return {"id": command["id"], "ok": True, "value": value}


if __name__ == "__main__":
    for text in sys.stdin:
        print(json.dumps(perform(json.loads(text))), flush=True)
