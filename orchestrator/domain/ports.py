"""Ports: protocols that activities and the runtime use, and that outer rooms implement."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel

from orchestrator.domain.agents import Agent
from orchestrator.domain.budgets import Claim, TokenBudget
from orchestrator.domain.children import ChildClosing, ChildEnd, ChildRequest
from orchestrator.domain.commands import (
    Adopted,
    Adoption,
    AgentResult,
    AgentTask,
    JobIndexing,
    JobInput,
    Outcome,
    ReconcileReport,
    ReconcileRequest,
)
from orchestrator.domain.conversations import (
    ConversationRecord,
    JobEnded,
    JobQuery,
    Memory,
    SessionEnd,
    TurnAcceptance,
)
from orchestrator.domain.deltas import Delta
from orchestrator.domain.jobs import AttemptStatus, JobError
from orchestrator.domain.turns import ToolTask
from orchestrator.domain.usage import Usage
from orchestrator.domain.webhooks import DeliveryAttempt, DeliveryReport, Posted, Posting


class TextSink(Protocol):
    """Receives the text of a running call for its readers (A7). No method raises; only `is_read` may wait."""

    async def is_read(self) -> bool:
        """Whether somebody reads the text of the job now."""

    def text(self, piece: str) -> None:
        """Add a piece of the answer."""

    def reset(self) -> None:
        """Discard the text so far: the model starts its answer again."""


class AgentRuntime(Protocol):
    """Runs one agent call once, without retries (A8)."""

    async def run(
        self, agent: Agent, task: AgentTask, *, attempt: int, progress: Callable[[int], None], sink: TextSink
    ) -> AgentResult:
        """The result of one call. `progress` receives the number of characters so far, `sink` the text.

        Raises `AgentError`, which says whether it is retryable.
        """


class ToolRuntime(Protocol):
    """Makes tool calls of agents, once, without retries (A8)."""

    def knows(self, agent: Agent, tool: str) -> bool:
        """Whether the agent has that tool in this process."""

    async def stored(self, task: ToolTask, run_id: str) -> str | None:
        """The result that an earlier attempt of the same run stored, or None. Raises `Unavailable`."""

    async def call(self, agent: Agent, task: ToolTask, *, attempt: int, seconds: float, run_id: str) -> str:
        """The result, stored already. Raises the author's error, or the product's."""

    def label(self, agent: Agent, name: str) -> str:
        """The tool as people name it, with its server."""

    def masked(self, text: str) -> str:
        """The text without secrets."""


class AttemptLog(Protocol):
    """Rows of attempts and usage, written by the agent's activity (A4). History repairs a lost row."""

    async def claim(
        self,
        task: AgentTask,
        *,
        attempt: int,
        at: datetime,
        run_id: str,
        budget: TokenBudget,
        tokens: int,
        least: int,
    ) -> Claim:
        """Record the start of an attempt, as `started` does, and claim up to `tokens` of its owner's month.

        The claim is what is left. The attempt does not start if that is less than `least`. Raises `Unavailable`.
        """

    async def started(self, task: AgentTask, *, attempt: int, at: datetime, run_id: str = "") -> None:
        """Record the start of an attempt; the job is running from then on. Never raises."""

    async def ended(
        self,
        task: AgentTask,
        *,
        attempt: int,
        at: datetime,
        status: AttemptStatus,
        usage: Usage | None = None,
        model: str | None = None,
        error: JobError | None = None,
        run_id: str = "",
    ) -> None:
        """Record the end of an attempt. Never raises."""


class ArtifactStore(Protocol):
    """Stores bodies that are too large for a payload, beside their job."""

    async def put(self, job_id: str, name: str, body: dict[str, Any]) -> str:
        """Store or overwrite a body; returns its artifact id. Raises `Unavailable`."""

    async def get(self, artifact_id: str) -> dict[str, Any]:
        """A stored body. Raises `NotFound`, `Unavailable`."""

    async def named(self, job_id: str, names: Collection[str]) -> dict[str, dict[str, Any]]:
        """The stored bodies of a job by name; missing ones are left out. Raises `Unavailable`."""


class ValueStore(Protocol):
    """Stores the large parts of messages beside their job (decision 0013): JSON texts by their hash."""

    async def put(self, job_id: str, bodies: Mapping[str, str]) -> None:
        """Store texts by key; an existing one stays. Raises `Unavailable`."""

    async def get(self, job_id: str, keys: Collection[str]) -> dict[str, str]:
        """Stored texts by key. Raises `NotFound`, `Unavailable`."""

    async def forget(self, job_id: str) -> None:
        """Delete all values of one job. Raises `Unavailable`."""


class ResultKeeper(Protocol):
    """Stores the large parts of a result while its activity still runs."""

    async def keep(self, workflow_id: str, message: BaseModel) -> None:
        """Store the large parts of a message before it is sent; waits while the store is away."""


class OutcomeLog(Protocol):
    """Closes a job's row."""

    async def close(self, outcome: Outcome, *, at: datetime) -> bool:
        """Write the outcome; returns whether its row changed, False if the index does not answer."""


class JobAdoption(Protocol):
    """Turns workflows that were not started through the API into jobs."""

    async def adopt(self, adoption: Adoption) -> Adopted:
        """The job with the workflow's id. It does not need the index.

        Raises `NotFound`, `InvalidInput`, `PayloadTooLarge` for a workflow that cannot be a job, `Unavailable`.
        """

    async def index(self, indexing: JobIndexing) -> None:
        """Write the row of an adopted job if it does not exist. Raises `Unavailable`."""


class ChildJobs(Protocol):
    """Opens child jobs before they start, and reads their ends."""

    async def open(self, request: ChildRequest) -> JobInput:
        """The job of a child, whose row is written; without a parent if the index did not answer.

        Raises `NotFound`, `InvalidInput`, `PayloadTooLarge`, `Unavailable`.
        """

    async def close(self, closing: ChildClosing) -> ChildEnd:
        """The end of a child. Raises `Unavailable`, also while the child has not ended."""


class Reconciler(Protocol):
    """Compares the index with Temporal and repairs it."""

    async def reconcile(self, request: ReconcileRequest) -> ReconcileReport:
        """Make one pass over the open rows."""


class DeltaBus(Protocol):
    """Carries deltas from the worker that runs a call to the readers of its job (A7)."""

    def publish(self, delta: Delta) -> None:
        """Publish a delta. Does not wait or raise: a full queue drops it, and there may be no reader."""

    async def has_readers(self, job_id: str) -> bool:
        """Whether somebody reads the deltas of a job now; False if that cannot be found out soon. Never raises."""

    def subscribe(self, job_id: str) -> AsyncGenerator[Delta]:
        """The job's deltas from now on. Close the generator after use. A slow reader misses some."""


class WebhookSender(Protocol):
    """Makes one signed POST to a subscriber."""

    async def post(self, posting: Posting) -> Posted:
        """The result of the POST. Faults of the receiver, its name or the network are results, not errors."""


class Deliveries(Protocol):
    """Makes attempts for the activity of the delivery workflow."""

    async def attempt(self, attempt: DeliveryAttempt) -> DeliveryReport:
        """Make one attempt and record it. Raises `Unavailable` if the index does not answer."""


class ConversationLog(Protocol):
    """Reads and writes for the activities of a conversation. Every method raises `Unavailable`."""

    async def accept(self, turn: TurnAcceptance) -> bool:
        """Write the row of a turn's job before its start; returns False if the job has already ended."""

    async def ended(self, query: JobQuery) -> JobEnded | None:
        """The end of a job, or None while it is open. Raises `NotFound`."""

    async def recall(self, conversation_id: str) -> Memory:
        """The memory that a conversation stored last."""

    async def remember(self, record: ConversationRecord) -> None:
        """Store the memory of a conversation."""

    async def end(self, end: SessionEnd) -> None:
        """Store the memory of a conversation and notify webhooks of its end."""
