"""What the inner rooms ask of the outer ones. Activities and the runtime know these, never their makers."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel

from orchestrator.domain.agents import Agent
from orchestrator.domain.budgets import Claim, TokenBudget
from orchestrator.domain.commands import (
    Adopted,
    Adoption,
    AgentResult,
    AgentTask,
    JobIndexing,
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
from orchestrator.domain.usage import Usage
from orchestrator.domain.webhooks import DeliveryAttempt, DeliveryReport, Posted, Posting


class TextSink(Protocol):
    """Takes the text of a running call for its readers (A7). Neither method waits or raises."""

    def text(self, piece: str) -> None:
        """More of the answer; goes on where the piece before ended."""

    def reset(self) -> None:
        """What came before is void: the model answers anew."""


class AgentRuntime(Protocol):
    """Runs one agent call once. Never retries by itself (A8)."""

    async def run(
        self, agent: Agent, task: AgentTask, *, attempt: int, progress: Callable[[int], None], sink: TextSink
    ) -> AgentResult:
        """The result of one call. `progress` takes the characters received so far, `sink` the text among them.

        Raises `AgentError`, already sorted into retryable or not.
        """


class AttemptLog(Protocol):
    """Step and usage rows, written by the agent's activity itself (A4). History repairs a lost row."""

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
        """Begin an attempt, as `started` does, that may use up to `tokens` of its owner's month.

        It gets what is left, and does not begin where that is less than `least`. Raises `Unavailable`.
        """

    async def started(self, task: AgentTask, *, attempt: int, at: datetime, run_id: str = "") -> None:
        """An attempt began in a run of the workflow; the job counts as running from here on. Never raises."""

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
        """An attempt ended. Never raises."""


class ArtifactStore(Protocol):
    """Bodies too large for a payload, stored beside their job."""

    async def put(self, job_id: str, name: str, body: dict[str, Any]) -> str:
        """Store (or overwrite) a body; the answer is its artifact id. Raises `Unavailable`."""

    async def get(self, artifact_id: str) -> dict[str, Any]:
        """A stored body. Raises `NotFound`, `Unavailable`."""


class ValueStore(Protocol):
    """Keeps the large parts of messages beside their job (decision 0013): JSON texts under the hash of their own."""

    async def put(self, job_id: str, bodies: Mapping[str, str]) -> None:
        """Store texts by key; one that is there already stays. Raises `Unavailable`."""

    async def get(self, job_id: str, keys: Collection[str]) -> dict[str, str]:
        """Stored texts by key. Raises `NotFound`, `Unavailable`."""

    async def forget(self, job_id: str) -> None:
        """Delete everything of one job. Raises `Unavailable`."""


class ResultKeeper(Protocol):
    """Stores the large parts of a result while its activity still runs."""

    async def keep(self, workflow_id: str, message: BaseModel) -> None:
        """Store what a message of a workflow will refer to when it is sent; waits for a store that is away."""


class OutcomeLog(Protocol):
    """Closes a job's row."""

    async def close(self, outcome: Outcome, *, at: datetime) -> bool:
        """Write the outcome; whether that changed its row. Never so when the index does not answer."""


class JobAdoption(Protocol):
    """Makes jobs of workflows that were not started through the API."""

    async def adopt(self, adoption: Adoption) -> Adopted:
        """The job under the workflow's own id. A silent index is no obstacle.

        Raises `NotFound`, `InvalidInput`, `PayloadTooLarge` for what cannot be a job, `Unavailable`.
        """

    async def index(self, indexing: JobIndexing) -> None:
        """Write the row of an adopted job, unless it is there. Raises `Unavailable`."""


class Reconciler(Protocol):
    """Compares the index with Temporal and repairs it."""

    async def reconcile(self, request: ReconcileRequest) -> ReconcileReport:
        """One pass over the open rows."""


class DeltaBus(Protocol):
    """Carries deltas from the worker that runs a call to whoever watches its job (A7)."""

    def publish(self, delta: Delta) -> None:
        """Hand a delta on. Neither waits nor raises: nobody may be listening, and a full queue drops it."""

    def subscribe(self, job_id: str) -> AsyncGenerator[Delta]:
        """The job's deltas from now on; close it when done. A reader that is too slow misses some."""


class WebhookSender(Protocol):
    """Makes one signed POST to a subscriber."""

    async def post(self, posting: Posting) -> Posted:
        """What came of it; never raises for what the receiver, its name or its network does."""


class Deliveries(Protocol):
    """What the delivery workflow's activity asks of the product."""

    async def attempt(self, attempt: DeliveryAttempt) -> DeliveryReport:
        """Make one attempt and write it down. Raises `Unavailable` when the index does not answer."""


class ConversationLog(Protocol):
    """What a conversation's activities ask of the product. Every method raises `Unavailable`."""

    async def accept(self, turn: TurnAcceptance) -> bool:
        """Write the row of a turn's job, before it is started; False when it has ended already."""

    async def ended(self, query: JobQuery) -> JobEnded | None:
        """How a job ended, or None while it goes on. Raises `NotFound`."""

    async def recall(self, conversation_id: str) -> Memory:
        """What a conversation stored last."""

    async def remember(self, record: ConversationRecord) -> None:
        """Store what it remembers."""

    async def end(self, end: SessionEnd) -> None:
        """Store what it remembers and tell of its end."""
