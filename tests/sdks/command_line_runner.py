"""Performs the calls of `sdks/conformance` with the command line `devora`: one process for each command.

An error is known by the exit code, `exit`; the tests compare it with that of the error's kind.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

COMMAND = ("node", str(Path(__file__).parents[2] / "sdks" / "cli" / "dist" / "main.js"))
WATCH = ["jobs", "watch", "{job_id}"]
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
    "jobs.stream": WATCH,
    # They give no job: it is shown afterwards.
    "jobs.wait": WATCH,
    "jobs.result": WATCH,
    "jobs.cancel": ["jobs", "cancel", "{job_id}"],
    "jobs.pause": ["jobs", "pause", "{job_id}"],
    "jobs.resume": ["jobs", "resume", "{job_id}"],
    "jobs.approve": ["jobs", "approve", "{job_id}"],
    "jobs.reject": ["jobs", "reject", "{job_id}"],
    "jobs.questions": ["jobs", "questions", "{job_id}"],
    "jobs.answer": ["jobs", "answer", "{job_id}", "--values", "{values}"],
    "jobs.signal": ["jobs", "signal", "{job_id}", "{name}", "--input", "{input}"],
    "jobs.retry": ["jobs", "retry", "{job_id}"],
    "schedules.create": ["schedules", "create", "--agent", "{agent_id}", "--input", "{input}", "--spec", "{spec}"],
    "schedules.get": ["schedules", "show", "{schedule_id}"],
    "schedules.pause": ["schedules", "pause", "{schedule_id}"],
    "schedules.unpause": ["schedules", "unpause", "{schedule_id}"],
    "schedules.trigger": ["schedules", "trigger", "{schedule_id}"],
    "schedules.backfill": ["schedules", "backfill", "{schedule_id}", "--from", "{start_at}", "--to", "{end_at}"],
    "schedules.delete": ["schedules", "delete", "{schedule_id}"],
}
WORDS = {"reason": "--reason", "note": "--note", "step": "--step"}
FOLLOWING = frozenset({"jobs.stream", "jobs.wait", "jobs.result"})
INTERRUPTED = 130
EXITS = {
    "JobFailed": 1,
    "JobCancelled": 1,
    **dict.fromkeys(("RateLimit", "ServiceUnavailable", "Server", "Connection", "Timeout"), 3),
    "Cancelled": INTERRUPTED,
}
USAGE = 2


def words_of(command: dict[str, Any]) -> list[str]:
    """The command line of a call."""
    call, arguments, options = command["call"], command.get("arguments", {}), command["options"]
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in arguments.items()}
    words = [word.format_map(texts) if word.startswith("{") else word for word in CALLS[call]]
    for name, value in arguments.items():
        words += [WORDS[name], value] if name in WORDS else []
    for name, value in arguments.get("labels", {}).items():
        words += ["--label", f"{name}:{value}"]
    if arguments.get("async"):
        words.append("--async")
    if "idempotency_key" in options:
        words += ["--idempotency-key", options["idempotency_key"]]
    if "timeout" in options and call not in FOLLOWING:  # that of one request
        words += ["--timeout", str(options["timeout"])]
    # Progress is text, so that an interrupt can be sent once the command is under way.
    return [*words, "--json"] if call != "jobs.wait" else words


def run(command: dict[str, Any]) -> tuple[int, list[str], str]:
    """The exit code, the lines of standard output, and standard error. An interrupt is sent as a terminal does."""
    options, cancel = command["options"], command["options"].get("cancel_after", {})
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "DEVORA_API_KEY": options["api_key"],
            "DEVORA_BASE_URL": options["base_url"],
            "DEVORA_CONFIG": str(Path(folder) / "config.json"),
            "DEVORA_LOG": options.get("log", ""),
        }
        process = subprocess.Popen(
            [*COMMAND, *words_of(command)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        errors: list[str] = []
        reading = threading.Thread(target=_read, args=(process, errors, "seconds" in cancel))
        reading.start()
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if len(lines) == cancel.get("events"):
                process.send_signal(signal.SIGINT)
                break
        process.stdout.read()
        reading.join()
        return process.wait(), lines, "".join(errors)


def _read(process: subprocess.Popen[str], errors: list[str], interrupts: bool) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        errors.append(line)
        if interrupts and len(errors) == 1:
            process.send_signal(signal.SIGINT)


def perform(command: dict[str, Any]) -> dict[str, Any]:
    """Run one command, and write a line for each event that it prints."""
    call = command["call"]
    code, lines, errors = run(command)
    sys.stderr.write(errors)
    if call == "jobs.stream":
        for line in lines:
            print(json.dumps({"id": command["id"], "event": json.loads(line)}), flush=True)
    if code != 0:
        return {"id": command["id"], "ok": False, "error": {"exit": code, "message": errors}}
    if call == "jobs.stream":
        return {"id": command["id"], "ok": True, "value": None}
    if call in FOLLOWING:
        return perform({**command, "call": "jobs.get"})
    return {"id": command["id"], "ok": True, "value": json.loads("".join(lines))}


if __name__ == "__main__":
    for text in sys.stdin:
        print(json.dumps(perform(json.loads(text))), flush=True)
