"""The Markdown answer of a draft: the input arranged from the point of view of one agent."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from orchestrator.agents.artifacts import Artifact
from orchestrator.domain.agents import Agent, Squad
from orchestrator.runtime.offline.subject import Point, Subject
from orchestrator.runtime.offline.words import clean, ended, kebab, pascal, plural

NOTICE: Final = (
    "Offline draft: written by the built-in offline drafter from the input alone, not by a language model. "
    "Configure a provider to get a model's answer."
)
NOTICE_LINE: Final = "Offline draft by orchestrator's offline drafter; no language model wrote this."

_PRIORITIES: Final = ("Must", "Must", "Should", "Should", "Could")

_View = Callable[[int, Point], str]


def _question(_: int, point: Point) -> str:
    return f"To be answered: {point.text} Give the figure, its source and date, the method, and how sure it is."


def _business(index: int, point: Point) -> str:
    return f"{_PRIORITIES[min(index, 4)]}: {ended(point.text)} Done when a user can see it work; measure its use."


def _frontend(_: int, point: Point) -> str:
    return f"Screen `{pascal(point.name)}` serves: {ended(point.text)} States: loading, empty, filled, error."


def _backend(_: int, point: Point) -> str:
    return f"`/{kebab(plural(point.name))}` (list, create, read, update, delete) serves: {point.text}"


def _data(_: int, point: Point) -> str:
    return (
        f"Record `{plural(point.name)}` with owner, time and source; measure `{point.name}_per_day` for: {point.text}"
    )


def _qa(_: int, point: Point) -> str:
    return f'Given a valid user, when they rely on "{point.text}", then it holds; repeat with bad and missing data.'


def _devops(_: int, point: Point) -> str:
    return f"Component `{kebab(point.name)}`: health check, resource limits, alert on errors; carries: {point.text}"


def _documentation(index: int, point: Point) -> str:
    return f'Chapter {index + 1}, "{pascal(point.name)}": what it is, a first example, the errors. Source: {point.text}'


def _plain(_: int, point: Point) -> str:
    return point.text


_VIEWS: Final[dict[str, tuple[str, _View]]] = {
    Squad.BUSINESS: ("Scope and priorities", _business),
    Squad.FRONTEND: ("Screens", _frontend),
    Squad.BACKEND: ("Resources", _backend),
    Squad.DATA: ("Records and measures", _data),
    Squad.QA: ("Checks", _qa),
    Squad.DEVOPS: ("Components to run", _devops),
    Squad.DOCUMENTATION: ("Outline", _documentation),
}
# Squads whose work on a question is its answer, not something to build.
_ANSWERING: Final = (_business, _data)


def summary(agent: Agent, subject: Subject) -> str:
    """Two sentences: what was drafted, and that no model did it."""
    count = len(subject.points)
    return (
        f"Offline draft of the {agent.name} for {subject.name}, covering {count} point{'s' if count != 1 else ''}. "
        "It was derived from the input without a language model."
    )


def answer(agent: Agent, subject: Subject, artifacts: Sequence[Artifact]) -> str:
    """The whole answer as Markdown."""
    sections = [
        f"# {agent.name}: {subject.name}",
        f"> **{NOTICE}**",
        section("Request", [subject.about]),
        notes_section(subject),
        points_section(agent, subject),
        _approach(agent, subject),
        section("Technology", bullets(subject.stack)),
        section("Builds on", bullets(f"{e.step} ({e.agent}): {clean(e.summary, 300)}" for e in subject.earlier)),
        section("Deliverables", bullets(f"`{a.path}`: {a.purpose}" for a in artifacts)),
        section("Open questions", bullets(open_questions(subject))),
    ]
    return "\n\n".join(part for part in sections if part) + "\n"


def points_section(agent: Agent, subject: Subject) -> str:
    """Every point of the input as this agent's squad looks at it."""
    title, view = _VIEWS.get(agent.squad, ("Points", _plain))
    views = [_question if view in _ANSWERING and point.text.endswith("?") else view for point in subject.points]
    lines = zip(views, subject.points, strict=True)
    return section(title, [f"- **{point.id}** {told(n, point)}" for n, (told, point) in enumerate(lines)])


def notes_section(subject: Subject) -> str:
    """What was given beside the points."""
    return section("Given with it", bullets(f"{label}: {text}" for label, text in subject.notes))


def open_questions(subject: Subject) -> list[str]:
    """What the input leaves open."""
    questions = [
        f'{point.id}: how is "{clean(point.text, 80)}" verified, and who accepts it?' for point in subject.points[:3]
    ]
    if not subject.stack:
        questions.append("Which technologies are given, and which are free to choose?")
    return [*questions, f"Which limits of time, cost and load hold for {subject.name}?"]


def section(title: str, lines: Sequence[str]) -> str:
    """A second-level section, or nothing when it has no content."""
    body = "\n".join(line for line in lines if line)
    return f"## {title}\n\n{body}" if body else ""


def bullets(lines: Iterable[str]) -> list[str]:
    """The lines as a Markdown list."""
    return [f"- {line}" for line in lines]


def _approach(agent: Agent, subject: Subject) -> str:
    """How each capability of the agent meets the points; the role's own words make each agent's draft its own."""
    lines = [clean(agent.description), ""]
    for index, capability in enumerate(agent.capabilities[:8]):
        share = subject.points[index % len(subject.points)]
        label = capability.replace("_", " ")
        lines.append(
            f"- *{label[:1].upper()}{label[1:]}* for {subject.name}: start from {share.id} ({clean(share.text, 100)})."
        )
    return "## Approach\n\n" + "\n".join(lines)
