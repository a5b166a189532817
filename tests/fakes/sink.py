"""Keeps the text of a call as its readers would see it."""


class Sink:
    """A `TextSink`: `pieces` since the last reset, and everything in order in `told`, a reset as None."""

    def __init__(self) -> None:
        self.told: list[str | None] = []

    def text(self, piece: str) -> None:
        self.told.append(piece)

    def reset(self) -> None:
        self.told.append(None)

    @property
    def pieces(self) -> list[str]:
        last = max((place for place, piece in enumerate(self.told) if piece is None), default=-1)
        return [piece for piece in self.told[last + 1 :] if piece is not None]

    @property
    def whole(self) -> str:
        return "".join(self.pieces)
