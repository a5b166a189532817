"""Words the mistakes of authors: what is wrong, on which line, and what to write instead."""

import re
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from orchestrator.domain.agents import Agent, ModelSettings, Pricing
from orchestrator.domain.errors import CatalogueError
from orchestrator.domain.near_matches import near_match
from orchestrator.domain.plans import Approval, Plan, RetryPolicy, Step, Timeouts, WorkflowDefinition

_MODELS: Final[dict[str, type[BaseModel]]] = {
    model.__name__: model
    for model in (Agent, Approval, ModelSettings, Plan, Pricing, RetryPolicy, Step, Timeouts, WorkflowDefinition)
}


_EXPRESSIONS: Final = ("when", "for_each", "key", "until", "Cel")


def invalid_definition(error: ValidationError, module: str) -> CatalogueError:
    """The error of a model that an author's module could not create, at the line that creates it."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if frame.name == "<module>"), None)
    line = f"line {frame.lineno}: " if frame else ""
    faults = "; ".join(_fault(error.title, dict(fault)) for fault in error.errors())
    return CatalogueError(frame.filename if frame else module, f"{line}{error.title}: {faults}")


def _fault(model: str, fault: dict[str, Any]) -> str:
    place = ".".join(map(str, fault["loc"]))
    return f"{place}: {fault['msg'].removeprefix('Value error, ')}{_remedy(model, fault)}".removeprefix(": ")


def _remedy(model: str, fault: dict[str, Any]) -> str:
    """What to write instead; empty if the message says it."""
    value, place = fault.get("input"), fault["loc"]
    match fault["type"]:
        case "tuple_type" if isinstance(value, str):
            return f". Write ({value!r},) with a comma"
        case "tuple_type" if (name := getattr(value, "__name__", None)) is not None:
            return f". Write ({name},) with a comma"
        case "string_type" if isinstance(value, Agent | WorkflowDefinition):
            return f". Write its id: {value.id!r}"
        case "dict_type" if isinstance(value, type) and issubclass(value, BaseModel):
            if place == ("input_schema",):
                return f". Give the model as input_model={value.__name__}"
            return f". Write {value.__name__}.model_json_schema()"
        case "model_type" | "model_attributes_type" if place and place[-1] in ("retry", "approval", "timeouts"):
            kind = {"retry": "RetryPolicy(maximum_attempts=3)", "approval": "Approval()", "timeouts": "Timeouts()"}
            return f". Write {place[-1]}={kind[str(place[-1])]}"
        case "model_type" | "model_attributes_type" if place and place[-1] in _EXPRESSIONS and isinstance(value, str):
            return f". Write {place[-1]}=cel({value!r})"
        case "extra_forbidden" if model in _MODELS and len(place) == 1:
            return "." + (near_match(str(place[0]), _MODELS[model].model_fields) or f" {model} has no such field")
        case _:
            return ""


def unknown_agents(names: Iterable[str], agents: Iterable[str], workflows: Iterable[str]) -> str:
    """The fault of a step that names agents that do not exist."""
    agents, workflows = set(agents), set(workflows)

    def hint(name: str) -> str:
        if name in workflows:
            return f"{name} (it is a workflow: make it a step of its own, with workflow={name!r})"
        return name + (f".{near}" if (near := near_match(name, agents)) else "")

    return f"unknown agents: {', '.join(hint(name) for name in sorted(names))}"


def at_line(source: str, fault: str, *names: str) -> CatalogueError:
    """The error with the line on which the first of the names stands in quotes, if the file has such a line."""
    return CatalogueError(source, f"line {line}: {fault}" if (line := _line(source, names)) else fault)


def _line(source: str, names: Iterable[str]) -> int | None:
    path = Path(source)
    if path.suffix != ".py" or not path.is_file():
        return None
    lines = path.read_text(errors="replace").splitlines()
    for name in names:
        quoted = re.compile(f"""["']{re.escape(name)}["']""")
        if match := next((number for number, text in enumerate(lines, 1) if quoted.search(text)), None):
            return match
    return None
