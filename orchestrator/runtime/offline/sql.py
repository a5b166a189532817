"""Drafts of SQL files, in the part of SQL that PostgreSQL and SQLite share."""

from pathlib import PurePosixPath

from orchestrator.agents.artifacts import Artifact
from orchestrator.runtime.offline.answer import NOTICE_LINE
from orchestrator.runtime.offline.subject import Point, Subject
from orchestrator.runtime.offline.words import clean, plural

_TABLE = """\
-- {text}
CREATE TABLE IF NOT EXISTS "{table}" (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'active', 'closed')),
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS "{table}_by_status" ON "{table}" (status, created_at);
"""
_QUERIES = """\
-- {text}: the newest first, one page
SELECT id, name, status, created_at FROM "{table}" WHERE status <> 'closed' ORDER BY created_at DESC LIMIT 50;
-- {text}: how many in each status
SELECT status, COUNT(*) AS amount FROM "{table}" GROUP BY status ORDER BY amount DESC;
"""
_METRIC = """\
-- Metric {id}: {text}
SELECT DATE(created_at) AS day, COUNT(*) AS "{name}_per_day" FROM "{table}" GROUP BY DATE(created_at) ORDER BY day;
"""
_MODEL = """\
-- {text}
CREATE TABLE IF NOT EXISTS "dim_{name}" (
    "{name}_key" INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    valid_from TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS "fact_{name}" (
    "{name}_key" INTEGER NOT NULL REFERENCES "dim_{name}" ("{name}_key"),
    day DATE NOT NULL,
    amount NUMERIC NOT NULL DEFAULT 0,
    PRIMARY KEY ("{name}_key", day)
);
"""


def sql_file(artifact: Artifact, subject: Subject) -> str:
    """Tables, an analytical model or queries, by what the file's name promises.

    Files of queries bring the tables that they read, so that each file runs on an empty database.
    """
    name = PurePosixPath(artifact.path).stem
    parts = {"model": [_MODEL], "queries": [_TABLE, _QUERIES], "metrics": [_TABLE, _METRIC]}.get(name, [_TABLE])
    head = f"-- {NOTICE_LINE}\n-- {clean(subject.name)}: {artifact.purpose}\n"
    return "\n".join([head, *(_fill(part, point) for part in parts for point in subject.resources)])


def _fill(template: str, point: Point) -> str:
    return template.format(id=point.id, text=clean(point.text), name=point.name.strip("_"), table=plural(point.name))
