"""The Markdown answer of a draft: the input in order, and the approach of the agent's role."""

from collections.abc import Iterable, Sequence
from typing import Final

from orchestrator.agents.artifacts import Artifact
from orchestrator.domain.agents import Agent
from orchestrator.runtime.offline.subject import Subject
from orchestrator.runtime.offline.words import clean

NOTICE: Final = (
    "Offline draft: written by the built-in offline drafter from the input alone, not by a language model. "
    "Configure a provider to get a model's answer."
)


def summary(agent: Agent, subject: Subject) -> str:
    """Two sentences: the subject of the draft, and that no model wrote it."""
    count = len(subject.points)
    return (
        f"Offline draft of the {agent.name} for {subject.name}, covering {count} point{'s' if count != 1 else ''}. "
        "It was derived from the input without a language model."
    )


def answer(agent: Agent, subject: Subject, artifacts: Sequence[Artifact]) -> str:
    """The whole answer as Markdown."""
    earlier = (f"{entry.step} ({entry.agent}): {clean(entry.summary, 300)}" for entry in subject.earlier)
    return document(
        f"{agent.name}: {subject.name}",
        *request(subject),
        section("Approach", [clean(agent.description), "", *bullets(_approach(agent, subject))]),
        section("Builds on", bullets(earlier)),
        section("Deliverables", bullets(f"`{artifact.path}`: {artifact.purpose}" for artifact in artifacts)),
    )


def document(title: str, *parts: str) -> str:
    """A Markdown document that begins with the notice, without empty parts."""
    return "\n\n".join(part for part in (f"# {title}", f"> **{NOTICE}**", *parts) if part) + "\n"


def request(subject: Subject) -> list[str]:
    """Sections with the whole input."""
    return [
        section("Request", [subject.about]),
        section("Given with it", bullets(f"{label}: {text}" for label, text in subject.notes)),
        section("Points", bullets(f"**{point.id}** {point.text}" for point in subject.points)),
        section("Technology", bullets(subject.stack)),
    ]


def section(title: str, lines: Sequence[str]) -> str:
    """A second-level section, or an empty text if it has no content."""
    return f"## {title}\n\n" + "\n".join(lines) if any(lines) else ""


def bullets(lines: Iterable[str]) -> list[str]:
    """The lines as a Markdown list."""
    return [f"- {line}" for line in lines]


def _approach(agent: Agent, subject: Subject) -> Iterable[str]:
    """One line per capability, so that the drafts of two agents differ."""
    for index, capability in enumerate(agent.capabilities[:8]):
        point = subject.points[index % len(subject.points)]
        yield f"*{capability.replace('_', ' ').capitalize()}*: start from {point.id} ({clean(point.text, 100)})."
