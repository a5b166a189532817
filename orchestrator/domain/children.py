"""Child jobs: another workflow of the catalogue as one call of a job, with a row, a cost and controls of its own."""

import hashlib
import json
from datetime import datetime
from typing import Any, Final

from pydantic import Field

from orchestrator.domain.budgets import TokenBudget
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.commands import AgentResult, JobConfig, JobInput, Message, Parent
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.ids import JobKind, digest, job_id
from orchestrator.domain.jobs import JobError, JobState
from orchestrator.domain.labels import JobLabel
from orchestrator.domain.usage import Usage

MAX_DEPTH: Final = 10


class ChildRequest(Message):
    """Input of the local activity that opens a child job: checks its input and writes its row."""

    job_id: str = Field(description="The id of the child.")
    parent: Parent
    definition: str
    owner: str
    input: dict[str, Any]
    config: JobConfig = JobConfig()
    labels: dict[str, str] = Field(default_factory=dict)
    priority: str | None = None
    tokens: TokenBudget | None = None
    at: datetime

    def asks(self) -> str:
        """A digest of what the child is started for. It does not depend on the parent."""
        question = self.model_dump(mode="json", include={"definition", "input", "config"})
        question |= {"step": self.parent.step, "key": self.parent.key}
        return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


class ChildClosing(Message):
    """Input of the local activity that reads the end of a child job. `call` is the call of the parent."""

    job_id: str
    call: str


class ChildCall(Message):
    """The memo of a child workflow: the call of its parent, and the digest of what it was started for."""

    id: str
    asks: str


class ChildEnd(Message):
    """Output of that activity: how the child ended, and what it cost. `result` is the answer of a completed child."""

    job_id: str
    state: JobState
    usage: Usage = Usage()
    error: JobError | None = None
    result: AgentResult | None = None


def child_id(parent: str, call: CallId) -> str:
    """The id of a child: the same for the same call of the same parent, so that a second start is the same job."""
    return job_id(JobKind.WORKFLOW, digest("child", parent, str(call))[:32])


def child_request(
    job: JobInput, call: CallId, *, parent: str, input: dict[str, Any], config: JobConfig | None, at: datetime
) -> ChildRequest:
    """The request for a child of the job `parent`, with its owner, own labels, priority and token budget.

    Raises `InvalidInput` below `MAX_DEPTH`: a workflow that starts itself must end.
    """
    depth = job.parent.depth + 1 if job.parent else 1
    if depth > MAX_DEPTH:
        raise InvalidInput(
            f"{call.agent} would be a child at depth {depth}; at most {MAX_DEPTH}. Does a workflow start itself?",
            field="workflow",
            expected=f"a depth of at most {MAX_DEPTH}",
        )
    tokens = job.tokens and TokenBudget(monthly=job.tokens.monthly, root=job.tokens.root or parent)
    own = {name: value for name, value in job.labels.items() if name not in set(JobLabel)}
    return ChildRequest(
        job_id=child_id(parent, call),
        parent=Parent(job_id=parent, step=call.step, key=call.key, depth=depth),
        definition=call.agent,
        owner=job.owner,
        input=input,
        config=config or job.config,
        labels={**own, JobLabel.STARTED_BY: "parent", JobLabel.PARENT: parent},
        priority=job.priority or job.labels.get(JobLabel.PRIORITY),
        tokens=tokens,
        at=at,
    )
