"""How long the answer of a call may be: as was asked for, or as the tokens allow that the call may use."""

from dataclasses import dataclass

from orchestrator.domain.agents import Agent
from orchestrator.domain.budgets import BUDGET_EXCEEDED
from orchestrator.domain.commands import AgentTask
from orchestrator.domain.errors import AgentError
from orchestrator.domain.usage import Usage, estimated_tokens


@dataclass(frozen=True, slots=True)
class Length:
    """The most tokens of an answer; `cut` if that is less than was asked for."""

    tokens: int
    cut: bool = False

    @classmethod
    def of(cls, agent: Agent, task: AgentTask, prompt: str) -> "Length":
        """What the request asks for, else the agent's own (D-023), within the call's allowance.

        Raises `AgentError` of kind `budget_exceeded` if the prompt alone needs all of it.
        """
        wished = agent.settings.max_tokens if task.config.max_tokens is None else task.config.max_tokens
        if task.allowance is None:
            return cls(wished)
        left = task.allowance - estimated_tokens(agent.instructions + prompt)
        if left < 1:
            raise AgentError(
                f"The tokens of this month do not suffice for this call: {max(0, task.allowance)} are left for it, "
                "less than its prompt has.",
                kind=BUDGET_EXCEEDED,
                retryable=False,
            )
        return cls(min(wished, left), cut=left < wished)

    def exceeded(self, usage: Usage | None) -> AgentError:
        """The error of a call whose answer did not fit."""
        message = f"The tokens of this month ran out: {self.tokens} were left for this answer, and it does not fit."
        return AgentError(message, kind=BUDGET_EXCEEDED, retryable=False, usage=usage)
