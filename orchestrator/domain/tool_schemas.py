"""The signature of a tool: its JSON Schema, from the types and the docstring of a plain async function."""

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

TOOL_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ARGUMENTS: Final = re.compile(r"^\s*(?:Args|Arguments|Parameters):\s*$", re.MULTILINE)
_ARGUMENT: Final = re.compile(r"^(?P<indent>\s+)(?P<name>\w+)(?:\s*\([^)]*\))?:\s*(?P<text>.*)$")
_MAX_FAULTS: Final = 3


class ToolCall(BaseModel):
    """What a tool may know of its call: a parameter of this type gets it, and the model does not see the parameter.

    `effect_id` is the same on each attempt: pass it to side effects as their idempotency key.
    """

    model_config = ConfigDict(frozen=True)

    job_id: str
    step: str
    agent: str
    tool: str
    turn: int
    attempt: int
    effect_id: str


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret by the name of its environment variable. The worker reads it; no history or model ever contains it.

    In a tool: `token: Annotated[str, Secret("CRM_TOKEN")]`; the model does not see the parameter.
    """

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", self.name):
            raise ValueError(
                f"invalid secret name {self.name[:40]!r}: expected the name of an environment variable, "
                "such as CRM_TOKEN, never the secret itself"
            )


@dataclass(frozen=True, slots=True)
class ToolSignature:
    """The parameters of a tool. `call` is the one that gets the `ToolCall`; `secrets` are names of variables."""

    description: str
    arguments: type[BaseModel]
    call: str | None = None
    secrets: Mapping[str, Secret] = field(default_factory=dict)

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        return schema_of(self.arguments)


def signature_of(function: Callable[..., Any], name: str) -> ToolSignature:
    """The signature of a tool's function. Raises `ValueError` for one that no model could call."""
    what = f"tool {name!r}"
    if not inspect.iscoroutinefunction(function):
        raise ValueError(f"{what} is not async: write `async def {name}(…)`, and run blocking code in a thread")
    description, texts = _described(inspect.getdoc(function) or "")
    if not description:
        raise ValueError(f"{what} has no docstring: say in one sentence what it does, because the model reads it")
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ValueError(f"{what}: {error} (types must be importable where the tool is defined)") from None
    fields: dict[str, Any] = {}
    call: str | None = None
    secrets: dict[str, Secret] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ValueError(
                f"{what}: parameter {parameter} has no name for the model: give each one a name and a type"
            )
        if parameter.name not in hints:
            raise ValueError(f"{what}: parameter {parameter.name!r} has no type annotation")
        hint = hints[parameter.name]
        if hint is ToolCall:
            call = parameter.name
        elif secret := _secret(hint):
            secrets[parameter.name] = secret
        elif parameter.name.startswith("_") or parameter.name.startswith("model_"):
            raise ValueError(f"{what}: parameter {parameter.name!r} needs another name: pydantic reserves it")
        else:
            fields[parameter.name] = _field(hint, parameter.default, texts.get(parameter.name))
    try:
        arguments = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        arguments.model_json_schema()
    except PydanticUserError as error:
        raise ValueError(f"{what} has a parameter without a JSON Schema: {error.message}") from error
    return ToolSignature(description, arguments, call, secrets)


def schema_of(arguments: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema of arguments as a model gets it: without the name of their class."""
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    return schema


def faults_in(arguments: type[BaseModel], value: Mapping[str, Any]) -> str | None:
    """Why arguments of a model do not fit, or None. Validators of the types are author code."""
    try:
        arguments.model_validate(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        parts = [f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}" for fault in faults]
        more = f"; and {len(parts) - _MAX_FAULTS} more" if len(parts) > _MAX_FAULTS else ""
        return "; ".join(parts[:_MAX_FAULTS]) + more
    return None


def _secret(hint: Any) -> Secret | None:
    if typing.get_origin(hint) is not Annotated:
        return None
    return next((note for note in typing.get_args(hint)[1:] if isinstance(note, Secret)), None)


def _field(hint: Any, default: Any, text: str | None) -> tuple[Any, Any]:
    if isinstance(default, FieldInfo):
        return hint, default
    required = default is inspect.Parameter.empty
    return hint, Field(... if required else default, description=text)


def _described(docstring: str) -> tuple[str, dict[str, str]]:
    """The description of a docstring, and its texts on parameters (Google style)."""
    parts = _ARGUMENTS.split(docstring, maxsplit=1)
    texts: dict[str, str] = {}
    if len(parts) == 1:
        return docstring.strip(), texts
    name, indent = "", None
    for line in parts[1].strip("\n").splitlines():
        match = _ARGUMENT.match(line)
        if match and (indent is None or match["indent"] == indent):
            name, indent = match["name"], match["indent"]
            texts[name] = match["text"].strip()
        elif name and line.strip() and line.startswith(f"{indent} "):
            texts[name] = f"{texts[name]} {line.strip()}"
        elif line.strip():
            break
    return parts[0].strip(), texts
