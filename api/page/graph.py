"""The graph of a plan, as SVG: steps in columns by their depth, groups around theirs, and lines between. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    return _drawn(steps, states or {}, _MARGIN, _MARGIN, 0)


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


def _drawn(steps: Sequence[Step], states: Mapping[str, StepState], left: int, top: int, level: int) -> PlanGraph:
    sizes = {step.id: _size(step, states, level) for step in steps}
    columns = _columns(steps)
    heights = [sum(sizes[step.id].height + _GAP_Y for step in column) - _GAP_Y for column in columns]
    tallest = max(heights, default=0)
    placed: dict[str, Box] = {}
    boxes: list[Box] = []
    lines: list[str] = []
    errors: list[str] = []
    x = left
    for column, height in zip(columns, heights, strict=True):
        y = top + (tallest - height) // 2
        for step in column:
            box = placed[step.id] = replace(sizes[step.id], x=x, y=y)
            boxes.append(box)
            if step.steps:
                inside = _drawn(step.steps, states, x + _PADDING, y + _head(box.rules), level + 1)
                boxes += inside.boxes
                lines += inside.lines
                errors += inside.errors
            y += box.height + _GAP_Y
        x += max(sizes[step.id].width for step in column) + _GAP_X
    by_id = {step.id: step for step in steps}
    lines += [_line(placed[need], placed[step.id]) for step in steps for need in _direct(step, by_id)]
    errors += [_line(placed[step.id], placed[step.goto]) for step in steps if step.goto in placed]
    return PlanGraph(x - (_GAP_X if columns else 0) + left, tallest + 2 * top, boxes, lines, errors)


def _size(step: Step, states: Mapping[str, StepState], level: int) -> Box:
    """The box of a step without its place."""
    rules = _rules(step)
    width, height = _WIDTH, _head(rules)
    if step.steps:
        inside = _drawn(step.steps, states, 0, 0, level + 1)
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
    depths: dict[str, int] = {}
    by_id = {step.id: step for step in steps}
    before = {step.id: [*step.needs, *(other.id for other in steps if other.goto == step.id)] for step in steps}

    def depth(step_id: str) -> int:
        if step_id not in depths:
            depths[step_id] = 0  # Handlers can name each other in a circle.
            depths[step_id] = 1 + max((depth(need) for need in before[step_id] if need in by_id), default=-1)
        return depths[step_id]

    columns: dict[int, list[Step]] = {}
    for step in steps:
        columns.setdefault(depth(step.id), []).append(step)
    return [columns[place] for place in sorted(columns)]


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
    x1, y1, x2, y2 = start.x + start.width, start.y + start.height // 2, end.x, end.y + end.height // 2
    middle = (x1 + x2) // 2
    return f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"
