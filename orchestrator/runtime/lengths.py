"""The limit for the length of an answer: as requested, or the tokens that the call may still use."""

from dataclasses import dataclass

from orchestrator.domain.agents import Agent
from orchestrator.domain.budgets import BUDGET_EXCEEDED
from orchestrator.domain.commands import AgentTask
from orchestrator.domain.errors import AgentError
from orchestrator.domain.usage import Usage, estimated_tokens


@dataclass(frozen=True, slots=True)
class Length:
    """The most tokens of an answer. `cut` if that is less than requested."""

    tokens: int
    cut: bool = False

    @classmethod
    def of(cls, agent: Agent, task: AgentTask, prompt: str) -> "Length":
        """The limit of the request, else of the agent (D-023), within the call's allowance.

        Raises `AgentError` of kind `budget_exceeded` if the prompt alone uses up the allowance.
        """
        requested = agent.settings.max_tokens if task.config.max_tokens is None else task.config.max_tokens
        if task.allowance is None:
            return cls(requested)
        remaining = task.allowance - estimated_tokens(agent.instructions + prompt)
        if remaining < 1:
            raise AgentError(
                f"The tokens of this month do not suffice for this call: {max(0, task.allowance)} are left for it, "
                "fewer than its prompt needs.",
                kind=BUDGET_EXCEEDED,
                retryable=False,
            )
        return cls(min(requested, remaining), cut=remaining < requested)

    def exceeded(self, usage: Usage | None) -> AgentError:
        """The error for an answer that exceeded the limit."""
        message = f"The tokens of this month are used up: {self.tokens} were left for this answer, and it is longer."
        return AgentError(message, kind=BUDGET_EXCEEDED, retryable=False, usage=usage)
