"""Keeps the text of a call as its readers would see it."""


class Sink:
    """A `TextSink`: `pieces` since the last reset, and everything in order in `sent`, a reset as None.

    Without `reader`, nobody reads: the model is not asked for a stream.
    """

    def __init__(self, *, reader: bool = True) -> None:
        self.reader = reader
        self.sent: list[str | None] = []

    async def is_read(self) -> bool:
        return self.reader

    def text(self, piece: str) -> None:
        self.sent.append(piece)

    def reset(self) -> None:
        self.sent.append(None)

    @property
    def pieces(self) -> list[str]:
        last = max((place for place, piece in enumerate(self.sent) if piece is None), default=-1)
        return [piece for piece in self.sent[last + 1 :] if piece is not None]

    @property
    def whole(self) -> str:
        return "".join(self.pieces)
