"""The documents state the limits and times that the code has."""

import importlib
import re
from datetime import timedelta
from typing import Any

import pytest

from tests.architecture.test_docs import DOCS

WORDS = {2: "two", 3: "three", 5: "five", 6: "six", 8: "eight", 10: "ten", 20: "twenty", 30: "thirty", 50: "fifty"}


def value(place: str) -> Any:
    """The number of a constant or a field's default, `module:NAME` or `module:Class.field`; a time in seconds."""
    module, _, name = place.partition(":")
    owner, _, field = name.partition(".")
    found = getattr(importlib.import_module(module), owner)
    if field:
        fields = getattr(found, "model_fields", None) or found.__dataclass_fields__
        found = fields[field].default
    return found.total_seconds() if isinstance(found, timedelta) else found


def plain(page: str) -> str:
    [path] = DOCS.glob(f"{page}-*.md") if page.startswith("decisions/") else [DOCS / page]
    return re.sub(r"\s+", " ", path.read_text())


SIGNALS, POLLERS, APPROVALS, FOLLOWING = (
    "decisions/0001",
    "decisions/0003",
    "decisions/0004",
    "decisions/0007",
)
LARGE, ADOPTION, AUTHORS = (
    "decisions/0013",
    "decisions/0016",
    "decisions/0017",
)
FAILING, DOORS, TOKENS = (
    "decisions/0022",
    "decisions/0023",
    "decisions/0024",
)
ACCOUNTS, LOOPS, RELEASE = (
    "decisions/0025",
    "decisions/0028",
    "decisions/0030",
)
ENGINE, DOMAIN, SERVICES = "orchestrator.engine", "orchestrator.domain", "orchestrator.services"
KIB = 1024
# Page, sentence with a place for the number, constant, and the unit of the page: `KIB`, 3600, or "word".
SENTENCES: list[tuple[str, str, str, int | str]] = [
    (SIGNALS, "of at most {} KiB", f"{DOMAIN}.signals:MAX_INPUT_BYTES", KIB),
    (SIGNALS, "after {} seconds the response is 202", f"{SERVICES}.jobs.controls:_LANDING_SECONDS", "word"),
    (
        "decisions/0002",
        "rows older than {} s",
        f"{DOMAIN}.commands:ReconcileRequest.grace",
        1,
    ),
    (POLLERS, "a queue without pollers is unknown for {} seconds", f"{ENGINE}.pollers:_RETURNING", "word"),
    (APPROVALS, "({} days by default)", f"{DOMAIN}.plans:Approval.timeout", 86_400),
    (FOLLOWING, "one request every {} seconds finds out", f"{ENGINE}.pollers:_POLL_SECONDS", "word"),
    (FOLLOWING, "Every {} seconds they read the job", f"{SERVICES}.jobs.follower:_REREAD_SECONDS", 1),
    (
        "decisions/0009",
        "at most {} seconds",
        "orchestrator.storage.database:BUSY_TIMEOUT_MS",
        "ms",
    ),
    (LARGE, "payloads over {} KiB", f"{DOMAIN}.values:INLINE_BYTES", KIB),
    (LARGE, "until {} KiB are left", f"{DOMAIN}.values:LEFT_BYTES", KIB),
    (LARGE, "has sent {} MiB inline", f"{ENGINE}.values:_MESSAGE_BYTES", KIB * KIB),
    (LARGE, "parts over {} KiB are stored", f"{DOMAIN}.values:PART_BYTES", KIB),
    (ADOPTION, "waits {} seconds for it", f"{SERVICES}.jobs.adoption:_INDEX_TIMEOUT_SECONDS", "word"),
    (AUTHORS, "gets {} pings in", "orchestrator.runtime.bulkhead:_PINGS", "word"),
    (AUTHORS, "With {} such threads alive", "orchestrator.runtime.bulkhead:_MAX_ABANDONED", "word"),
    (
        "decisions/0018",
        "more than {} levels",
        f"{DOMAIN}.text:MAX_LEVELS",
        1,
    ),
    (
        "decisions/0019",
        "The heartbeat limit is {} s",
        f"{DOMAIN}.plans:Timeouts.heartbeat",
        1,
    ),
    (
        "decisions/0019",
        "| yes | {}, then `worker_lost` |",
        f"{DOMAIN}.tally:LOST_LIMIT",
        1,
    ),
    ("decisions/0019", "{} stops in a row", f"{DOMAIN}.tally:STOPPED_LIMIT", "word"),
    (FAILING, "without an answer after {} s", "orchestrator.network.circuit_breaker:_DOUBT", 1),
    (FAILING, "For {} seconds after the return", f"{ENGINE}.pollers:_RETURNING", "word"),
    (FAILING, "Its deadline of {} seconds stays", "orchestrator.storage.database:DEADLINE", "word"),
    (DOORS, "is read once in {} seconds", f"{SERVICES}.access.credential_cache:LIFETIME", 1),
    (TOKENS, "A call on a framework counts as {} answers", f"{DOMAIN}.budgets:_FRAMEWORK_CALLS", 1),
    (TOKENS, "after {} s the call runs without a claim", "activities.budgets:INDEX_TIMEOUT_SECONDS", 1),
    (TOKENS, "repeats after 1 to {} s", f"{DOMAIN}.tally:_MAX_TOKEN_WAIT", 1),
    (ACCOUNTS, "cached for {} seconds", f"{SERVICES}.access.credential_cache:LIFETIME", 1),
    (ACCOUNTS, "sockets check every {} seconds", f"{SERVICES}.access.authentication:RECHECK_SECONDS", 1),
    (ACCOUNTS, "{} per process", f"{SERVICES}.access.audit:_MAX_OF_ALL", 1),
    (ACCOUNTS, "{} per address and minute", f"{SERVICES}.access.audit:_MAX_OF_CLIENT", "word"),
    (LOOPS, "anything within {} seconds", f"{ENGINE}.contained_runner:_YIELD_SECONDS", "word"),
    (LOOPS, "A call survives {} stops in a row", f"{DOMAIN}.tally:STOPPED_LIMIT", "word"),
    (LOOPS, "at most {} times", f"{DOMAIN}.tally:HELD_LIMIT", "word"),
    (LOOPS, "is offered {} times, once per second", f"{DOMAIN}.tally:_QUICK_OFFERS", "word"),
    (
        LOOPS,
        "{} seconds after its work is done it exits",
        "orchestrator.commandline.server.process:CLOSE_SECONDS",
        "word",
    ),
    (RELEASE, "The response must begin within {} s", f"{ENGINE}.server_release:CONNECT_SECONDS", 1),
    (RELEASE, "each later read within {} s", f"{ENGINE}.server_release:_READ_SECONDS", 1),
    ("function-agents.md", "{} seconds to clean up", "orchestrator.runtime.bulkhead:_CLEAN_UP_SECONDS", 1),
    ("function-agents.md", "after 30 seconds ({} at most)", "activities.errors:MAX_RETRY_AFTER", 1),
    ("authoring.md", "run in a thread for at most {} seconds", "orchestrator.runtime.inputs:SECONDS", "word"),
    ("function-agents.md", "Error types are cut to {} characters", f"{DOMAIN}.text:NAME_LIMIT", 1),
    ("function-agents.md", "messages to {}.", f"{DOMAIN}.text:MESSAGE_LIMIT", 1),
    ("frameworks.md", "A graph has at most {} nodes", "orchestrator.frameworks.langgraph:_NODE_LIMIT", 1),
    ("frameworks.md", "in which it made its {}th", "orchestrator.frameworks.langgraph:_CALL_LIMIT", 1),
    ("frameworks.md", "is killed within {} seconds", "orchestrator.frameworks.process:_GRACE", "word"),
    ("webhooks.md", "`no connection within {} s`", "orchestrator.delivery.connections:CONNECT_SECONDS", 1),
    ("webhooks.md", "the resolver did not respond within {} s", "orchestrator.delivery.look_ups:_TIMEOUT", 1),
    ("webhooks.md", "{} at a time per account", "orchestrator.delivery.look_ups:MAXIMUM", "word"),
    ("security.md", "{} entries a minute per address", f"{SERVICES}.access.audit:_MAX_OF_CLIENT", "word"),
    ("operating.md", "acts on {} jobs at a time", "orchestrator.commandline.jobs.bulk:_AT_ONCE", "word"),
    ("operating.md", "sent no heartbeat for {} s", "orchestrator.projection.reason:_MISSED_HEARTBEATS", 1),
    ("operating.md", "and {} others in turn", f"{SERVICES}.jobs.reconciler:_MAX_RUNNING_CHECKS", 1),
    ("operating.md", "in transactions of {},", f"{SERVICES}.jobs.retention:_BATCH", 1),
    ("operating.md", "from the index at most every {} seconds", f"{SERVICES}.reports.figures:CACHE_TIME", 1),
    ("operating.md", "without progress for {} minutes", f"{SERVICES}.reports.figures:STALLED", 60),
    ("operating.md", "elsewhere {} KiB", "api.middleware:SMALL_BODY_BYTES", KIB),
    ("operating.md", "URL, query included | {} KiB", "api.hardening:ApiOptions.max_url_bytes", KIB),
    ("operating.md", "| {} parameters | 400 |", "api.hardening:ApiOptions.max_query_parameters", 1),
    ("operating.md", "headers, all together | {} KiB", "api.hardening:ApiOptions.max_header_bytes", KIB),
    (
        "operating.md",
        "over {} KiB the connection is cut",
        "orchestrator.commandline.server.http_protocol:MAX_HEAD_BYTES",
        KIB,
    ),
    ("operating.md", "a body on its way | {} s", "api.hardening:ApiOptions.body_seconds", 1),
    ("operating.md", "admins apart | {} open at once", "api.connections:ConnectionLimits.owner", 1),
    ("operating.md", "from one address | {} open at once", "api.connections:ConnectionLimits.address", 1),
    ("operating.md", "file descriptors less {},", "api.connections:_RESERVED", 1),
    ("api.md", "the text of 50 ms or {} characters", "orchestrator.runtime.answer_text:GATHER_CHARACTERS", 1),
    (
        "api.md",
        "a frame of the client was larger than {} MiB",
        "orchestrator.commandline.server.http_server:_MAX_FRAME",
        KIB * KIB,
    ),
    ("api.md", "A client may send {} frames a minute", "api.sockets:SocketLimits.frames_per_minute", 1),
    ("api.md", "sends the events of up to {} jobs", "api.sockets:SocketLimits.subscriptions", 1),
    ("api.md", "no frame of the client for {} minutes", "api.sockets:SocketLimits.idle", 60),
    ("api.md", "while {} frames (or 4 MiB) waited", "api.sockets:SocketLimits.waiting_frames", 1),
    ("api.md", "A comment every {} seconds", "api.streaming:KEEP_ALIVE_SECONDS", 1),
    ("api.md", "a message in Temporal | {} KiB", f"{DOMAIN}.values:INLINE_BYTES", KIB),
    ("api.md", "webhooks of an account | {},", f"{DOMAIN}.rows:MAX_WEBHOOKS", 1),
    ("api.md", "valid API keys of an account | {} |", f"{DOMAIN}.rows:MAX_KEYS", 1),
    ("api.md", "with a message within an hour | {} |", f"{DOMAIN}.rows:MAX_SESSIONS", 1),
    ("api.md", "one attempt of an agent call | {} seconds", f"{DOMAIN}.plans:Timeouts.start_to_close", 1),
    ("api.md", "attempts of the agent within {} seconds", f"{DOMAIN}.plans:Timeouts.schedule_to_close", 1),
    ("api-chat.md", "the last {} turns", f"{DOMAIN}.conversations:MAX_REMEMBERED", 1),
    ("api-chat.md", "{} waiting messages per session", f"{DOMAIN}.conversations:MAX_WAITING", "word"),
    ("api-devskyy.md", "After {} seconds the answer is 503", f"{SERVICES}.jobs.decisions:DECISION_TIMEOUT_SECONDS", 1),
    (
        "api-devskyy.md",
        "the bootstrap password, if one is set, has {} characters",
        f"{SERVICES}.reports.deployment:SHORTEST_PASSWORD",
        1,
    ),
    ("api-agentorchestra.md", "has at most {} KiB as JSON", f"{DOMAIN}.rows:ROW_BYTES", KIB),
]


def shown(number: float, unit: int | str) -> str:
    match unit:
        case "word":
            return WORDS[int(number)]
        case "ms":
            return WORDS[int(number) // 1000]
        case int():
            return f"{number / unit:g}"
        case _:
            raise ValueError(unit)


@pytest.mark.parametrize(("page", "sentence", "place", "unit"), SENTENCES, ids=lambda each: str(each)[:40])
def test_the_page_states_the_number_of_the_code(page: str, sentence: str, place: str, unit: int | str) -> None:
    stated = sentence.format(shown(value(place), unit))
    assert stated.casefold() in plain(page).casefold(), f"{page} does not say {stated!r}, as {place}"
