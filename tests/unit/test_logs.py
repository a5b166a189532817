"""Every log line of a process: one JSON object, with its job, without secrets."""

import io
import json
import logging
import logging.config
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from temporalio import activity, workflow
from temporalio.testing import ActivityEnvironment
from uvicorn.config import LOGGING_CONFIG

from orchestrator import logs
from orchestrator.domain.ids import session_digest
from orchestrator.domain.text import visible
from orchestrator.engine.plugin import keep_facts_out_of_messages


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    on_message = activity.logger.activity_info_on_message, workflow.logger.workflow_info_on_message
    yield
    root.handlers, root.level = handlers, level
    for name in (*logs._OURS, "acme"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    activity.logger.activity_info_on_message, workflow.logger.workflow_info_on_message = on_message
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_context_event_and_utc_time() -> None:
    out = io.StringIO()
    logs.configure("INFO", "auto", out)
    with structlog.contextvars.bound_contextvars(job_id="job_1", request_id="req_1"):
        structlog.get_logger("some.module").info("job_started", agent="writer")
    (line,) = lines(out)
    moment = datetime.fromisoformat(line.pop("timestamp"))
    assert moment.utcoffset() == UTC.utcoffset(None)
    assert line == {
        "level": "info",
        "event": "job_started",
        "job_id": "job_1",
        "request_id": "req_1",
        "agent": "writer",
        "logger": "some.module",
    }


def test_libraries_log_the_same_way() -> None:
    out = io.StringIO()
    logging.config.dictConfig(LOGGING_CONFIG)  # what a bare uvicorn does before it imports the application
    logs.configure("INFO", "json", out)
    logging.getLogger("uvicorn.error").info("Started %s", "now", extra={"color_message": "\x1b[1m"})
    logging.getLogger("httpx2").info("HTTP Request: GET https://example.com?token=1")
    (line,) = lines(out)
    assert (line["event"], line["logger"]) == ("Started now", "uvicorn.error")
    assert "color_message" not in line


def test_the_level_counts_for_both() -> None:
    out = io.StringIO()
    logs.configure("warning", "json", out)
    structlog.get_logger("ours").info("quiet")
    logging.getLogger("theirs").info("quiet")
    structlog.get_logger("ours").log(30, "waiting")
    assert [line["event"] for line in lines(out)] == ["waiting"]


def test_activity_lines_carry_their_job_beside_the_message() -> None:
    out = io.StringIO()
    logs.configure("INFO", "json", out)
    keep_facts_out_of_messages()

    def work() -> None:
        activity.logger.info("half_way")

    ActivityEnvironment().run(work)
    (line,) = lines(out)
    assert line["event"] == "half_way"
    assert line["job_id"] == line["temporal_activity"]["workflow_id"]


def test_secrets_are_masked_and_counts_are_not() -> None:
    out = io.StringIO()
    logs.configure("INFO", "json", out)
    logging.getLogger("theirs").info("sent", extra={"Authorization": "Bearer dvr_sk_1"})
    structlog.get_logger("ours").info("call", api_key="dvr_sk_2", tokens=5, completion_tokens=3)
    sent, call = lines(out)
    assert "dvr_sk" not in out.getvalue()
    assert sent["Authorization"] == "***"
    assert (call["tokens"], call["completion_tokens"]) == (5, 3)


def broken(key: str) -> None:
    raise RuntimeError(len(key))


def test_a_traceback_shows_no_local_variables_in_either_format() -> None:
    for out in (io.StringIO(), Terminal()):
        logs.configure("INFO", "auto", out)
        try:
            broken("dvr_sk_" + "local")
        except RuntimeError:
            structlog.get_logger("ours").exception("broken")
        assert "RuntimeError: 12" in out.getvalue()
        assert "dvr_sk_local" not in out.getvalue()


def test_pretty_only_on_a_terminal() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for out in (terminal, pipe):
        logs.configure("INFO", "auto", out)
        structlog.get_logger("ours").info("here")
    assert "\x1b[" in terminal.getvalue()
    assert "\x1b[" not in pipe.getvalue()
    assert lines(pipe)[0]["event"] == "here"


LIBRARIES = ("temporalio.worker._activity", "sqlalchemy.engine.Engine", "redis", "httpx", "aiosqlite", "pydantic_ai")


def test_details_are_ours_and_the_authors_never_those_of_libraries() -> None:
    """At the level of DEBUG libraries tell what they carry: inputs of activities, rows, bodies."""
    out = io.StringIO()
    logs.configure("DEBUG", "json", out)
    logs.log_details_of("acme.agents.writer")
    for name in (*LIBRARIES, "orchestrator.services", "api.app", "acme.agents", "temporalio.workflow"):
        logging.getLogger(name).debug("carried: a payload")
        logging.getLogger(name).info("noted")
    entries = [line["logger"] for line in lines(out) if line["event"].startswith("carried")]
    assert entries == ["orchestrator.services", "api.app", "acme.agents", "temporalio.workflow"]
    assert {line["logger"] for line in lines(out) if line["event"] == "noted"} >= {
        "temporalio.worker._activity",
        "redis",
    }


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("/ui/open/Kx9-secret_of-a-link", "/ui/open/{secret}"),
        ("/prefix/ui/open/Kx9-secret_of-a-link/", "/prefix/ui/open/{secret}/"),
        ("/chat/ws/a/b?token=secret-of.any+kind%2F&x=1", "/chat/ws/a/b?token=…&x=1"),
        ("/v1/jobs?a=1&api_key=secret", "/v1/jobs?a=1&api_key=…"),
        ("/v1/users/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2VjcmV0LXNpZ25hdHVyZQ", "/v1/users/eyJ…"),
    ],
)
def test_addresses_are_logged_without_secrets(address: str, shown: str) -> None:
    out = io.StringIO()
    logs.configure("INFO", "json", out)
    logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" [accepted]', "127.0.0.1:1", address)
    structlog.get_logger("ours").info("request", path=address)
    accepted, request = lines(out)
    assert accepted["event"] == f'127.0.0.1:1 - "WebSocket {shown}" [accepted]'
    assert request["path"] == shown


def test_values_are_masked_wherever_they_stand() -> None:
    out = io.StringIO()
    logs.configure("INFO", "json", out)
    session = "6f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f9"
    logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" [accepted]', "127.0.0.1:1", f"/ws/{session}")
    structlog.get_logger("ours").info(
        "request", path=f"/prefix/workflow-status/{session}", note="dvr_sk_live_" + "a" * 20
    )
    try:
        int(f"no answer for /ws/{session}?x=1")
    except ValueError:
        structlog.get_logger("ours").exception("broken")
    assert session not in out.getvalue()
    assert "aaaa" not in out.getvalue()
    assert [line.get("path") for line in lines(out)] == [
        None,
        f"/prefix/workflow-status/~{session_digest(session)[:12]}",
        None,
    ]


@pytest.mark.parametrize("fmt", ["json", "pretty"])
def test_no_line_moves_the_cursor_or_turns_the_text_of_its_reader(fmt: str) -> None:
    hostile = "\x1b]0;owned\x07\x9b2J\u202egpj.exe\u200f\u2028"
    out = io.StringIO()
    logs.configure("INFO", fmt, out)
    log = structlog.get_logger("x")
    log.warning(hostile, name=hostile, inside={"name": hostile})
    log.error("failed", exc_info=ValueError(hostile))
    logging.getLogger("library").error("says %s", hostile)
    written = out.getvalue()
    assert written.count("owned") >= 5
    assert visible(written) == written
    if fmt == "json":
        first, *_ = lines(out)
        assert (first["name"], first["inside"]) == (hostile, {"name": hostile})
