"""Output models of authors, as a model's answer is read with them: a validator that exits fails its own call."""

from functools import cache
from typing import Any

from pydantic import create_model, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from orchestrator.domain.agents import AgentOutput
from orchestrator.domain.errors import AgentError


@cache
def contained(model: type[AgentOutput]) -> type[AgentOutput]:
    """The model with the same schema. An exit in its validators is raised as an `AgentError` of that name.

    pydantic-ai validates in a task, out of which a `SystemExit` would leave the worker's event loop.
    """
    if model is AgentOutput:
        return model
    validators: Any = {"contained": model_validator(mode="wrap")(_contained)}
    return create_model(
        model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, __validators__=validators
    )


def _contained(cls: type[AgentOutput], value: Any, handler: ModelWrapValidatorHandler[AgentOutput]) -> AgentOutput:
    try:
        return handler(value)
    except Exception:
        raise
    except BaseException as error:  # the edge of an author's code
        name = type(error).__name__
        message = f"A validator of the output model {cls.__name__} raised {name}: {error}".removesuffix(": ")
        raise AgentError(message, kind=name, retryable=False) from error
