"""The interfaces that an adapter of an agent framework implements and uses; see `docs/frameworks.md`."""

import json
from collections.abc import Callable, Collection
from typing import Protocol

from orchestrator.domain.agents import Deliverable, StepOutput
from orchestrator.domain.errors import AgentError
from orchestrator.domain.frameworks import Answer, FrameworkResult, FrameworkTask, Question
from orchestrator.domain.usage import Usage

__all__ = [
    "AgentError",
    "Answer",
    "Deliverable",
    "FrameworkAdapter",
    "FrameworkCall",
    "FrameworkResult",
    "FrameworkTask",
    "Question",
    "StepOutput",
    "Usage",
    "persona",
]


class FrameworkCall(Protocol):
    """The services for an adapter while it runs a task."""

    @property
    def progress(self) -> Callable[[int], None]:
        """Report the number of characters received so far, for the call's heartbeat. Does not wait."""

    async def ask(self, question: Question) -> Answer:
        """Call the model that the product would call: its providers, limits and prices, or the offline drafter.

        The call is billed for it. Raises `AgentError`; an adapter must not catch that.
        """


class FrameworkAdapter(Protocol):
    """Runs agents on one framework. All calls of a worker use one object concurrently."""

    @property
    def name(self) -> str:
        """The framework's name as in agents: `langgraph`."""

    async def run(self, task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        """Make one attempt. The coroutine may be cancelled and must then release its resources.

        Raises `AgentError` with the cause and whether a retry can help. Any other exception counts as
        `framework_failed`, which is retried.
        """


def persona(task: FrameworkTask, *, without: Collection[str] = ()) -> str:
    """The system prompt of the task's agent: name, description, and its user's configuration.

    `without` names keys of the configuration that only the framework needs.
    """
    setup = {key: value for key, value in task.configuration.items() if key not in without}
    parts = [f"You are {task.agent}.", task.description]
    if setup:
        parts.append("Your user set you up like this; follow it:\n\n" + json.dumps(setup, ensure_ascii=False, indent=2))
    parts.append("Answer in `output` as Markdown, in the depth that the input asks for.")
    return "\n\n".join(part for part in parts if part)
