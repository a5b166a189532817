"""Reads server-sent events from bytes, however they are cut."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from devora._responses import LARGEST_ANSWER
from devora.errors import too_large

_LINE_END = re.compile(r"\r\n|\n|\r")


class Frame:
    """One event: its type, its data, and its id where it has one."""

    __slots__ = ("data", "event", "id")

    def __init__(self, event: str, data: str, id: str | None) -> None:
        self.event = event
        self.data = data
        self.id = id


class FrameDecoder:
    """Takes bytes, gives the frames that they complete. Comments and unknown fields are dropped."""

    def __init__(self) -> None:
        self._text = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._pieces: list[str] = []
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None
        self._size = 0  # of the frame whose end has not come
        self._started = False

    def feed(self, received: bytes) -> Iterator[Frame]:
        """The frames that end in these bytes."""
        text = self._text.decode(received)
        self._size += len(text)
        if self._size > LARGEST_ANSWER:
            raise too_large("A frame of the stream")
        if "\n" not in text and "\r" not in text:
            self._pieces.append(text)  # joined once its line has ended: a long line comes in many pieces
            return
        text = "".join([*self._pieces, text])
        # A line feed may follow in the next bytes, and belongs to this carriage return.
        carriage_return = "\r" if text.endswith("\r") else ""
        lines = _LINE_END.split(text.removesuffix("\r"))
        self._pieces = [lines.pop() + carriage_return]
        for line in lines:
            if frame := self._take(line):
                yield frame

    def _take(self, line: str) -> Frame | None:
        if not self._started:
            self._started = True
            line = line.removeprefix("\ufeff")
        if not line:
            return self._end()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _end(self) -> Frame | None:
        self._size = 0
        frame = Frame(self._event or "message", "\n".join(self._data), self._id) if self._data else None
        self._event, self._data, self._id = "", [], None
        return frame
