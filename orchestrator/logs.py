"""The logs of a process: structlog over the standard library, one line for each event, on standard error."""

import io
import logging
import sys
from functools import lru_cache
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from orchestrator.domain.text import escaped_json, visible
from orchestrator.security.redaction import without_secrets

# Loggers with DEBUG lines. DEBUG lines of libraries contain payloads: inputs of jobs, and SQL.
_OURS: Final = ("orchestrator", "api", "workflows", "activities", "temporalio.workflow", "temporalio.activity")
# Libraries that log a line for every request.
_QUIET: Final = ("httpx2", "httpcore2", "openai", "anthropic", "alembic", "asyncio", "watchfiles")
_SERVER: Final = ("uvicorn", "uvicorn.error", "uvicorn.access")
_SECRET_WORDS: Final = ("authorization", "api_key", "apikey", "password", "secret", "token", "cookie")
_COUNTS: Final = ("tokens", "_tokens", "max_tokens")
_LEADING: Final = ("timestamp", "level", "event", "job_id")
_DROPPED: Final = ("color_message", "_record", "_from_structlog", "temporal_log")


def configure(level: str = "INFO", fmt: str = "auto", stream: TextIO | None = None) -> None:
    """Send every log line of this process and its libraries to `stream` (default: standard error).

    `fmt` is `json` (one object a line, time in UTC), `pretty` (for people), or `auto`: `pretty` on a terminal.
    `job_id`, `step`, `agent`, `attempt` and `request_id` come from the context. Raises `ValueError` for an unknown
    level.
    """
    out = stream or sys.stderr
    pretty = fmt == "pretty" or (fmt == "auto" and out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), _name_the_job],
            processors=[structlog.processors.StackInfoRenderer(), *_rendering(out, pretty=pretty)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())  # raises for an unknown one
    for name in _OURS:
        logging.getLogger(name).setLevel(root.level)
    root.setLevel(max(root.level, logging.INFO))
    for name in _SERVER:  # a bare uvicorn has already set its own handlers
        server = logging.getLogger(name)
        server.handlers.clear()
        server.propagate = True
        server.setLevel(logging.NOTSET)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def log_details_of(module: str) -> None:
    """Log the lines of an author's package at the level of this process, DEBUG included."""
    logging.getLogger(module.partition(".")[0]).setLevel(logging.getLogger("orchestrator").level)


def _rendering(out: TextIO, *, pretty: bool) -> list[Processor]:
    if pretty:
        # The plain formatter: the rich one shows local variables, which may be keys.
        console = structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=_plain_traceback, pad_event_to=30
        )
        return [_without_secrets, _escape, console]
    return [
        structlog.processors.format_exc_info,
        _without_secrets,
        _leading_fields_first,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        _escape_json,
    ]


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape control characters, which could rewrite the terminal of a reader: models and users write some texts."""
    return {key: visible(value) if isinstance(value, str) else value for key, value in event.items()}


def _escape_json(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    return escaped_json(str(line))


def _plain_traceback(out: TextIO, exc_info: ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    out.write(visible(text.getvalue()))


def _name_the_job(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the `job_id` to lines of Temporal's loggers, as all other lines have it."""
    for key in ("temporal_activity", "temporal_workflow"):
        facts = event.get(key)
        if isinstance(facts, dict) and "workflow_id" in facts:
            event.setdefault("job_id", facts["workflow_id"])
    return event


@lru_cache(maxsize=1000)
def _names_a_secret(key: str) -> bool:
    word = key.lower()
    return any(secret in word for secret in _SECRET_WORDS) and not word.endswith(_COUNTS)


def _without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key in [key for key in event if key in _DROPPED]:
        del event[key]
    for key in event:
        if _names_a_secret(key):
            event[key] = "***"
        elif isinstance(event[key], str):
            event[key] = without_secrets(event[key])
    return event


def _leading_fields_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**{key: event[key] for key in _LEADING if key in event}, **event}
