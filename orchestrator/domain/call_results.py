"""Typed results of the calls of workflow code: the answer as the output model of the agent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic

from pydantic import ValidationError

from orchestrator.domain.agents import Out_co
from orchestrator.domain.commands import AgentResult
from orchestrator.domain.errors import AgentError
from orchestrator.domain.jobs import JobError
from orchestrator.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class Result(Generic[Out_co]):
    """The answer of one call. `data` has the fields of the agent's output model, `answer` is the whole record."""

    data: Out_co
    answer: AgentResult

    @classmethod
    def of(cls, answer: AgentResult, model: type[Out_co]) -> "Result[Out_co]":
        """The answer as a model. Raises `AgentError` of kind `malformed_output` if it does not fit."""
        fields = {"summary": answer.summary, "output": answer.output, "deliverables": answer.deliverables}
        try:
            return cls(model.model_validate({**answer.data, **fields}), answer)
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, fault["loc"])) or "it"
            raise AgentError(
                f"The answer of {answer.agent} in step {answer.step} does not fit {model.__name__}: "
                f"{place}: {fault['msg']}",
                kind="malformed_output",
                retryable=False,
            ) from error

    @property
    def output(self) -> str:
        """The answer as text."""
        return self.answer.output

    @property
    def summary(self) -> str:
        """What was done, in short."""
        return self.answer.summary

    @property
    def key(self) -> str:
        """The key of the call, in the form that ids have."""
        return self.answer.key

    @property
    def usage(self) -> Usage:
        """Tokens and costs of the call, or of all calls of a child job."""
        return self.answer.usage


@dataclass(frozen=True, slots=True)
class ItemResults(Generic[Out_co]):
    """The results of one call for each item, in the order of the items. `failed` holds errors by the key of the item.

    Items whose calls were not needed are in neither.
    """

    done: tuple[Result[Out_co], ...]
    failed: Mapping[str, JobError]

    def __iter__(self) -> Iterator[Result[Out_co]]:
        return iter(self.done)

    def __len__(self) -> int:
        return len(self.done)
