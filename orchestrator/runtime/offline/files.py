"""Drafts the promised files of an agent: one skeleton per media type, valid in its language, with the points."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, Final

from orchestrator.agents.artifacts import Artifact
from orchestrator.domain.agents import Deliverable
from orchestrator.runtime.offline.answer import document, request
from orchestrator.runtime.offline.subject import Subject
from orchestrator.runtime.offline.words import clean, kebab

_NOTICE: Final = "Offline draft by orchestrator's offline drafter; no language model wrote this."

_PYTHON: Final = '''\
"""{head}.

{notice}
"""

POINTS = {{
{points}
}}


def point(id: str) -> str:
    return POINTS[id]
'''
_SHELL: Final = """\
#!/usr/bin/env bash
{head}
set -euo pipefail

readonly points=({points})

printf '%s\\n' "${{points[@]}}"
"""
_CONTAINER: Final = """\
{head}
FROM python:3.12-slim
LABEL org.opencontainers.image.title="{slug}"
WORKDIR /app
COPY . .
USER nobody
CMD ["python", "-m", "http.server", "8000"]
"""
_TABLE: Final = """\
-- {text}
CREATE TABLE IF NOT EXISTS "{name}" (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
"""
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
  <h1>{title}</h1>
  <p>{notice}</p>
  <p>{about}</p>
{sections}
</body>
</html>
"""


def draft_files(subject: Subject, artifacts: Sequence[Artifact]) -> list[Deliverable]:
    """The promised files. A media type without a skeleton becomes Markdown."""
    return [
        Deliverable(path=artifact.path, media_type=artifact.media_type, content=_content(artifact, subject))
        for artifact in artifacts
    ]


def _content(artifact: Artifact, subject: Subject) -> str:
    head = clean(f"{subject.name}: {artifact.purpose}")
    return _SKELETONS.get(artifact.media_type, _markdown)(head, subject)


def _comment(mark: str, head: str) -> str:
    return f"{mark} {_NOTICE}\n{mark} {head}"


def _record(head: str, subject: Subject) -> dict[str, Any]:
    points = [{"id": point.id, "name": point.name, "text": point.text} for point in subject.points]
    return {"draft": _NOTICE, "title": head, "about": subject.about, "points": points}


def _markdown(head: str, subject: Subject) -> str:
    return document(head, *request(subject))


def _json(head: str, subject: Subject) -> str:
    return json.dumps(_record(head, subject), ensure_ascii=False, indent=2) + "\n"


def _yaml(head: str, subject: Subject) -> str:
    """A block mapping with values in JSON, which is valid YAML."""
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in _record(head, subject).items())
    return "".join(lines)


def _python(head: str, subject: Subject) -> str:
    head = head.replace("\\", "/").replace('"', "'")
    points = "\n".join(f"    {point.id!r}: {point.text!r}," for point in subject.points)
    return _PYTHON.format(head=head, notice=_NOTICE, points=points)


def _typescript(head: str, subject: Subject) -> str:
    return f"{_comment('//', head)}\n\nexport const draft = {json.dumps(_record(head, subject), indent=2)} as const;\n"


def _css(head: str, subject: Subject) -> str:
    rules = (f".{subject.slug}-{kebab(point.name)} {{\n  display: block;\n}}\n" for point in subject.points)
    return f"/* {_NOTICE} */\n/* {head.replace('*/', '* /')} */\n{''.join(rules)}"


def _html(head: str, subject: Subject) -> str:
    sections = "\n".join(f'  <p id="{point.id}">{escape(point.text)}</p>' for point in subject.points)
    return _PAGE.format(title=escape(head), notice=escape(_NOTICE), about=escape(subject.about), sections=sections)


def _shell(head: str, subject: Subject) -> str:
    points = " ".join(shlex.quote(f"{point.id}: {point.text}") for point in subject.points)
    return _SHELL.format(head=_comment("#", head), points=points)


def _sql(head: str, subject: Subject) -> str:
    """One table per point, in SQL that PostgreSQL and SQLite both accept."""
    tables = (_TABLE.format(text=point.text, name=point.name) for point in subject.points)
    return "\n".join([_comment("--", head), *tables])


def _container(head: str, subject: Subject) -> str:
    return _CONTAINER.format(head=_comment("#", head), slug=subject.slug)


_SKELETONS: Final[Mapping[str, Callable[[str, Subject], str]]] = {
    "application/json": _json,
    "text/css": _css,
    "text/html": _html,
    "text/typescript": _typescript,
    "text/x-dockerfile": _container,
    "text/x-python": _python,
    "text/x-shellscript": _shell,
    "text/x-sql": _sql,
    "text/yaml": _yaml,
}
