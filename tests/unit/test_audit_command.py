"""`orchestrator audit` over an index of its own."""

import asyncio
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.commandline.index import audit, bind, keys
from orchestrator.domain.access import AuditEntry, Scope
from orchestrator.services.access.keys import KeyRequest
from orchestrator.settings import Settings

ENTRY = AuditEntry(datetime(2026, 7, 1, 12, tzinfo=UTC), "ada", None, "POST /x", "/x", 200, "::1", "req")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an index whose trail has three entries."""
    for command in (audit, bind, keys):
        monkeypatch.setattr(command, "configure", lambda *_: None)  # the logs of this process are the tests'
    given = Settings(_env_file=None, data_dir=tmp_path)

    async def fill() -> None:
        async with audit._trail(given) as trail:
            await trail.add(ENTRY, ENTRY, ENTRY)

    asyncio.run(fill())
    return given


def change(settings: Settings, *statements: str) -> None:
    connection = sqlite3.connect(settings.data_dir / "index.sqlite3")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_whole_trail_is_said_to_be_whole(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.verify(settings) == 0
    assert capsys.readouterr().out.startswith("3 entries are unchanged; the last is 3 (")


def test_the_first_broken_entry_is_named(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    change(settings, "DROP TRIGGER audit_is_never_changed", "UPDATE audit SET principal = 'eve' WHERE id = 2")
    assert audit.verify(settings) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "the audit trail breaks at entry 2: its digest does not match the entry before" in output.err


def test_the_trail_is_exported_line_by_line(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.export(settings, after=1) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["id"] for line in lines] == [2, 3, 4]
    assert (lines[2]["action"], lines[2]["surface"]) == ("CLI audit export", "cli"), "the trail is not read unseen"
    assert (lines[0]["at"], lines[0]["principal"], len(lines[0]["digest"])) == (
        "2026-07-01T12:00:00.000000Z",
        "ada",
        64,
    )


def test_the_trail_outlives_another_secret_key(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    (settings.data_dir / "secret-key").write_text("another secret of thirty-two bytes")
    assert bind.run(settings, namespace=False, secret_key=True) == 0
    assert audit.verify(settings) == 0


def test_a_key_that_is_issued_without_the_api_is_in_the_trail(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keys.create(settings, KeyRequest("desk", frozenset({Scope.JOBS_READ}))) == 0
    audit.export(settings, after=3)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    actions = [json.loads(line)["action"] for line in lines]
    assert actions == ["CLI keys create", "CLI audit export"]
    assert audit.verify(settings) == 0
