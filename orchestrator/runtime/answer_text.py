"""The text of an answer as it streams in: counted for heartbeats, and handed on in pieces that a reader can use."""

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import Final

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    AgentStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_core import from_json

from orchestrator.domain.ports import TextSink
from orchestrator.domain.text import sound
from orchestrator.runtime.answer_json import sound_escapes

GATHER_SECONDS: Final = 0.05
GATHER_CHARACTERS: Final = 500
_FENCE: Final = "```json"


class AnswerText:
    """Reads the streamed responses of one call.

    Pieces are gathered for 50 ms or 500 characters, so that an answer of a thousand tokens is no thousand messages.
    A reader gets `output` of a structured answer and prose as it is; thinking and other fields are only counted.
    When the model begins again, because its first answer did not fit, the sink is reset before the new text.
    """

    def __init__(self, progress: Callable[[int], None], sink: TextSink) -> None:
        self._progress = progress
        self._sink = sink
        self._received = 0
        self._index: int | None = None
        self._structured = False
        self._raw: list[str] = []
        self._fresh = 0
        self._told = 0
        self._heard = False
        self._again = False
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, _: RunContext[None], events: AsyncIterable[AgentStreamEvent]) -> None:
        """Take one response's events; an `event_stream_handler` of pydantic-ai."""
        self._index = None
        try:
            async for event in events:
                self._take(event)
            self._tell()
        finally:
            self._stop_timer()

    def _take(self, event: AgentStreamEvent) -> None:
        piece = _text_of(event)
        if piece:
            self._received += len(piece)
            self._progress(self._received)
        if not isinstance(event, (PartStartEvent, PartDeltaEvent)):
            return
        if isinstance(event, PartStartEvent) and isinstance(event.part, (TextPart, ToolCallPart)):
            self._begin(event.index, structured=isinstance(event.part, ToolCallPart))
        if piece and event.index == self._index:
            self._gather(piece)

    def _begin(self, index: int, *, structured: bool) -> None:
        goes_on = self._index is not None and not structured and not self._structured
        self._index = index
        if goes_on:
            return
        self._structured, self._raw, self._told = structured, [], 0
        self._again = self._heard

    def _gather(self, piece: str) -> None:
        self._raw.append(piece)
        self._fresh += len(piece)
        if self._fresh >= GATHER_CHARACTERS:
            self._tell()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._tell)

    def _tell(self) -> None:
        self._stop_timer()
        self._fresh = 0
        self._raw = ["".join(self._raw)]
        text = readable(self._raw[0], structured=self._structured)
        if len(text) <= self._told:
            return
        if self._again:
            self._sink.reset()
            self._again = False
        self._sink.text(text[self._told :])
        self._told, self._heard = len(text), True

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def readable(raw: str, *, structured: bool) -> str:
    """What a reader wants of an answer, as far as it has arrived: `output` of JSON, and prose as it is. Sound text.

    What it gives for a longer beginning of the same answer begins with what it gave for a shorter one.
    """
    # The other half of the last character may still be on its way.
    raw = sound(raw[:-1] if "\ud800" <= raw[-1:] <= "\udbff" else raw)
    body = raw.lstrip()
    if not structured:
        fenced = body.startswith(_FENCE)
        if fenced:
            body = body.removeprefix(_FENCE).rstrip().rstrip("`")
        elif _FENCE.startswith(body):  # not yet to be told apart
            return ""
        elif not body.startswith("{"):
            return raw
    try:
        answer = from_json(sound_escapes(body), allow_partial="trailing-strings")
    except ValueError:
        return ""
    output = answer.get("output") if isinstance(answer, dict) else None
    return sound(output) if isinstance(output, str) else ""


def _text_of(event: AgentStreamEvent) -> str:
    match event:
        case PartStartEvent(part=TextPart(content=text) | ThinkingPart(content=text)):
            return text
        case PartStartEvent(part=ToolCallPart(args=str(text))):
            return text
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=str(text))):
            return text
        case PartDeltaEvent(delta=ToolCallPartDelta(args_delta=str(text))):
            return text
        case _:
            return ""
