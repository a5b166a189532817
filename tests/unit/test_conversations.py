"""What a conversation remembers, who answers it, and how its wire models read both versions."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from api.dialects.ai_orchestra import mapping
from api.dialects.ai_orchestra.frames import Chat, Command, Control, parsed
from api.dialects.ai_orchestra.models import ChatRequest
from orchestrator.agents.chat import MEMBERS, Judgement, chat_plan, definition_id
from orchestrator.agents.registry import AGENTS
from orchestrator.domain.commands import AgentResult, JobInput
from orchestrator.domain.conversations import (
    MAX_REMEMBERED,
    MEMORY_BYTES,
    Memory,
    Mode,
    Swarm,
    conversation_id,
    turn_job_id,
)
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.findings import Finding
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobState
from orchestrator.domain.results import assemble
from orchestrator.domain.webhooks import WebhookEvent, events_of
from orchestrator.plugins import BUILT_IN, build_catalogue
from orchestrator.runtime.offline.fields import FieldFiller
from orchestrator.runtime.offline.subject import Subject
from tests.ledger import ledger

AT = datetime(2026, 1, 5, 9, tzinfo=UTC)
EVERY = [(swarm, mode) for swarm in Swarm for mode in Mode]


def remembered(turns: int, text: str = "x") -> Memory:
    memory = Memory()
    for number in range(turns):
        memory = memory.with_turn(f"job_{number}", AT, f"{number} {text}", text)
    return memory


def test_memory_keeps_the_last_turns_in_order() -> None:
    turns = remembered(MAX_REMEMBERED + 5).turns
    assert [turn.message for turn in turns] == [f"{number} x" for number in range(5, MAX_REMEMBERED + 5)]


@pytest.mark.parametrize(
    "text", ["a" * 40_000, "\N{PILE OF POO}" * 40_000, "\x00\n" * 20_000], ids=["a", "wide", "control"]
)
def test_memory_is_bounded_whatever_is_said(text: str) -> None:
    memory = remembered(30, text)
    assert 1 <= len(memory.turns) < 30
    assert len(memory.model_dump_json()) <= MEMORY_BYTES + 100 or len(memory.turns) == 1


def test_a_turn_is_remembered_once() -> None:
    memory = remembered(2)
    assert memory.with_turn("job_1", AT, "again", "again") == memory


@ledger("C-30", "A-015")
def test_a_session_belongs_to_its_owner_and_is_no_job() -> None:
    assert conversation_id("a", "s") != conversation_id("b", "s")
    assert conversation_id("a", "bs") != conversation_id("ab", "s")
    assert conversation_id("a", "s").startswith("conv_")


def test_a_request_leads_to_one_job() -> None:
    first = turn_job_id("me", "s", "r", "d")
    assert first == turn_job_id("me", "s", "r", "d")
    others = [("you", "s", "r", "d"), ("me", "t", "r", "d"), ("me", "s", "q", "d"), ("me", "s", "r", "e")]
    assert first not in {turn_job_id(*other) for other in others}


@ledger("A-013")
@pytest.mark.parametrize(("swarm", "mode"), EVERY)
def test_every_swarm_and_mode_has_a_plan_of_real_agents(swarm: Swarm, mode: Mode) -> None:
    catalogue = build_catalogue([BUILT_IN])
    plan, answering, judging = chat_plan(swarm, mode)
    listed = {agent.id for agent in AGENTS}
    drafting = {agent for step in plan.steps if not step.needs for agent in step.agents}
    assert drafting <= set(MEMBERS[swarm]) <= listed
    for _, agent in plan.calls():
        catalogue.agent(agent)
    assert plan.step(answering) == plan.steps[-1]
    assert (judging is None) == (mode is Mode.LITE)
    assert definition_id(swarm, mode) not in catalogue.workflows
    assert len(plan.calls()) == {Mode.LITE: 1, Mode.BALANCED: 2, Mode.QUALITY: 5}[mode] + (
        swarm is Swarm.CODING_DEBATE and mode is Mode.BALANCED
    )


def test_hidden_agents_are_not_listed() -> None:
    catalogue = build_catalogue([BUILT_IN])
    assert len(catalogue.agents) == 28
    assert len(catalogue.workflows) == 10
    assert {"chat_reviewer", "chat_merger", "chat_judge"} <= catalogue.unlisted.keys()


def test_the_offline_drafter_judges_nothing() -> None:
    subject = Subject(name="x", about="x", points=(), stack=(), notes=(), earlier=())
    fields = FieldFiller(Judgement.model_json_schema(), subject).fields(
        leave=frozenset({"summary", "output", "deliverables", "findings"})
    )
    assert fields == {"score": None, "verdict": "not_judged"}


@pytest.mark.parametrize("score", [-0.1, 1.1, "good"])
def test_a_score_lies_between_nothing_and_one(score: Any) -> None:
    with pytest.raises(ValidationError):
        Judgement(summary="s", output="o", score=score)


def test_the_answer_of_a_plan_is_the_jobs_output() -> None:
    plan, answer, _ = chat_plan(Swarm.CODING_TEAM, Mode.BALANCED)
    job = JobInput(
        job_id="wf_job_1",
        kind=JobKind.WORKFLOW,
        definition="d",
        name="n",
        owner="o",
        input={},
        plan=plan,
        answer=answer,
    )
    draft = AgentResult(step="draft", agent="backend_developer", summary="s", output="drafted", model="m")
    review = AgentResult(
        step="review", agent="chat_reviewer", summary="s", output="reviewed", model="m", data={"score": 0.5}
    )
    result = assemble(job, [draft, review], {}, AT)
    assert (result.output, result.metadata["data"]) == ("reviewed", {"review.chat_reviewer": {"score": 0.5}})
    plain = assemble(job.model_copy(update={"answer": None}), [draft, review], {}, AT)
    assert plain.output.startswith("# n")
    assert "data" not in plain.metadata


@ledger("C-52")
@pytest.mark.parametrize(
    ("state", "subject", "report"),
    [
        (JobState.COMPLETED, "conv_1", [WebhookEvent.JOB_COMPLETED, WebhookEvent.CHAT_COMPLETED]),
        (JobState.COMPLETED, "agent_1", [WebhookEvent.JOB_COMPLETED]),
        (JobState.COMPLETED, None, [WebhookEvent.JOB_COMPLETED]),
        (JobState.FAILED, "conv_1", [WebhookEvent.JOB_FAILED]),
    ],
)
def test_the_end_of_a_turn_is_reported_by_its_own_name_too(
    state: JobState, subject: str | None, report: list[str]
) -> None:
    assert events_of(state, subject) == report


@ledger("A-005", "A-018")
def test_the_body_of_version_1_is_recognised() -> None:
    old = ChatRequest.model_validate({"text": "Hello", "sessionId": "123"})
    assert (old.message, old.session_id, old.optimization_mode, old.version) == ("Hello", "123", "balanced", "v1")
    mixed = ChatRequest.model_validate({"text": "Hello", "session_id": "123", "optimization_mode": "lite"})
    assert (mixed.session_id, mixed.optimization_mode, mixed.version) == ("123", "lite", "v1")
    new = ChatRequest.model_validate({"message": "Hello", "text": "not me", "session_id": "123"})
    assert (new.message, new.version) == ("Hello", "v2")


@ledger("A-020", "A-021", "A-022", "A-023")
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"type": "chat", "data": {"message": "Hello AI", "context": {}}}', Chat),
        ('{"type": "command", "data": {"command": "help"}, "timestamp": "2026-01-05T09:00:00Z"}', Command),
        ('{"type": "control", "data": {"action": "ping"}}', Control),
    ],
)
def test_a_frame_is_read(text: str, kind: type) -> None:
    assert isinstance(parsed(text, 1000), kind)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"\x00", "frame"),
        ("x", "frame"),
        ("[]", "frame"),
        ('{"data": {}}', "type"),
        ('{"type": "shout", "data": {}}', "type"),
        ('{"type": "chat"}', "data"),
        ('{"type": "chat", "data": {}}', "message"),
        ('{"type": "chat", "data": {"message": ""}}', "message"),
        ('{"type": "command", "data": {"command": "rm"}}', "command"),
        ('{"type": "chat", "data": {"message": "%s"}}' % ("x" * 2000), "frame"),
    ],
)
def test_what_is_no_frame_says_where(raw: str | bytes, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parsed(raw, 1000)
    assert refused.value.details["field"] == field


@ledger("A-027")
@pytest.mark.parametrize(
    ("down", "status"),
    [
        (None, "healthy"),
        ("database", "healthy"),
        ("models", "healthy"),
        ("worker", "unhealthy"),
        ("temporal", "unhealthy"),
    ],
)
def test_a_degraded_component_does_not_make_the_whole_unhealthy(down: str | None, status: str) -> None:
    checks = [
        Finding.of(name, ok=name != down, message="") for name in ("temporal", "database", "worker", "cache", "models")
    ]
    answer = mapping.health(checks, 1.0)
    assert answer.status == status
    assert sum(value == "degraded" for value in answer.components.values()) == (0 if down is None else 1)


@pytest.mark.parametrize(
    ("down", "ready"), [("cache", True), ("database", False), ("temporal", False), ("worker", False)]
)
def test_without_its_cache_the_system_is_ready(down: str, ready: bool) -> None:
    checks = [
        Finding.of(name, ok=name != down, message="") for name in ("temporal", "database", "worker", "cache", "models")
    ]
    assert mapping.readiness(checks).ready is ready
