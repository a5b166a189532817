"""Reads the text of an answer while it streams: counts it for heartbeats, and sends readable pieces to a sink."""

import asyncio
import json
from collections.abc import AsyncIterable, Callable
from typing import Final

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

    Pieces are buffered for 50 ms or 500 characters, so that an answer of a thousand tokens is not a thousand messages.
    A reader gets the field `output` of a structured answer, and prose unchanged. Thinking and other fields are only
    counted. If the model answers again, because its first answer was invalid, the sink is reset before the new text.
    """

    def __init__(self, progress: Callable[[int], None], sink: TextSink) -> None:
        self._progress = progress
        self._sink = sink
        self._received = 0
        self._index: int | None = None
        self._structured = False
        self._raw: list[str] = []
        self._unsent = 0
        self._sent = 0
        self._has_sent = False
        self._is_repeated = False
        self._timer: asyncio.TimerHandle | None = None

    async def is_read(self) -> bool:
        """Whether somebody reads the text of the job now."""
        return await self._sink.is_read()

    async def read(self, events: AsyncIterable[AgentStreamEvent]) -> None:
        """Read the events of a response."""
        self._index = None
        try:
            async for event in events:
                self._read_event(event)
            self._send()
        finally:
            self._stop_timer()

    def _read_event(self, event: AgentStreamEvent) -> None:
        piece = _text_of(event)
        if piece:
            self._received += len(piece)
            self._progress(self._received)
        if not isinstance(event, (PartStartEvent, PartDeltaEvent)):
            return
        if isinstance(event, PartStartEvent) and isinstance(event.part, (TextPart, ToolCallPart)):
            self._begin_part(event.index, structured=isinstance(event.part, ToolCallPart))
        if piece and event.index == self._index:
            self._buffer(piece)

    def _begin_part(self, index: int, *, structured: bool) -> None:
        continues = self._index is not None and not structured and not self._structured
        self._index = index
        if continues:
            return
        self._structured, self._raw, self._sent = structured, [], 0
        self._is_repeated = self._has_sent

    def _buffer(self, piece: str) -> None:
        self._raw.append(piece)
        self._unsent += len(piece)
        if self._unsent >= GATHER_CHARACTERS:
            self._send()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._send)

    def _send(self) -> None:
        self._stop_timer()
        self._unsent = 0
        self._raw = ["".join(self._raw)]
        text = readable(self._raw[0], structured=self._structured)
        if len(text) <= self._sent:
            return
        if self._is_repeated:
            self._sink.reset()
            self._is_repeated = False
        self._sink.text(text[self._sent :])
        self._sent, self._has_sent = len(text), True

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def readable(raw: str, *, structured: bool) -> str:
    """The readable part of an answer so far, as sound text: the field `output` of JSON, or prose unchanged.

    A longer beginning of the same answer gives a text that begins with the previous one.
    """
    # The other half of the last character may still follow.
    raw = sound(raw[:-1] if "\ud800" <= raw[-1:] <= "\udbff" else raw)
    body = raw.lstrip()
    if not structured:
        is_fenced = body.startswith(_FENCE)
        if is_fenced:
            body = body.removeprefix(_FENCE).rstrip().rstrip("`")
        elif _FENCE.startswith(body):  # JSON or prose: too short to decide.
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
        case PartStartEvent(part=ToolCallPart(args=dict(arguments))):  # Of a response in one piece.
            return json.dumps(arguments, ensure_ascii=False)
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=str(text))):
            return text
        case PartDeltaEvent(delta=ToolCallPartDelta(args_delta=str(text))):
            return text
        case _:
            return ""
