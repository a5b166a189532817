"""The frames of the chat socket: `{type, data, timestamp}` both ways (A-020 to A-024, C-47)."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from api.dialects.ai_orchestra.models import Message
from api.storable import JsonObject, storable
from api.validation import invalid_request
from orchestrator.domain.conversations import Mode, Swarm
from orchestrator.domain.errors import InvalidInput

COMMANDS: Final = {
    "help": "list the commands",
    "history": "list the turns that the session remembers",
    "reset": "delete the remembered turns, after the pending messages",
    "cancel": "cancel the message that is being answered",
}


class _Frame(BaseModel):
    timestamp: Annotated[str, Field(max_length=100)] | None = None


class MessageData(BaseModel):
    """A message. `request_id` is chosen by the client: the same id with the same message is answered once."""

    model_config = ConfigDict(allow_inf_nan=False)

    message: Message
    context: JsonObject = Field(default_factory=dict)
    optimization_mode: Mode = Mode.BALANCED
    swarm_type: Swarm = Swarm.RESEARCH_TEAM
    use_memory: bool = Field(default=False, strict=True)
    request_id: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(storable)] | None = None


class Chat(_Frame):
    """Answer a message (A-021)."""

    type: Literal["chat"]
    data: MessageData


class Stream(_Frame):
    """Answer a message token by token (A-024)."""

    type: Literal["stream"]
    data: MessageData


class Commanded(BaseModel):
    """One of `COMMANDS`."""

    command: Literal["help", "history", "reset", "cancel"]


class Command(_Frame):
    """A system command (A-022)."""

    type: Literal["command"]
    data: Commanded


class Controlled(BaseModel):
    """An action on the connection. `auth` has a `token`."""

    action: Literal["auth", "ping", "pong", "status"]
    token: Annotated[str, Field(max_length=8192)] | None = None


class Control(_Frame):
    """Connection control (A-023)."""

    type: Literal["control"]
    data: Controlled


ClientFrame = Chat | Stream | Command | Control
_CLIENT_FRAME: Final[TypeAdapter[ClientFrame]] = TypeAdapter(Annotated[ClientFrame, Field(discriminator="type")])


class ServerFrame(BaseModel):
    """A frame of the server. `error` is the only type beyond the documented four."""

    type: Literal["chat", "command", "control", "stream", "error"]
    data: dict[str, Any]
    timestamp: datetime = Field(default_factory=lambda: datetime.now(UTC))


def parsed(raw: str | bytes, largest: int) -> ClientFrame:
    """Parse a client's frame of at most `largest` bytes. Raises `InvalidInput`."""
    if isinstance(raw, bytes) or len(raw.encode(errors="replace")) > largest:
        raise InvalidInput("The frame cannot be read", field="frame", expected=f"text of at most {largest} bytes")
    try:
        return _CLIENT_FRAME.validate_json(raw)
    except ValidationError as wrong:
        raise _invalid(wrong) from wrong


def _invalid(wrong: ValidationError) -> InvalidInput:
    error = wrong.errors(include_url=False)[0]
    if error["type"] in ("union_tag_not_found", "union_tag_invalid"):
        expected = "one of chat, command, control, stream"
        return InvalidInput("The frame has no known type", field="type", expected=expected)
    if not error["loc"]:
        return InvalidInput("The frame is not a JSON object", field="frame", expected="JSON object")
    # As in a request, the location of a fault begins with its source: here the frame.
    return invalid_request(RequestValidationError([{**item, "loc": _place(item["loc"])} for item in wrong.errors()]))


def _place(place: tuple[int | str, ...]) -> tuple[int | str, ...]:
    return ("frame", *(place[2:] if place[1:2] == ("data",) and len(place) > 2 else place[1:]))
