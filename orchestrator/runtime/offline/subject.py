"""Finds the subject of an agent call in any job input, by the names and types of its fields."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from orchestrator.domain.agents import StepOutput
from orchestrator.domain.commands import AgentTask
from orchestrator.runtime.offline.words import clean, kebab, sentences, snake, topic

_NAME_WORDS: Final = (
    "project_name product_name app_name application_name service_name system_name feature_name "
    "dataset_name name title project product system service application company"
)
_NAME: Final = tuple(_NAME_WORDS.split())
_ABOUT_WORDS: Final = (
    "description context need brief goal objective question message prompt problem topic query request summary task"
)
_ABOUT: Final = tuple(_ABOUT_WORDS.split())
_STACK_WORDS: Final = (
    "tech_stack stack technologies frameworks framework languages language database databases cloud "
    "cloud_provider platform tools infrastructure runtime backend frontend"
)
_STACK: Final = frozenset(_STACK_WORDS.split())
# Texts under these names are lists written as prose.
_ITEMS_WORDS: Final = (
    "requirements features user_stories stories acceptance_criteria goals objectives questions endpoints "
    "entities resources pages screens components tables metrics constraints"
)
_ITEMS: Final = frozenset(_ITEMS_WORDS.split())
# Lists under these names describe the work, but are not parts of it.
_ASIDE_WORDS: Final = "colors colours palette audiences stakeholders team compliance scope timeline tags"
_ASIDE: Final = frozenset(_ASIDE_WORDS.split())
_LEAVES_LIMIT: Final = 2000
_TEXT_LIMIT: Final = 20_000
_POINTS_LIMIT: Final = 8
_NOTES_LIMIT: Final = 10
_STACK_LIMIT: Final = 10


@dataclass(frozen=True, slots=True)
class Point:
    """One requirement, question or other item of the input, with an id such as `R1` and a name for code."""

    id: str
    text: str
    name: str


@dataclass(frozen=True, slots=True)
class Subject:
    """The parts of a job input for a draft. `notes` are the remaining inputs as `(label, text)`."""

    name: str
    about: str
    points: tuple[Point, ...]
    stack: tuple[str, ...]
    notes: tuple[tuple[str, str], ...]
    earlier: tuple[StepOutput, ...]

    @property
    def slug(self) -> str:
        """The name in a form for class names and images."""
        return kebab(snake(self.name, "project"))


def subject_of(task: AgentTask) -> Subject:
    """Read the subject from a task's input. It contains every text of the input, shortened.

    Of a very large input only the beginning is read, because a draft shows no more.
    """
    leaves = [(key, text[:_TEXT_LIMIT], in_list) for key, text, in_list in islice(_leaves(task.input), _LEAVES_LIMIT)]
    name = _first(leaves, (*_NAME, *(key for key, *_ in leaves if key.endswith("_name"))))
    about = _first(leaves, _ABOUT)
    stack = [part for key, text, _ in leaves if key in _STACK for part in text.split(",")]
    items = [text for key, text, in_list in leaves if in_list and key not in _STACK | _ASIDE]
    items += [line for key, text, in_list in leaves if not in_list and key in _ITEMS for line in sentences(text)]
    # Without a list, the sentences of the description are the points.
    texts = items or sentences(about) or [name or task.step.name]
    return Subject(
        name=clean(name, 80) or _title(about) or task.step.name,
        about=clean(about or name or task.step.name, 800),
        points=_points(texts) or _points([task.step.name]),
        stack=tuple(clean(text, 60) for text in stack if clean(text))[:_STACK_LIMIT],
        notes=_notes([leaf for leaf in leaves if leaf[1] not in (name, about)]),
        earlier=tuple(task.context),
    )


def _points(texts: list[str]) -> tuple[Point, ...]:
    lines = list(dict.fromkeys(clean(text, 160) for text in texts if clean(text)))[:_POINTS_LIMIT]
    return tuple(Point(f"R{n}", line, topic(line, f"item_{n}")) for n, line in enumerate(lines, 1))


def _notes(leaves: list[tuple[str, str, bool]]) -> tuple[tuple[str, str], ...]:
    """The texts that are neither items nor the stack, by label. The entries of a list are joined."""
    notes: dict[str, list[str]] = {}
    for key, text, in_list in leaves:
        if key in _ASIDE or not (in_list or key in _STACK | _ITEMS):
            notes.setdefault(key, []).append(text)
    return tuple((key.replace("_", " "), clean(", ".join(texts), 300)) for key, texts in notes.items())[:_NOTES_LIMIT]


def _first(leaves: list[tuple[str, str, bool]], keys: tuple[str, ...]) -> str:
    """The text under the first of `keys` that has one."""
    texts = {key: text for key, text, listed in reversed(leaves) if not listed}
    return next((texts[key] for key in keys if texts.get(key, "").strip()), "")


def _title(about: str) -> str:
    first = next(iter(sentences(about)), "")
    return " ".join(first.split()[:7]).rstrip(",:.")[:80]


def _leaves(value: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Each text of the input as `(key, text, whether it is in a list)`, keys in lower case."""
    for raw, item in value.items():
        key = str(raw).lower()
        if isinstance(item, Mapping):
            inner = _leaves(item)
            # A stack may be an object: all of {"database": "PostgreSQL"} belongs to the stack.
            yield from ((key, text, in_list) for _, text, in_list in inner) if key in _STACK else inner
        elif isinstance(item, (list, tuple)):
            yield from ((key, _entry(entry), True) for entry in item if entry not in (None, "", [], {}))
        elif item not in (None, ""):
            yield key, str(item).lower() if isinstance(item, bool) else str(item), False


def _entry(entry: Any) -> str:
    """An entry of a list as text: of an object its name and description, or its fields."""
    if not isinstance(entry, Mapping):
        return ", ".join(map(str, entry)) if isinstance(entry, (list, tuple)) else str(entry)
    texts = {str(key).lower(): str(item) for key, item in entry.items() if isinstance(item, (str, int, float))}
    head = next((texts[key] for key in (*_NAME, "id", "path") if key in texts), "")
    tail = next((texts[key] for key in (*_ABOUT, "text", "requirement", "story") if key in texts), "")
    if head and tail and head != tail:
        return f"{head}: {tail}"
    return head or tail or ", ".join(f"{key} {item}" for key, item in texts.items())
