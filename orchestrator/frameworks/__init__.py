"""What an adapter of an agent framework implements and may use; `docs/frameworks.md` shows how."""

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
    """What an adapter may use while it runs a task."""

    @property
    def progress(self) -> Callable[[int], None]:
        """Takes the characters received so far, for the call's heartbeat. Never waits."""

    async def ask(self, question: Question) -> Answer:
        """Ask the model that the product would ask: its providers, limits and prices, or the offline drafter.

        What it costs is counted with the call. Raises `AgentError`, which an adapter lets pass.
        """


class FrameworkAdapter(Protocol):
    """Runs agents on one framework: one object for all calls of a worker, which run side by side."""

    @property
    def name(self) -> str:
        """The framework's name, as agents give it: `langgraph`."""

    async def run(self, task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        """Make one attempt. A cancelled call is cancelled like any coroutine and lets go of what it holds.

        Raises `AgentError` to say what went wrong and whether another attempt can help; whatever else it raises
        counts as `framework_failed`, which is tried again.
        """


def persona(task: FrameworkTask, *, without: Collection[str] = ()) -> str:
    """The system prompt that makes a model the task's agent: name, description, and how its user set it up.

    `without` names keys of the configuration that are the framework's own business.
    """
    setup = {key: value for key, value in task.configuration.items() if key not in without}
    parts = [f"You are {task.agent}.", task.description]
    if setup:
        parts.append("Your user set you up like this; follow it:\n\n" + json.dumps(setup, ensure_ascii=False, indent=2))
    parts.append("Answer in `output` as Markdown, in the depth that the input asks for.")
    return "\n\n".join(part for part in parts if part)
