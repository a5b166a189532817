"""Drafts of Python files: one small, complete module for each kind of file that an agent promises."""

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final

from orchestrator.agents.artifacts import Artifact
from orchestrator.runtime.offline.answer import NOTICE_LINE
from orchestrator.runtime.offline.subject import Point, Subject
from orchestrator.runtime.offline.words import clean, kebab, pascal, plural

_API_HEAD = """\
from datetime import UTC, datetime
from itertools import count

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

app = FastAPI(title={project})


class Draft(BaseModel):
    name: str = Field(min_length=1, max_length=200)


class Record(Draft):
    id: int
    created_at: datetime


class Store:
    def __init__(self) -> None:
        self._ids = count(1)
        self._records: dict[int, Record] = {{}}

    def add(self, draft: Draft) -> Record:
        record = Record(id=next(self._ids), name=draft.name, created_at=datetime.now(UTC))
        self._records[record.id] = record
        return record

    def all(self) -> list[Record]:
        return list(self._records.values())

    def get(self, record_id: int) -> Record:
        if record_id not in self._records:
            raise HTTPException(status_code=404, detail="No such record")
        return self._records[record_id]


@app.get("/health")
def health() -> dict[str, str]:
    return {{"status": "ok"}}
"""
_API_PART = """

# {text}
{name}_store = Store()


@app.get("/{path}")
def list_{name}() -> list[Record]:
    return {name}_store.all()


@app.post("/{path}", status_code=201)
def create_{name}(draft: Draft) -> Record:
    return {name}_store.add(draft)


@app.get("/{path}/{{record_id}}")
def get_{name}(record_id: int) -> Record:
    return {name}_store.get(record_id)
"""
_MODELS_HEAD = """\
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field


class RecordStatus(StrEnum):
    NEW = "new"
    ACTIVE = "active"
    CLOSED = "closed"
"""
_MODELS_PART = """

# {text}
class {Name}Request(BaseModel):
    name: str = Field(min_length=1, max_length=200, description={text!r})


class {Name}({Name}Request):
    id: str
    status: RecordStatus = RecordStatus.NEW
    created_at: datetime
"""
_CLIENT = """\
import json
from collections.abc import Mapping
from typing import Any
from urllib.request import Request, urlopen

PATHS = {paths}


class Client:
    def __init__(self, base_url: str, token: str, timeout: float = 10.0) -> None:
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._timeout = timeout

    def send(self, resource: str, body: Mapping[str, Any], idempotency_key: str) -> Any:
        request = Request(
            f"{{self._base_url}}/{{PATHS[resource]}}",
            data=json.dumps(dict(body)).encode(),
            headers={{
                "Authorization": f"Bearer {{self._token}}",
                "Content-Type": "application/json",
                "Idempotency-Key": idempotency_key,
            }},
            method="POST",
        )
        with urlopen(request, timeout=self._timeout) as response:
            return json.load(response)
"""
_INGEST = """\
import csv
import sqlite3
import sys
from pathlib import Path

TABLES = {tables}


def ingest(source: Path, database: Path, table: str) -> int:
    if table not in TABLES:
        raise ValueError(f"unknown table {{table}}")
    with source.open(newline="") as lines, sqlite3.connect(database) as connection:
        connection.execute(f'CREATE TABLE IF NOT EXISTS "{{table}}" (id TEXT PRIMARY KEY, name TEXT NOT NULL)')
        rows = [(row["id"], row["name"]) for row in csv.DictReader(lines)]
        # An id that was read before is overwritten, so that a repeated run changes nothing.
        connection.executemany(f'INSERT OR REPLACE INTO "{{table}}" VALUES (?, ?)', rows)
    return len(rows)


if __name__ == "__main__":
    print(ingest(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
"""
_TRAIN = """\
import csv
import statistics
import sys
from pathlib import Path

TARGETS = {tables}


def load(path: Path, target: str) -> list[float]:
    with path.open(newline="") as lines:
        return [float(row[target]) for row in csv.DictReader(lines)]


def mean_absolute_error(truth: list[float], guess: float) -> float:
    return statistics.fmean(abs(value - guess) for value in truth)


def train(values: list[float]) -> dict[str, float]:
    split = max(1, int(len(values) * 0.8))
    known, unseen = values[:split], values[split:] or values[:split]
    baseline, model = statistics.fmean(known), statistics.median(known)
    return {{
        "baseline_mae": mean_absolute_error(unseen, baseline),
        "model_mae": mean_absolute_error(unseen, model),
    }}


if __name__ == "__main__":
    print(train(load(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else TARGETS[0])))
"""
_CONFTEST = """\
import json
import os
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

import pytest

RESOURCES = {paths}


@pytest.fixture(scope="session")
def base_url() -> str:
    return os.environ.get("BASE_URL", "http://127.0.0.1:8000")


@pytest.fixture
def call(base_url: str) -> Callable[..., Any]:
    def send(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(base_url + path, data=data, method=method, headers={{"Content-Type": "application/json"}})
        with urlopen(request, timeout=10) as response:
            return json.load(response)

    return send
"""
_TEST_PART = """

# {id}: {text}
def test_{name}_can_be_created_and_read(call):
    made = call("POST", "/{path}", {{"name": {text!r}}})
    assert call("GET", "/{path}/" + str(made["id"]))["name"] == {text!r}


def test_{name}_refuses_an_empty_name(call):
    with pytest.raises(HTTPError) as refused:
        call("POST", "/{path}", {{"name": ""}})
    assert refused.value.code in (400, 422)
"""
_SECURITY_PART = """

# {id}: {text}
def test_{name}_refuses_a_call_without_credentials():
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(BASE_URL + "/{path}", headers={{"Authorization": "Bearer wrong"}}), timeout=10)
    assert refused.value.code in (401, 403)
"""
_LOAD_PART = """

    # {text}
    @task
    def load_{name}(self) -> None:
        self.client.get("/{path}", name={id!r})
"""
_QUICKSTART = """\
import json
import os
from urllib.request import Request, urlopen

BASE_URL = os.environ.get("BASE_URL", "http://127.0.0.1:8000")
RESOURCES = {paths}


def first_call(path: str) -> object:
    request = Request(f"{{BASE_URL}}/{{path}}", headers={{"Accept": "application/json"}})
    with urlopen(request, timeout=10) as response:
        return json.load(response)


if __name__ == "__main__":
    for name, path in RESOURCES.items():
        print(name, first_call(path))
"""
_MODULE_HEAD = """\
from dataclasses import dataclass, field
"""
_MODULE_PART = """

# {text}
@dataclass(frozen=True)
class {Name}:
    name: str
    labels: tuple[str, ...] = field(default=())
"""


def python_file(artifact: Artifact, subject: Subject) -> str:
    """The module that the file's name promises; without one that is known, the subject's data classes."""
    write = _FILES.get(PurePosixPath(artifact.path).stem, _module)
    title = clean(f"{subject.name}: {artifact.purpose}").replace("\\", "/").replace('"', "'")
    return f'"""{title}.\n\n{NOTICE_LINE}\n"""\n\n{write(subject)}'


def _filled(template: str, point: Point) -> str:
    name = point.name
    return template.format(
        id=point.id, text=point.text, name=name, Name=pascal(name), path=kebab(plural(name)), table=plural(name)
    )


def _joined(head: str, template: str, subject: Subject) -> str:
    return head + "".join(_filled(template, point) for point in subject.resources)


def _listed(template: str, subject: Subject) -> str:
    """A template over all resources at once: their paths, and their tables."""
    paths = {point.name: kebab(plural(point.name)) for point in subject.resources}
    tables = [plural(point.name) for point in subject.resources]
    return template.format(paths=repr(paths), tables=repr(tables))


def _api(subject: Subject) -> str:
    return _joined(_API_HEAD.format(project=repr(subject.name)), _API_PART, subject)


def _acceptance(subject: Subject) -> str:
    return _joined("from urllib.error import HTTPError\n\nimport pytest\n", _TEST_PART, subject)


def _security(subject: Subject) -> str:
    imports = (
        "import os\nfrom urllib.error import HTTPError\nfrom urllib.request import Request, urlopen\n\nimport pytest\n"
    )
    return _joined(
        f'{imports}\nBASE_URL = os.environ.get("BASE_URL", "http://127.0.0.1:8000")\n', _SECURITY_PART, subject
    )


def _load(subject: Subject) -> str:
    head = f"from locust import HttpUser, between, task\n\n\nclass {pascal(subject.identifier)}User(HttpUser):\n"
    return _joined(f"{head}    wait_time = between(1, 3)\n", _LOAD_PART.replace("\n\n", "\n", 1), subject)


def _module(subject: Subject) -> str:
    return _joined(_MODULE_HEAD, _MODULE_PART, subject)


_FILES: Final[dict[str, Callable[[Subject], str]]] = {
    "main": _api,
    "models": lambda subject: _joined(_MODELS_HEAD, _MODELS_PART, subject),
    "client": lambda subject: _listed(_CLIENT, subject),
    "ingest": lambda subject: _listed(_INGEST, subject),
    "train": lambda subject: _listed(_TRAIN, subject),
    "conftest": lambda subject: _listed(_CONFTEST, subject),
    "test_acceptance": _acceptance,
    "test_security": _security,
    "load_test": _load,
    "quickstart": lambda subject: _listed(_QUICKSTART, subject),
}
