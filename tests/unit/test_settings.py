"""What the environment may say, and what a command says of an environment that is wrong."""

from datetime import timedelta

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.commandline.exits import Refused
from orchestrator.domain.retention import Retention
from orchestrator.settings import Settings


def refusal(command: str) -> Refused:
    fault = CliRunner().invoke(app, [command]).exception
    assert isinstance(fault, Refused)
    return fault


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://u:p@h/n", "postgresql+psycopg://u:p@h/n"),
        ("postgres://u:p@h/n", "postgresql+psycopg://u:p@h/n"),
        ("postgresql+asyncpg://u:p@h/n", "postgresql+psycopg://u:p@h/n"),
        ("sqlite+aiosqlite:////var/index.sqlite3", "sqlite:////var/index.sqlite3"),
        ("sqlite:///index.sqlite3", "sqlite:///index.sqlite3"),
    ],
)
def test_the_index_is_reached_with_our_own_drivers(monkeypatch: pytest.MonkeyPatch, given: str, used: str) -> None:
    monkeypatch.setenv("DATABASE_URL", given)
    assert Settings().index_url() == used


def test_an_empty_database_url_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", "")
    assert Settings().index_url().endswith(".orchestrator/index.sqlite3")


@pytest.mark.parametrize("url", ["foo", "mysql://root:secret@h/n", "sqlite://"])
def test_a_database_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", url)
    fault = refusal("doctor")
    assert "ORCHESTRATOR_DATABASE_URL: it takes sqlite:///FILE or postgresql://" in str(fault)
    assert "secret" not in str(fault)
    assert fault.code == 2


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("ORCHESTRATOR_RETENTION_DAYS", "soon", "ORCHESTRATOR_RETENTION_DAYS: Input should be a valid integer"),
        ("ORCHESTRATOR_TIERS", '{"free": 3}', "ORCHESTRATOR_TIERS.free: "),
        ("ORCHESTRATOR_TIERS", "{", 'parsing value for field "tiers"'),
    ],
)
def test_a_wrong_value_is_told_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert told in str(refusal("doctor"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"KEEP_ATTEMPTS_DAYS": "31"}, "ORCHESTRATOR_KEEP_ATTEMPTS_DAYS: monthly token limits need 32 days at least"),
        ({"KEEP_JOBS_DAYS": "10", "RETENTION_DAYS": "1"}, "ORCHESTRATOR_KEEP_JOBS_DAYS: monthly token limits need"),
        (
            {"KEEP_JOBS_DAYS": "60", "RETENTION_DAYS": "60"},
            "ORCHESTRATOR_KEEP_JOBS_DAYS: it must be more than ORCHESTRATOR_RETENTION_DAYS, which is 60",
        ),
        ({"KEEP_AUDIT_DAYS": "-1"}, "ORCHESTRATOR_KEEP_AUDIT_DAYS: "),
    ],
)
def test_a_retention_that_breaks_what_is_promised_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"ORCHESTRATOR_{name}", value)
    assert told in str(refusal("doctor"))


def test_retention_is_for_good_where_it_is_0_and_the_default_where_it_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_KEEP_JOBS_DAYS", "400")
    monkeypatch.setenv("ORCHESTRATOR_KEEP_ATTEMPTS_DAYS", "0")
    monkeypatch.setenv("ORCHESTRATOR_KEEP_DELIVERIES_DAYS", "")
    days = timedelta(days=1)
    assert Settings().retention() == Retention(
        jobs=400 * days, events=None, attempts=None, deliveries=90 * days, audit=400 * days
    )
