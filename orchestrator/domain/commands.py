"""Inputs and outputs of every workflow, activity and signal: one model in, one out; they grow by optional fields."""

import hashlib
import json
from datetime import datetime
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from orchestrator.domain.agents import Deliverable, StepOutput
from orchestrator.domain.budgets import TokenBudget
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import Approved, Job, JobError, JobState
from orchestrator.domain.plans import Plan, Step
from orchestrator.domain.tally import Tally
from orchestrator.domain.turns import AgentTurn, ChangedTool, TurnTask
from orchestrator.domain.usage import Usage


class Message(BaseModel):
    """A message through Temporal: immutable; it ignores fields that a newer version added."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def _unset(value: object) -> bool:
    """Whether a field is left out of history: messages of earlier releases had no such field."""
    return not value


class JobConfig(Message):
    """Settings that a request may override (D-023, D-037)."""

    model: str | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    parallel_execution: bool = True
    stop_on_error: bool = True


class AgentTask(Message):
    """Input of an agent's activity: all data of one call."""

    job_id: str
    owner: str = ""
    definition: str
    kind: JobKind
    step: Step
    agent: str
    call: int = Field(default=1, description="The number of the call of this step and agent in the job, from 1.")
    key: str = Field(default="", exclude_if=_unset, description="The item and the round of the call, if it has one.")
    path: str = Field(default="", exclude_if=_unset, description="The turn of the call; empty for the first one.")
    input: dict[str, Any]
    own_input: bool = Field(
        default=False, exclude_if=_unset, description="`input` is the call's own, not the job's: the agent checks it."
    )
    config: JobConfig = JobConfig()
    context: list[StepOutput] = Field(default_factory=list)
    tally: Tally = Field(default=Tally(), description="The tally of the same call, if it was scheduled before.")
    tokens: TokenBudget | None = Field(default=None, description="The budget of the job; None does not limit.")
    allowance: int | None = Field(
        default=None, description="Tokens that this attempt may use, claimed by its worker; None does not limit."
    )
    turn: TurnTask | None = Field(
        default=None, exclude_if=_unset, description="The turn after the first of an agent with tools."
    )
    earlier: int = Field(
        default=0, exclude_if=_unset, description="Attempts of the call's earlier turns, and of other models."
    )
    fallback: int = Field(
        default=0, exclude_if=_unset, description="The number of the fallback model; 0 is the first choice."
    )

    @property
    def call_id(self) -> CallId:
        """The identity of the call."""
        return CallId(self.step.id, self.agent, self.call, self.key, self.path)

    def asks(self) -> str:
        """A digest of the question of the call. It does not depend on the job."""
        question = self.model_dump(mode="json", include={"agent", "call", "input", "config", "context"})
        question |= {"step": self.step.id, "instruction": self.step.instruction}
        question |= {"key": self.key} if self.key else {}  # Digests of earlier releases have no key.
        return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


class AgentResult(Message):
    """Output of an agent's activity. `artifact` is the id of a large body that an older release stored."""

    step: str
    agent: str
    call: int = 1
    key: str = Field(default="", exclude_if=_unset)
    summary: str
    output: str
    deliverables: list[Deliverable] = Field(default_factory=list)
    data: dict[str, Any] = Field(default_factory=dict, description="The output model's own fields.")
    metadata: dict[str, Any] = Field(default_factory=dict)
    usage: Usage = Usage()
    model: str
    artifact: str | None = None
    attempt: int | None = Field(
        default=None, description="The attempt that gave it; None in a result of an older release."
    )
    failed_cost: float = Field(default=0.0, exclude_if=_unset, description="USD of the failed attempts before it.")
    child: str | None = Field(
        default=None, exclude_if=_unset, description="The child job that gave it; `agent` is its workflow."
    )
    turn: AgentTurn | None = Field(
        default=None, exclude_if=_unset, description="Set if this is no answer: the model asks for tools first."
    )
    changed_tools: list[ChangedTool] = Field(default_factory=list, exclude_if=_unset)

    @property
    def call_id(self) -> CallId:
        """The identity of the call."""
        return CallId(self.step, self.agent, self.call, self.key)

    def as_context(self, *, full: bool) -> StepOutput:
        """The output as a later step sees it: `full`, or only the summary."""
        if not full:
            return StepOutput(step=self.step, agent=self.agent, key=self.key, summary=self.summary)
        return StepOutput(
            step=self.step,
            agent=self.agent,
            key=self.key,
            summary=self.summary,
            output=self.output,
            data=self.data,
            artifact=self.artifact,
        )


class JobDeliverable(Message):
    """A deliverable of a job and its origin. `artifact` is the id of content that an older release stored."""

    path: str
    media_type: str
    content: str | None
    step: str
    agent: str
    artifact: str | None = None


class JobResult(Message):
    """Output of every job's workflow: `{status, output, deliverables, metadata}` (D-026, C-60)."""

    status: Literal["success", "partial"] = "success"
    output: str
    deliverables: list[JobDeliverable] = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)


class CarriedPlan(Message):
    """The part of a run's state that only plans with conditions, items or rounds have.

    The run that continues it walks the plan again and decides the same; finished calls are not made again.
    """

    failed_calls: dict[str, JobError] = Field(default_factory=dict, description="By the id of the call.")
    due: dict[str, datetime] = Field(default_factory=dict, description="When the wait of a step ends, by its place.")
    noted: list[str] = Field(default_factory=list, description="Notes that history has already.")


class Carried(Message):
    """The state that a run passes to the run that continues it."""

    results: list[AgentResult] = Field(default_factory=list)
    failures: dict[str, JobError] = Field(default_factory=dict)
    approved: list[str] = Field(default_factory=list)
    rejected: dict[str, str] = Field(default_factory=dict)
    approval_deadlines: dict[str, datetime] = Field(default_factory=dict)
    paused: bool = False
    plan: CarriedPlan | None = Field(default=None, exclude_if=_unset)
    said: dict[str, StepOutput] = Field(
        default_factory=dict, exclude_if=_unset, description="Notes and answers of people, by the place of their step."
    )


class ReusedCall(Message):
    """A finished call of an earlier job whose answer a retry reuses. `job_id` is the job that made the call.

    `usage` was billed to that job and is not billed again.
    """

    step: str
    agent: str
    call: int = 1
    key: str = Field(default="", exclude_if=_unset)
    job_id: str
    usage: Usage = Usage()
    model: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    asks: str | None = Field(default=None, description="Digest of its question, in a workflow in code.")

    @property
    def call_id(self) -> CallId:
        """The identity of the call."""
        return CallId(self.step, self.agent, self.call, self.key)


class Retry(Message):
    """The calls and approvals that a retry reuses. `of` is the job that it retries, `root` the first job of the chain.

    The answers of the calls are in `JobInput.carried`.
    """

    of: str
    root: str
    calls: list[ReusedCall] = Field(default_factory=list)
    approvals: list[Approved] = Field(default_factory=list)


class Parent(Message):
    """The call of another job that started a job as its child. `depth` is 1 for the child of a job without a parent."""

    job_id: str
    step: str
    key: str = ""
    depth: int = 1


class JobInput(Message):
    """Input of every job's workflow. It contains the plan: an edited definition does not change a running job (A1)."""

    job_id: str
    kind: JobKind
    definition: str
    name: str
    owner: str
    input: dict[str, Any]
    config: JobConfig = JobConfig()
    plan: Plan
    webhook_url: str | None = None
    subject: str | None = Field(default=None, description="The user's agent or the conversation of the job.")
    labels: dict[str, str] = Field(default_factory=dict, description="Notes on the job, some of them of `JobLabel`.")
    code: bool = False
    answer: str | None = Field(
        default=None,
        description="The step whose answer is the job's output, with the agents' typed fields in `metadata.data`. "
        "Without one, the output is a digest of all steps.",
    )
    carried: Carried | None = None
    starts_at: datetime | None = Field(default=None, description="When it starts, if not at once.")
    retry: Retry | None = Field(default=None, description="Set in a job that retries another.")
    priority: str | None = Field(
        default=None,
        description="The priority that the owner's tier allows; without one, the label `priority` holds.",
    )
    tokens: TokenBudget | None = Field(default=None, description="None does not limit the tokens of the job.")
    parent: Parent | None = Field(default=None, exclude_if=_unset, description="Set in a child whose row is written.")
    # False in jobs of earlier releases, which record their end by a local activity.
    reports_end: bool = Field(default=False, exclude_if=_unset)

    def job(self, *, state: JobState, progress: int, created_at: datetime, run_id: str = "", **course: Any) -> Job:
        """The job that runs with this input. `course` holds other fields of `Job`: what has happened to it."""
        fields = {
            "id": self.job_id,
            "kind": self.kind,
            "definition": self.definition,
            "name": self.name,
            "owner": self.owner,
            "code": self.code,
            "input": self.input,
            "config": self.config.model_dump(mode="json"),
            "webhook_url": self.webhook_url,
            "subject": self.subject,
            "labels": self.labels,
            "retry_of": self.retry.of if self.retry else None,
        }
        # A model ignores fields that it does not know; a misspelt one must not get lost here.
        if unknown := course.keys() - Job.model_fields.keys():
            raise TypeError(f"a job has no field {', '.join(sorted(unknown))}")
        return Job(state=state, progress=progress, created_at=created_at, run_id=run_id, **(fields | course))


class PlainInput(JobInput):
    """Replaces the input of a workflow that was started with something other than a `JobInput`."""

    job_id: str = ""
    kind: JobKind = JobKind.WORKFLOW
    definition: str = ""
    name: str = ""
    owner: str = ""
    input: dict[str, Any] = Field(default_factory=dict)
    plan: Plan = Plan.model_construct(steps=())
    value: Any = Field(default=None, description="The original input; None if there was none.")


class CallReuse(Message):
    """Input of the local activity whose marker records that workflow code reused an answer."""

    job_id: str = Field(description="The job that made the call.")


class Adoption(Message):
    """Input of the local activity that turns a workflow that was not started through the API into a job.

    `job_input` is the `JobInput` that it was started with, usually a copy of another job's; `value` is any other input.
    """

    job_id: str
    run_id: str
    first_run_id: str = Field(default="", description="The first run of the execution, also after a reset.")
    definition: str = Field(description="The workflow's type.")
    job_input: JobInput | None = None
    value: Any = None
    inputs: int = Field(default=1, description="The number of its inputs; a job has one.")
    owner: str | None = Field(default=None, description="The owner in its search attribute.")
    parent: str | None = Field(default=None, description="The workflow that started it as its child.")
    schedule: str | None = Field(default=None, description="The Temporal Schedule that started it.")
    at: datetime = Field(description="When it was started.")


class Adopted(Message):
    """Output of that activity: the input of the job. `indexed` is False if the index did not answer.

    With a `refusal`, the job fails before its first call: its schedule may not start it.
    """

    job: JobInput
    indexed: bool
    refusal: JobError | None = None


class JobIndexing(Message):
    """Input of the workflow and the activity that write the row of an adopted job once the index answers."""

    job: JobInput
    run_id: str
    at: datetime


class Decision(Message):
    """Signal `approve` or `reject`: the step, the sender and a note. A signal from outside the API may omit the sender.

    By `id`, the API finds its signal in the history.
    """

    step: str
    actor: str = "an operator"
    note: str = ""
    id: str = ""


class Control(Message):
    """Signal `pause` or `resume`: the sender and a note. A signal from outside the API may omit the sender.

    By `id`, the API finds its signal in the history.
    """

    actor: str = "an operator"
    note: str = ""
    id: str = ""


class Outcome(Message):
    """The end of a job, as its workflow reports it: what closes the job's row in the index."""

    job_id: str
    run_id: str
    first_run_id: str = Field(default="", description="The first run of the execution, also after a reset.")
    state: JobState
    error: JobError | None = None


class Recorded(Message):
    """Output of an activity that only writes. `ok` is False if the index did not answer: history repairs the row."""

    ok: bool = True


class ReconcileRequest(Message):
    """Input of the reconciler, which skips open rows younger than `grace` seconds.

    `limit` is the most jobs of one pass that Temporal does not list as running.
    """

    grace: float = 10.0
    limit: int = 500


class ReconcileReport(Message):
    """The result of one pass of the reconciler."""

    checked: int = 0
    closed: int = 0
    started: int = 0
    dropped: int = 0
    reopened: int = Field(default=0, description="Jobs that had ended and run again after a reset.")
    dispatched: int = Field(
        default=0,
        # The name in the histories of earlier releases.
        validation_alias=AliasChoices("dispatched", "told"),
        description="Webhook deliveries that were started.",
    )
    given_up: int = Field(default=0, description="Webhook deliveries whose workflows ended without a result.")
    pruned: int = Field(default=0, description="Rows that were deleted after their retention.")
