"""Checks the input of a job against the schema and the model of its agent or workflow, before anything starts."""

from functools import partial
from typing import Any

from pydantic import BaseModel

from orchestrator.domain.json_schema import check_input
from orchestrator.domain.model_check import validated
from orchestrator.runtime.inputs import in_thread


async def check_whole(schema: dict[str, Any], model: type[BaseModel] | None, data: dict[str, Any]) -> None:
    """Check `data` against the schema and, if there is a model, against its formats and validators too.

    Raises `InvalidInput` as `check_input` does, and for a check that takes longer than ten seconds.
    """
    await in_thread(partial(_check_both, schema, model, data))


def _check_both(schema: dict[str, Any], model: type[BaseModel] | None, data: dict[str, Any]) -> None:
    check_input(schema, data, formats=model is None)
    if model is not None:
        validated(model, data)
