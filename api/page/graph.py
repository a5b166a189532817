"""The graph of a plan, as SVG: steps in columns by their depth, groups around theirs, and lines between. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from graphlib import TopologicalSorter
from operator import or_
from typing import Final

from api.page.formats import duration, shortened
from orchestrator.domain.expressions import Cel
from orchestrator.domain.jobs import CallStatus, Job
from orchestrator.domain.steps import Step

_WIDTH: Final = 190
_HEIGHT: Final = 42
_LINE: Final = 15
_GAP_X: Final = 46
_GAP_Y: Final = 16
_MARGIN: Final = 6
_PADDING: Final = 10


@dataclass(frozen=True, slots=True)
class StepState:
    """What a job has done of a step: the state that needs a look most, and how many of its calls have ended."""

    code: str
    ended: int
    total: int


@dataclass(frozen=True, slots=True)
class Box:
    """One step: its place, what it runs, and the rules by which it does. `level` is the number of groups around it."""

    step: Step
    x: int
    y: int
    width: int
    height: int
    level: int
    what: str
    rules: list[str]
    state: StepState | None

    @property
    def asks(self) -> bool:
        """Whether a person has to decide or to fill in a form."""
        return self.step.approval is not None or self.step.ask is not None


@dataclass(frozen=True, slots=True)
class PlanGraph:
    """The drawing of a plan. `errors` are the lines to steps that handle a failure."""

    width: int = 2 * _MARGIN
    height: int = 2 * _MARGIN
    boxes: list[Box] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def graph(steps: Sequence[Step], states: Mapping[str, StepState] | None = None) -> PlanGraph:
    """The drawing of these steps, with their states in a job."""
    layout = _layout(steps, states or {}, 0)
    drawing = PlanGraph(layout.width + 2 * _MARGIN, layout.height + 2 * _MARGIN)
    _place(drawing, layout, _MARGIN, _MARGIN)
    return drawing


def states_of(job: Job) -> dict[str, StepState]:
    """The states of the steps of a job that have calls or questions."""
    states = {}
    for step, calls in job.steps().items():
        statuses = {call.status for call in calls}
        code = next((status for status in _GRAVEST if status in statuses), CallStatus.PENDING)
        states[step] = StepState(code, sum(call.status.ended for call in calls), len(calls))
    for question in job.questions:
        before = states.get(question.step, StepState("", 0, 0))
        state = "waiting_for_input" if question.open else "completed" if question.answer else "skipped"
        if question.open or not before.code:
            states[question.step] = replace(before, code=state)
    return states


_GRAVEST: Final = (
    CallStatus.FAILED,
    CallStatus.WAITING_FOR_APPROVAL,
    CallStatus.RETRYING,
    CallStatus.RUNNING,
    CallStatus.SCHEDULED,
    CallStatus.CANCELLED,
    CallStatus.PENDING,
    CallStatus.COMPLETED,
    CallStatus.SKIPPED,
)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Steps in their columns, each with its box without its place, and the layouts of the groups among them."""

    columns: list[list[Step]]
    sizes: dict[str, Box]
    inside: dict[str, "_Layout"]
    heights: list[int]
    width: int
    height: int


def _layout(steps: Sequence[Step], states: Mapping[str, StepState], level: int) -> _Layout:
    """The layout of these steps. Each group is laid out once: its size and its place both come from that."""
    inside = {step.id: _layout(step.steps, states, level + 1) for step in steps if step.steps}
    sizes = {step.id: _size(step, states, level, inside.get(step.id)) for step in steps}
    columns = _columns(steps)
    heights = [sum(sizes[step.id].height + _GAP_Y for step in column) - _GAP_Y for column in columns]
    widths = [max(sizes[step.id].width for step in column) for column in columns]
    width = sum(widths) + _GAP_X * max(0, len(columns) - 1)
    return _Layout(columns, sizes, inside, heights, width, max(heights, default=0))


def _place(drawing: PlanGraph, layout: _Layout, left: int, top: int) -> None:
    """Add the boxes and lines of a layout to the drawing."""
    placed: dict[str, Box] = {}
    x = left
    for column, height in zip(layout.columns, layout.heights, strict=True):
        y = top + (layout.height - height) // 2
        for step in column:
            box = placed[step.id] = replace(layout.sizes[step.id], x=x, y=y)
            drawing.boxes.append(box)
            if step.id in layout.inside:
                _place(drawing, layout.inside[step.id], x + _PADDING, y + _head(box.rules))
            y += box.height + _GAP_Y
        x += max(layout.sizes[step.id].width for step in column) + _GAP_X
    direct = _direct({id: box.step for id, box in placed.items()})
    for id in layout.sizes:
        drawing.lines.extend(_line(placed[need], placed[id]) for need in direct[id])
        if (handler := placed[id].step.goto) in placed:
            drawing.errors.append(_line(placed[id], placed[handler]))


def _size(step: Step, states: Mapping[str, StepState], level: int, inside: _Layout | None) -> Box:
    """The box of a step without its place."""
    rules = _rules(step)
    width, height = _WIDTH, _head(rules)
    if inside is not None:
        width, height = max(_WIDTH, inside.width + 2 * _PADDING), height + inside.height + _PADDING
    return Box(step, 0, 0, width, height, level, _what(step), rules, states.get(step.id))


def _head(rules: Sequence[str]) -> int:
    return _HEIGHT + _LINE * len(rules)


def _what(step: Step) -> str:
    """What a step runs."""
    if step.workflow:
        return f"workflow {step.workflow}"
    if step.ask is not None:
        return "a form for a person"
    if step.steps:
        return f"a group of {len(step.steps)} step{'' if len(step.steps) == 1 else 's'}"
    return ", ".join(step.agents) or "waits"


def _rules(step: Step) -> list[str]:
    """How a plan decides whether and how often a step runs."""
    rules = []
    if step.approval is not None:
        rules.append("asks a person first")
    if step.join is not None and step.join != "all":
        rules.append(f"after {step.join} of {len(step.needs)}")
    if step.when is not None:
        rules.append(f"when {step.when.cel}")
    if step.for_each is not None:
        rules.append(f"for each of {step.for_each.cel}" + (f", {step.enough} suffice" if step.enough else ""))
    if step.repeat is not None:
        rules.append(f"until {step.repeat.until.cel}, at most {step.repeat.max_rounds} times")
    if step.delay is not None:
        rules.append(f"after {step.delay.cel if isinstance(step.delay, Cel) else duration(step.delay)}")
    if step.until_time is not None:
        rules.append(
            f"at {step.until_time.cel if isinstance(step.until_time, Cel) else step.until_time:%Y-%m-%d %H:%M}"
        )
    return [shortened(rule, 200) for rule in rules]


def _columns(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps by their depth. A step that handles a failure is behind the step that fails."""
    before = {step.id: list(step.needs) for step in steps}
    for step in steps:
        if step.goto in before:
            before[step.goto].append(step.id)
    before = {step_id: [need for need in needs if need in before] for step_id, needs in before.items()}
    depths: dict[str, int] = {}
    columns: dict[int, list[Step]] = {}
    for step in steps:
        if step.id not in depths:
            _find_depths(step.id, before, depths)
        columns.setdefault(depths[step.id], []).append(step)
    return [columns[place] for place in sorted(columns)]


def _find_depths(step_id: str, before: Mapping[str, Sequence[str]], depths: dict[str, int]) -> None:
    """Add the depths of a step and of all before it. Without recursion: a chain can have thousands of steps."""
    depths[step_id] = 0  # Handlers can name each other in a circle.
    trail = [(step_id, iter(before[step_id]))]
    while trail:
        last, rest = trail[-1]
        need = next((need for need in rest if need not in depths), None)
        if need is None:
            depths[last] = 1 + max((depths[need] for need in before[last]), default=-1)
            trail.pop()
        else:
            depths[need] = 0
            trail.append((need, iter(before[need])))


def _direct(steps: Mapping[str, Step]) -> dict[str, list[str]]:
    """The needs of each step that no other need of it implies: the drawing has no line for the others."""
    needs = {id: [need for need in step.needs if need in steps] for id, step in steps.items()}
    places = {id: place for place, id in enumerate(steps)}
    before: dict[str, int] = {}  # The steps before a step, one bit each.
    direct = {}
    for id in TopologicalSorter(needs).static_order():
        implied = reduce(or_, (before[need] for need in needs[id]), 0)
        direct[id] = [need for need in needs[id] if not implied >> places[need] & 1]
        before[id] = reduce(or_, (1 << places[need] for need in direct[id]), implied)
    return direct


def _line(start: Box, end: Box) -> str:
    x1, y1, x2, y2 = start.x + start.width, start.y + start.height // 2, end.x, end.y + end.height // 2
    middle = (x1 + x2) // 2
    return f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"
