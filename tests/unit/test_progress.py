"""How `orchestrator run` shows a job: bars on a terminal, elsewhere one line for each change."""

import io
from typing import Any

import pytest
from rich.console import Console

from orchestrator.commandline.run.job_view import FollowedJob
from orchestrator.commandline.terminal.progress import display


def job(*calls: dict[str, Any], **more: Any) -> FollowedJob:
    steps = [{"step": "write", "agent": "writer", "title": "Write [it]", **call} for call in calls]
    return FollowedJob.model_validate(
        {"job_id": "wf_job_1", "name": "Book", "status": "running", "steps": steps, **more}
    )


def shown(*jobs: FollowedJob, terminal: bool = False) -> str:
    written = io.StringIO()
    with display(Console(file=written, force_terminal=terminal, width=200)) as screen:
        for each in jobs:
            screen.show(each)
    return written.getvalue()


def test_elsewhere_than_on_a_terminal_each_change_is_one_line_without_escape_codes() -> None:
    running, done = (
        job({"status": "running"}),
        job({"status": "completed", "duration": 1.25, "tokens": 1200}, progress=100),
    )
    lines = shown(job({"status": "pending"}), running, running, done).splitlines()
    assert [line.split() for line in lines] == [
        ["0", "%", "write", "writer", "running"],
        ["100", "%", "write", "writer", "completed,", "1.2", "s,", "1,200", "tokens"],
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_job_whose_calls_are_not_all_known_shows_their_count(terminal: bool) -> None:
    first, second = {"status": "completed", "key": "1"}, {"status": "running", "key": "2/a"}
    screen = shown(job(first, second, progress=None, calls_done=1, calls_known=4), terminal=terminal)
    if terminal:
        assert "25%" in screen
        return
    assert [line.split() for line in screen.splitlines()] == [
        ["1/4", "write[1]", "writer", "completed"],
        ["1/4", "write[2/a]", "writer", "running"],
    ]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(
    ("code", "report"),
    [
        ("waiting_for_approval", "Why so. (orchestrator jobs approve wf_job_1)"),
        ("paused", "Why so. (orchestrator jobs resume wf_job_1)"),
        ("no_worker", "Why so."),
    ],
)
def test_a_job_that_waits_for_somebody_says_how_it_goes_on(code: str, report: str, terminal: bool) -> None:
    assert report in shown(job({"status": "pending"}, reason={"code": code, "message": "Why so."}), terminal=terminal)


def test_on_a_terminal_a_step_is_named_as_it_is_and_a_retry_says_why() -> None:
    attempts = [{"number": 1, "error": {"type": "t", "message": "too busy"}}, {"number": 2}]
    screen = shown(job({"status": "retrying", "attempts": attempts}, progress=40), terminal=True)
    assert "\x1b[" in screen
    assert "Write [it]" in screen
    assert "writer: retrying, attempt 2, too busy" in screen
    assert "40%" in screen
