"""Drafts the files that an agent promises, one writer for each media type."""

from collections.abc import Callable, Sequence
from typing import Final

from orchestrator.agents.artifacts import Artifact
from orchestrator.domain.agents import Agent, Deliverable
from orchestrator.runtime.offline.answer import NOTICE, bullets, notes_section, open_questions, points_section, section
from orchestrator.runtime.offline.python_code import python_file
from orchestrator.runtime.offline.scripts import container_file, shell_file
from orchestrator.runtime.offline.sql import sql_file
from orchestrator.runtime.offline.structured import json_file, yaml_file
from orchestrator.runtime.offline.subject import Subject
from orchestrator.runtime.offline.web import css_file, html_file, typescript_file

_Writer = Callable[[Artifact, Subject], str]

_WRITERS: Final[dict[str, _Writer]] = {
    "application/json": json_file,
    "text/css": css_file,
    "text/html": html_file,
    "text/typescript": typescript_file,
    "text/x-dockerfile": container_file,
    "text/x-python": python_file,
    "text/x-shellscript": shell_file,
    "text/x-sql": sql_file,
    "text/yaml": yaml_file,
}


def draft_files(agent: Agent, subject: Subject, artifacts: Sequence[Artifact]) -> list[Deliverable]:
    """The promised files; a media type without a writer of its own is drafted as Markdown text."""
    return [
        Deliverable(path=artifact.path, media_type=artifact.media_type, content=_content(agent, artifact, subject))
        for artifact in artifacts
    ]


def _content(agent: Agent, artifact: Artifact, subject: Subject) -> str:
    writer = _WRITERS.get(artifact.media_type)
    return writer(artifact, subject) if writer else _document(agent, artifact, subject)


def _document(agent: Agent, artifact: Artifact, subject: Subject) -> str:
    """A Markdown document on the subject, from the agent's point of view."""
    title = artifact.path.rsplit("/", 1)[-1].rsplit(".", 1)[0].replace("_", " ")
    rows = [f"| {p.id} | {p.text.replace('|', '/')} | {p.name} |" for p in subject.points]
    parts = [
        f"# {subject.name}: {title}",
        f"> {NOTICE}",
        f"Purpose: {artifact.purpose}.",
        section("About", [subject.about]),
        notes_section(subject),
        section("Contents", ["| id | text | name |", "|---|---|---|", *rows]),
        points_section(agent, subject),
        section("Technology", bullets(subject.stack)),
        section("Open", bullets(open_questions(subject))),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
