"""The graph of a plan, as SVG: steps in columns by their depth, and lines to the steps that need them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api.page.formats import shortened
from orchestrator.domain.plans import Step

_WIDTH: Final = 178
_HEIGHT: Final = 42
_GAP_X: Final = 46
_GAP_Y: Final = 16
_MARGIN: Final = 6
_LETTERS: Final = 25


@dataclass(frozen=True, slots=True)
class Box:
    """One step: its place and the two lines that it says. `asks` a person before it runs."""

    id: str
    x: int
    y: int
    title: str
    agents: str
    asks: bool


@dataclass(frozen=True, slots=True)
class PlanGraph:
    """The drawing of a plan."""

    width: int
    height: int
    boxes: list[Box]
    lines: list[str]
    box_width: int = _WIDTH
    box_height: int = _HEIGHT


def graph(steps: Sequence[Step]) -> PlanGraph:
    """The drawing of these steps."""
    depths: dict[str, int] = {}
    by_id = {step.id: step for step in steps}

    def depth(step_id: str) -> int:
        if step_id not in depths:
            needs = [need for need in by_id[step_id].needs if need in by_id]
            depths[step_id] = 1 + max(map(depth, needs), default=-1)
        return depths[step_id]

    columns: dict[int, list[Step]] = {}
    for step in steps:
        columns.setdefault(depth(step.id), []).append(step)
    tallest = max(map(len, columns.values()), default=0)
    height = 2 * _MARGIN + tallest * _HEIGHT + max(0, tallest - 1) * _GAP_Y
    boxes: dict[str, Box] = {}
    for column, members in columns.items():
        used = len(members) * _HEIGHT + (len(members) - 1) * _GAP_Y
        top = (height - used) // 2
        for row, step in enumerate(members):
            x, y = _MARGIN + column * (_WIDTH + _GAP_X), top + row * (_HEIGHT + _GAP_Y)
            agents = shortened(", ".join(step.agents), _LETTERS)
            boxes[step.id] = Box(step.id, x, y, shortened(step.name, _LETTERS - 1), agents, step.approval is not None)
    lines = [_line(boxes[need], boxes[step.id]) for step in steps for need in _direct(step, by_id)]
    width = 2 * _MARGIN + len(columns) * _WIDTH + max(0, len(columns) - 1) * _GAP_X
    return PlanGraph(width, height, list(boxes.values()), lines)


def _direct(step: Step, by_id: Mapping[str, Step]) -> list[str]:
    """The needs of a step that no other need of it implies: the drawing has no line for the others."""
    implied: set[str] = set()
    rest = [need for need in step.needs if need in by_id]
    while rest:
        earlier = [need for need in by_id[rest.pop()].needs if need in by_id and need not in implied]
        implied.update(earlier)
        rest += earlier
    return [need for need in step.needs if need in by_id and need not in implied]


def _line(start: Box, end: Box) -> str:
    x1, y1, x2, y2 = start.x + _WIDTH, start.y + _HEIGHT // 2, end.x, end.y + _HEIGHT // 2
    middle = (x1 + x2) // 2
    return f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"
