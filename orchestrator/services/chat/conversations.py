"""Chat: each message is answered by a job; the session is an entity workflow (A11, A-013 to A-015)."""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final

from orchestrator.agents.chat import REVIEWER, chat_plan, definition_id
from orchestrator.domain import names
from orchestrator.domain.access import Principal
from orchestrator.domain.commands import Control, JobInput, Recorded
from orchestrator.domain.conversations import (
    SURFACE,
    ConversationInput,
    Memory,
    Mode,
    Swarm,
    TurnRequest,
    TurnResult,
    conversation_id,
    turn_job_id,
)
from orchestrator.domain.deltas import Delta
from orchestrator.domain.errors import (
    DeadlineExceeded,
    LimitExceeded,
    NotFound,
    PayloadTooLarge,
    StepFailed,
    WrongState,
)
from orchestrator.domain.ids import JobKind, job_id
from orchestrator.domain.jobs import AgentCall, Job, JobState
from orchestrator.domain.labels import JobLabel
from orchestrator.domain.names import OFFLINE_MODEL
from orchestrator.domain.ports import ConversationLog, DeltaBus
from orchestrator.engine.conversations import ConversationGateway
from orchestrator.services.access.quotas import Quotas
from orchestrator.services.jobs.models import ModelCheck
from orchestrator.services.jobs.output import JobOutputs
from orchestrator.services.jobs.reader import JobReader

MAX_CONTEXT_BYTES: Final = 64 * 1024
_LIMITS: Final = ("concurrent_jobs", "monthly_tokens", "sessions")  # Limits for which a turn may be refused.
_NOBODY_JUDGED: Final = "quality_score is null: in lite mode nothing judges the answer."
_NOT_JUDGED: Final = "quality_score is null: the reviewing agent did not score the answer."
_DRAFTED: Final = (
    "quality_score is null: no model provider is configured, and the offline drafter cannot judge. "
    "The answer is an offline draft, not a model's."
)
_OF_DRAFTS: Final = (
    "quality_score is the review's own, of the best draft, before that was corrected or merged into the answer."
)


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A message of a client. The client chooses `request_id`: the same id with the same message is the same turn."""

    text: str
    session_id: str
    mode: Mode
    swarm: Swarm
    use_memory: bool = False
    user_context: dict[str, Any] = field(default_factory=dict)
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One answered message. `seconds` is the duration of its job, `score` that of the review, None without a review."""

    job: Job
    session_id: str
    answer: str
    model: str | None
    score: float | None
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AcceptedMessage:
    """A message that is accepted: the job that will answer it, and the request to its conversation."""

    job_id: str
    request: TurnRequest
    conversation: ConversationInput


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Conversations:
    """Sessions, each of one owner. Errors name the job, if there is one."""

    gateway: ConversationGateway
    records: ConversationLog
    bus: DeltaBus
    _: KW_ONLY
    quotas: Quotas
    models: ModelCheck
    reader: JobReader
    outputs: JobOutputs
    idle: float
    patience: float
    job_timeout: float | None
    new_id: Callable[[], str]

    async def begin(self, principal: Principal, message: ChatMessage) -> AcceptedMessage:
        """Check a message and the caller's limits. Starts nothing.

        Raises `PayloadTooLarge`, `ModelNotConfigured`, `LimitExceeded`, `Unavailable`.
        """
        job = self.quotas.within_budget(principal, self._job(principal, message))
        self.models.check(job)
        await self._check_limits(principal, job.job_id)
        request = TurnRequest(
            job=job,
            request_hash=_digest(message),
            use_memory=message.use_memory,
            job_timeout=self.job_timeout,
            most_open=self.quotas.limits(principal).concurrent_jobs,
        )
        return AcceptedMessage(job.job_id, request, self._conversation(principal, message.session_id))

    async def answer(self, principal: Principal, turn: AcceptedMessage) -> Turn:
        """The answer to a message, after the answers to all earlier messages of its session.

        Raises `DeadlineExceeded` if it takes longer than the server waits (the turn continues), `StepFailed` and
        `WrongState` if the turn's job failed or was cancelled, `LimitExceeded`, `Unavailable`.
        """
        try:
            result = await self._result(turn)
        except DeadlineExceeded as error:
            raise DeadlineExceeded(
                f"{error.message}. Job {turn.job_id} continues", job_id=turn.job_id, retry_after=error.retry_after
            ) from None
        if not result.state.succeeded:
            raise _failure(result)
        job = await self.reader.get(principal, result.job_id)
        return await self._turn(turn, job)

    async def _check_limits(self, principal: Principal, job_id: str) -> None:
        """Refuse early: the turn itself takes the slot. A message that has its job already is not refused."""
        try:
            await self.quotas.check_tokens(principal)
            await self.quotas.check_jobs(principal)
        except LimitExceeded as error:
            try:
                await self.reader.get(principal, job_id)
            except NotFound:
                raise error from None

    async def _result(self, turn: AcceptedMessage) -> TurnResult:
        try:
            return await self._ask(turn, turn.job_id)
        except LimitExceeded as error:
            if error.details["limit"] not in _LIMITS:
                raise
        # Temporal stores the refusal of an update: it may answer an earlier request for the same turn. Ask once more.
        return await self._ask(turn, f"{turn.job_id}.{self.new_id()}")

    async def _ask(self, turn: AcceptedMessage, update_id: str) -> TurnResult:
        return await self.gateway.ask(
            turn.conversation,
            names.UPDATE_TURN,
            turn.request,
            TurnResult,
            update_id=update_id,
            seconds=self.patience,
        )

    async def stream(self, principal: Principal, turn: AcceptedMessage) -> AsyncGenerator[Delta | Turn]:
        """The text of the answer as the agent writes it, then the turn. Raises as `answer` does."""
        step = turn.request.job.answer
        deltas = self.bus.subscribe(turn.job_id)
        piece = asyncio.ensure_future(anext(deltas))
        await asyncio.sleep(0)  # subscribe before the turn can write text
        answering = asyncio.ensure_future(self.answer(principal, turn))
        try:
            while not answering.done():
                await asyncio.wait({piece, answering}, return_when=asyncio.FIRST_COMPLETED)
                if piece.done():
                    delta = piece.result()
                    piece = asyncio.ensure_future(anext(deltas))
                    if delta.step == step:
                        yield delta
            yield answering.result()
        finally:
            for task in (piece, answering):
                task.cancel()
            await asyncio.gather(piece, answering, return_exceptions=True)
            await deltas.aclose()

    async def history(self, principal: Principal, session_id: str) -> Memory:
        """The memory of a session. Raises `Unavailable`."""
        return await self.records.recall(conversation_id(principal.id, session_id))

    async def reset(self, principal: Principal, session_id: str) -> None:
        """Clear the memory of a session, after its running turns. Raises `DeadlineExceeded`, `Unavailable`."""
        await self.gateway.ask(
            self._conversation(principal, session_id),
            names.UPDATE_RESET,
            Control(actor=principal.id),
            Recorded,
            update_id=self.new_id(),
            seconds=self.patience,
        )

    def _conversation(self, principal: Principal, session_id: str) -> ConversationInput:
        return ConversationInput(
            conversation_id=conversation_id(principal.id, session_id),
            owner=principal.id,
            session_id=session_id,
            idle=self.idle,
        )

    def _job(self, principal: Principal, message: ChatMessage) -> JobInput:
        if len(json.dumps(message.user_context).encode()) > MAX_CONTEXT_BYTES:
            expected = f"at most {MAX_CONTEXT_BYTES} bytes"
            raise PayloadTooLarge("user_context is too large", field="user_context", expected=expected)
        plan, answer, _ = chat_plan(message.swarm, message.mode)
        return JobInput(
            job_id=self._job_id(principal, message),
            kind=JobKind.WORKFLOW,
            definition=definition_id(message.swarm, message.mode),
            name=f"Chat: {message.swarm}, {message.mode}",
            owner=principal.id,
            input={"message": message.text, "user_context": message.user_context},
            plan=plan,
            answer=answer,
            subject=conversation_id(principal.id, message.session_id),
            labels={
                JobLabel.SURFACE: SURFACE,
                JobLabel.SESSION_ID: message.session_id,
                JobLabel.MODE: f"{message.swarm}/{message.mode}",
            },
            reports_end=True,
        )

    def _job_id(self, principal: Principal, message: ChatMessage) -> str:
        if message.request_id is None:
            return job_id(JobKind.WORKFLOW, self.new_id())
        return turn_job_id(principal.id, message.session_id, message.request_id, _digest(message))

    async def _turn(self, turn: AcceptedMessage, job: Job) -> Turn:
        swarm, _, mode = job.labels[JobLabel.MODE].partition("/")
        _, answering, judging = chat_plan(Swarm(swarm), Mode(mode))
        calls = {call.step: call for call in job.calls}
        call = calls[answering]
        output = await self.outputs.of_job(job)
        score, notes = _score(job, calls.get(judging or ""))
        return Turn(
            job=job,
            session_id=turn.conversation.session_id,
            answer=_full_answer(output, call),
            model=call.model,
            score=score,
            seconds=job.duration or 0.0,
            notes=notes,
        )


def _full_answer(output: dict[str, Any], call: AgentCall) -> str:
    """The full answer. For a very long answer, the `output` field is only a preview."""
    path = f"reports/{call.step}/{call.agent}.md"
    report = next((file["content"] for file in output["deliverables"] if file["path"] == path), None)
    return str(report or output["output"])


def _score(job: Job, call: AgentCall | None) -> tuple[float | None, tuple[str, ...]]:
    """The score of the review, and notes that explain it."""
    if call is None:
        drafted = any(each.model == OFFLINE_MODEL for each in job.calls)
        return None, (_DRAFTED,) if drafted else (_NOBODY_JUDGED,)
    if call.model == OFFLINE_MODEL:
        return None, (_DRAFTED,)
    data = (job.result or {}).get("metadata", {}).get("data", {})
    score = data.get(str(call.call_id), {}).get("score")
    if score is None:
        return None, (_NOT_JUDGED,)
    return float(score), (_OF_DRAFTS,) if call.agent == REVIEWER else ()


def _failure(result: TurnResult) -> Exception:
    reason = result.error.message if result.error else result.state.lower()
    if result.state is JobState.CANCELLED:
        return WrongState("The message was cancelled before it was answered", job_id=result.job_id)
    if result.state is JobState.TIMEOUT:
        return DeadlineExceeded(f"The job of this message ran out of time: {reason}", job_id=result.job_id)
    return StepFailed(f"The message could not be answered: {reason}", job_id=result.job_id)


def _digest(message: ChatMessage) -> str:
    body = [message.text, message.mode, message.swarm, message.use_memory, message.user_context]
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
