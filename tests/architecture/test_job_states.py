"""`JobState` alone knows which states are open, succeeded or failed; every mapping of states has each of them."""

import ast
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

from api.dialects.agentorchestra import mapping as agentorchestra
from api.dialects.agentorchestra.models import ExecutionStatus
from api.dialects.orchestrator import mapping as sessions
from api.dialects.orchestrator.models import SessionStatus
from api.v1.jobs import JobQuery
from orchestrator.commandline.jobs.table import STYLES
from orchestrator.domain import facts as f
from orchestrator.domain.jobs import JobState, JobStatus
from orchestrator.domain.webhooks import SUBSCRIBABLE, events_of
from orchestrator.projection.events import end_event
from orchestrator.projection.job import JobFold
from tests.unit.histories import History, job_input, step

ROOT = Path(__file__).parents[2]
ROOMS = ("activities", "api", "orchestrator", "workflows")
HOME = ROOT / "orchestrator/domain/jobs.py"
AGENT = "agent_" + "0" * 32
STATES = {state.name for state in JobState}
STATE_FIELDS = {"start_state", "state"}
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

ENDS: dict[type[f.Fact], dict[str, Any]] = {
    f.RunCompleted: {"result": {}},
    f.RunFailed: {"error": f.JobError(type="x", message="y")},
    f.RunTimedOut: {},
    f.RunCancelled: {},
    f.RunTerminated: {"reason": "", "identity": ""},
}


def ended(kind: type[f.Fact]) -> JobFold:
    history = History(job_input(step("a", "writer"))).task()
    history.add(kind, **ENDS[kind])
    fold = JobFold("job_1")
    for fact in history.facts:
        fold.apply(fact)
    return fold


@pytest.mark.parametrize("state", JobState)
def test_a_state_is_open_or_succeeded_or_failed_or_cancelled(state: JobState) -> None:
    groups = (state.open, state.succeeded, state.failed, state.status is JobStatus.CANCELLED)
    assert sum(groups) == 1
    assert state.terminal is not state.open
    assert state.retryable is (state.terminal and not state.succeeded)


@pytest.mark.parametrize("state", JobState)
def test_every_surface_has_a_word_for_every_state(state: JobState) -> None:
    assert sessions.status_of(state) in get_args(SessionStatus)
    assert agentorchestra.status_of(state) in get_args(ExecutionStatus)
    assert state in agentorchestra.states_of(agentorchestra.status_of(state))
    assert STYLES[state.lower()]
    assert STYLES[state.status]


def test_the_list_filters_by_every_public_status() -> None:
    (words, _) = get_args(JobQuery.model_fields["status"].annotation)
    assert set(get_args(words)) == set(JobStatus)


@pytest.mark.parametrize("state", [state for state in JobState if state.terminal])
def test_every_end_is_an_event_of_the_stream_and_of_webhooks(state: JobState) -> None:
    assert set(events_of(state, None)) | set(events_of(state, AGENT)) <= set(SUBSCRIBABLE)
    job = ended(f.RunFailed).job().model_copy(update={"state": state})
    event = end_event(job)
    assert event.type.terminal
    assert event.name == f"job.{state.lower()}"
    assert (agentorchestra.log_line(event).level == "FATAL") is state.failed


def test_every_terminal_state_is_reached_from_history() -> None:
    assert ENDS.keys() == set(f.RUN_ENDS)
    assert {ended(kind).state for kind in ENDS} == {state for state in JobState if state.terminal}


def named_states(node: ast.AST) -> set[str]:
    """The members of `JobState` that a piece of code names."""
    return {
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "JobState"
    }


def restated(tree: ast.AST) -> Iterator[int]:
    """Lines that group states by themselves: displays, `or` chains, and mappings without some of the states."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Set | ast.Tuple | ast.List | ast.BoolOp | ast.MatchOr):
            parts = getattr(node, "elts", None) or getattr(node, "values", None) or getattr(node, "patterns", [])
            if sum(bool(named_states(part)) for part in parts) > 1:
                yield node.lineno
        if isinstance(node, ast.Dict):
            keys = {name for key in node.keys if isinstance(key, ast.Attribute) for name in named_states(key)}
            if keys and keys != STATES:
                yield node.lineno


def bare_comparisons(tree: ast.AST) -> Iterator[int]:
    """Lines that compare a state with a bare string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            state = any(isinstance(side, ast.Attribute) and side.attr in STATE_FIELDS for side in sides)
            parts = [part for side in sides for part in (side, *getattr(side, "elts", ()))]
            if state and any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in parts):
                yield node.lineno


@cache
def tree_of(path: Path) -> ast.AST:
    return ast.parse(path.read_text())


def places(rule: Callable[[ast.AST], Iterator[int]]) -> list[str]:
    return [f"{path.relative_to(ROOT)}:{line}" for path in SOURCES if path != HOME for line in rule(tree_of(path))]


def test_no_room_groups_states_by_itself() -> None:
    """Use `state.open`, `.succeeded`, `.failed` or a set such as `OPEN_STATES` of `orchestrator.domain.jobs`."""
    assert places(restated) == []


def test_no_state_is_compared_with_a_bare_string() -> None:
    assert places(bare_comparisons) == []


def built_jobs(tree: ast.AST) -> Iterator[int]:
    """Lines that build a `Job` field by field."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Job":
            yield node.lineno


def test_a_job_is_built_by_its_input_alone() -> None:
    (place,) = places(built_jobs)
    assert place.startswith("orchestrator/domain/commands.py:")


@pytest.mark.parametrize(
    "code",
    [
        "x in (JobState.FAILED, JobState.TIMEOUT)",
        "{JobState.FAILED, JobState.TIMEOUT}",
        "x is JobState.FAILED or x is JobState.TIMEOUT",
        "{JobState.FAILED: 1}",
        "match x:\n    case JobState.FAILED | JobState.TIMEOUT: pass",
    ],
)
def test_the_rule_finds_groups(code: str) -> None:
    assert list(restated(ast.parse(code)))


@pytest.mark.parametrize("code", ["row.start_state == 'started'", "'A' != job.state", "row.state in ('A', 'B')"])
def test_the_rule_finds_bare_strings(code: str) -> None:
    assert list(bare_comparisons(ast.parse(code)))


def test_a_misspelt_field_of_a_job_is_refused() -> None:
    with pytest.raises(TypeError, match="closd_at"):
        job_input(step("a", "writer")).job(state=JobState.PENDING, progress=0, created_at=datetime.now(UTC), closd_at=1)
