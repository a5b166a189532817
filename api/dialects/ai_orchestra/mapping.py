"""Pure mapping between messages and turns, checks and health (A-013, A-014, A-026, A-028)."""

from collections.abc import Sequence
from typing import Any, Final

from api.dialects.ai_orchestra.models import ChatData, ChatMetadata, ChatRequest, Health, Readiness, Step
from orchestrator.domain.findings import Finding
from orchestrator.domain.jobs import Job
from orchestrator.domain.labels import JobLabel
from orchestrator.services.chat.conversations import ChatMessage, Turn

SYSTEM_VERSION: Final = "2.0.0"
# The check behind each component of the document.
_COMPONENTS: Final = {
    "orchestra_manager": "temporal",
    "command_dispatcher": "worker",
    "memory_system": "database",
    "swarm_intelligence": "models",
}
_VITAL: Final = frozenset({"temporal", "worker"})


def to_message(request: ChatRequest, session_id: str, request_id: str | None) -> ChatMessage:
    """Return the message of a request."""
    return ChatMessage(
        text=request.message,
        session_id=session_id,
        mode=request.optimization_mode,
        swarm=request.swarm_type,
        use_memory=request.use_memory,
        user_context=request.user_context,
        request_id=request_id,
    )


def from_turn(turn: Turn) -> ChatData:
    """Return the answer of a turn."""
    job = turn.job
    return ChatData(
        response=turn.answer,
        session_id=turn.session_id,
        execution_mode=job.labels[JobLabel.MODE],
        quality_score=turn.score,
        execution_time=round(turn.seconds, 3),
        metadata=ChatMetadata(
            tokens_used=job.usage.total_tokens,
            model=turn.model,
            processing_steps=steps(job),
            job_id=job.id,
            cost=job.usage.cost,
            notes=list(turn.notes),
        ),
    )


def steps(job: Job) -> list[Step]:
    """Return every agent call of a job, in the plan's order."""
    return [
        Step(
            step=call.step,
            agent=call.agent,
            status=call.status,
            duration=None if call.duration is None else round(call.duration, 3),
        )
        for call in job.calls
    ]


def health(checks: Sequence[Finding], uptime: float) -> Health:
    """Return the state of the components and of the whole system."""
    ok = {finding.check: finding.ok for finding in checks}
    components: dict[str, Any] = {
        name: "healthy" if ok.get(check, False) else "degraded" for name, check in _COMPONENTS.items()
    }
    return Health(
        status="healthy" if all(ok.get(name, False) for name in _VITAL) else "unhealthy",
        version=SYSTEM_VERSION,
        uptime=round(uptime, 1),
        components=components,
    )


def readiness(checks: Sequence[Finding]) -> Readiness:
    """Return the readiness. The cache is optional: without it each process has its own limits and token streams."""
    ok = {finding.check: finding.ok for finding in checks}
    components = {
        "database": ok.get("database", False),
        "cache": ok.get("cache", True),
        "external_services": ok.get("temporal", False) and ok.get("worker", False),
    }
    return Readiness(ready=components["database"] and components["external_services"], checks=components)
