"""What the environment may say, and what a command says of an environment that is wrong."""

import os
import shutil
import stat
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.commandline.doctor import checks
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.domain.retention import Retention
from orchestrator.settings import Settings
from orchestrator.settings.misspellings import misspelt, not_read, setting_variables

ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize("url", ["foo", "mysql://root:secret@h/n", "sqlite://", "redis://h/0"])
def test_a_database_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", url)
    fault = refusal("doctor")
    assert "ORCHESTRATOR_DATABASE_URL: expected sqlite:///FILE or postgresql://" in str(fault)
    assert "secret" not in str(fault)
    assert fault.code == 2


@pytest.mark.parametrize(
    ("variable", "value", "report"),
    [
        ("ORCHESTRATOR_RETENTION_DAYS", "soon", "ORCHESTRATOR_RETENTION_DAYS: Input should be a valid integer"),
        ("ORCHESTRATOR_TIERS", '{"free": 3}', "ORCHESTRATOR_TIERS.free: "),
        ("ORCHESTRATOR_TIERS", "{", "ORCHESTRATOR_TIERS: not valid JSON"),
    ],
)
def test_a_wrong_value_is_reported_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, report: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert report in str(refusal("doctor"))


@pytest.mark.parametrize(
    ("given", "report"),
    [
        ({"KEEP_ATTEMPTS_DAYS": "31"}, "ORCHESTRATOR_KEEP_ATTEMPTS_DAYS: monthly token limits need at least 32 days"),
        ({"KEEP_JOBS_DAYS": "10", "RETENTION_DAYS": "1"}, "ORCHESTRATOR_KEEP_JOBS_DAYS: monthly token limits need"),
        (
            {"KEEP_JOBS_DAYS": "60", "RETENTION_DAYS": "60"},
            "ORCHESTRATOR_KEEP_JOBS_DAYS: expected more than ORCHESTRATOR_RETENTION_DAYS (60)",
        ),
        ({"KEEP_AUDIT_DAYS": "-1"}, "ORCHESTRATOR_KEEP_AUDIT_DAYS: "),
    ],
)
def test_a_retention_that_breaks_what_is_promised_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], report: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"ORCHESTRATOR_{name}", value)
    assert report in str(refusal("doctor"))


def test_retention_is_for_good_where_it_is_0_and_the_default_where_it_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_KEEP_JOBS_DAYS", "400")
    monkeypatch.setenv("ORCHESTRATOR_KEEP_ATTEMPTS_DAYS", "0")
    monkeypatch.setenv("ORCHESTRATOR_KEEP_DELIVERIES_DAYS", "")
    days = timedelta(days=1)
    assert Settings().retention() == Retention(
        jobs=400 * days, events=None, attempts=None, deliveries=90 * days, audit=400 * days
    )


def without_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in setting_variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)  # no `.env` of this checkout


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_every_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty: str) -> None:
    without_environment(monkeypatch, tmp_path)
    unset = Settings()
    documents = {"ORCHESTRATOR_TIERS", "ORCHESTRATOR_SURFACE_LIMITS"}  # JSON: only the empty text is no document
    for name in setting_variables():
        monkeypatch.setenv(name, "" if name in documents else empty)
    assert Settings() == unset


def test_the_shipped_example_starts_as_it_is_and_with_every_line_made_a_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_environment(monkeypatch, tmp_path)
    unset = Settings()
    example = ROOT / ".env.example"
    shutil.copy(example, tmp_path / ".env")
    assert Settings() == unset
    lines = example.read_text().splitlines()
    (tmp_path / ".env").write_text("\n".join(line[1:] if line.startswith("#ORCH") else line for line in lines))
    assert Settings().value_store_url == "s3://bucket/prefix"


def test_whitespace_around_a_value_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_ADMIN_API_KEY", "dvr_sk_live_abcd\n")
    monkeypatch.setenv("ORCHESTRATOR_SECRET_KEY", " 0123456789abcdef\r\n")
    monkeypatch.setenv("ORCHESTRATOR_LLM_BASE_URL", " http://localhost:11434/v1\n")
    settings = Settings()
    assert settings.admin_api_key == SecretStr("dvr_sk_live_abcd")
    assert settings.secret_key == SecretStr("0123456789abcdef")
    assert settings.llm_base_url == "http://localhost:11434/v1"


@pytest.mark.parametrize(
    ("name", "value", "report"),
    [
        ("ADMIN_API_KEY", "dvr_sk_live_abc\ndef", "the key contains a space, a line break"),
        ("ADMIN_API_KEY", "dvr_sk_live_schlüssel", "the key contains a space, a line break"),
        ("ADMIN_API_KEY", "hidden-15-bytes", "it has 15 bytes, expected at least 16: create one with"),
        ("JWT_SECRET_KEY", "a", "it has 1 bytes, expected at least 32: create one with `openssl rand"),
        ("JWT_SECRET_KEY", "hidden-secret-of-31-characters!", "it has 31 bytes"),
        ("ADMIN_PASSWORD", "hidden!", "it has 7 bytes, expected at least 8: choose a longer one"),
        ("JWT_LONGEST_LIFE", "59", "greater than or equal to 60"),
        ("LLM_API_KEY", "sk-1 sk-2", "the key contains a space, a line break"),
        ("LLM_BASE_URL", "localhost:11434", "expected http://HOST:PORT or https://HOST"),
        ("LLM_BASE_URL", "http://my server/v1", "a URL must not contain spaces"),
        ("TEMPORAL_UI_URL", "http://h:port", "expected http://HOST:PORT or https://HOST"),
        ("REDIS_URL", "localhost:6379", "expected redis://:PASSWORD@HOST:PORT/0"),
        ("REDIS_URL", "redis://:hidden@h:six/0", "expected redis://:PASSWORD@HOST:PORT/0"),
        ("DATABASE_URL", "postgresql://u:hidden@h:port/n", "expected postgresql://USER:PASSWORD@HOST:PORT/NAME"),
        ("DATABASE_URL", "postgresql://u:hidden@h:70000/n", "expected postgresql://USER:PASSWORD@HOST:PORT/NAME"),
        ("SECRETS_DIR", "/nonexistent", "ORCHESTRATOR_SECRETS_DIR: the folder /nonexistent does not exist"),
        ("METRICS_KEY", "short", "expected at least 16 characters"),
        ("TIERS", "{", "not valid JSON"),
        ("DATABASE_URL", "postgresql://u:hid@den@h/n", "in a password write @ : / as %40"),
        ("DATABASE_URL", "postgresql://u:hidden@h/my name", "a URL must not contain spaces"),
        ("VALUE_STORE_URL", "gs://bucket", "ORCHESTRATOR_VALUE_STORE_URL"),
        ("SECRET_KEY", "short", "ORCHESTRATOR_SECRET_KEY"),
        ("ADMIN_PASSWORD", "", "ORCHESTRATOR_ADMIN_USERNAME is set: set ORCHESTRATOR_ADMIN_PASSWORD too"),
        (
            "PLUGINS",
            "acme.plugin, workflows.acme",
            "workflows.acme: the package name `workflows` is reserved by orchestrator",
        ),
        ("LOG_LEVEL", "loud", "expected DEBUG, INFO, WARNING, ERROR or CRITICAL"),
        ("DATA_DIR", "\udcff", "the name of the directory must be UTF-8"),
        ("DATA_DIR", "~nobody-of-this-machine/x", "names an unknown home directory"),
    ],
)
def test_a_key_or_a_url_that_cannot_be_one_is_refused_by_name_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, report: str
) -> None:
    if name == "ADMIN_PASSWORD":
        monkeypatch.setenv("ORCHESTRATOR_ADMIN_USERNAME", "admin")
    monkeypatch.setenv(f"ORCHESTRATOR_{name}", value)
    fault = refusal("doctor")
    assert f"ORCHESTRATOR_{name}: " in str(fault)
    assert report in str(fault)
    assert "hidden" not in str(fault)
    assert "schlüssel" not in str(fault)


def test_a_folder_in_which_a_command_runs_does_not_choose_its_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_environment(monkeypatch, tmp_path)
    lines = ["ORCHESTRATOR_PLUGINS=evil", "export orchestrator_plugins=evil", "ORCHESTRATOR_LOG_LEVEL=DEBUG", ""]
    (tmp_path / ".env").write_text("\n".join(lines))
    settings = Settings()
    assert (settings.plugins, settings.log_level) == ("", "DEBUG")
    assert not_read() == ["ORCHESTRATOR_PLUGINS"]
    finding = checks.check_variables({}, not_read())
    assert (finding.verdict, "ORCHESTRATOR_PLUGINS" in finding.message) == (checks.Verdict.WARNING, True)
    monkeypatch.setenv("ORCHESTRATOR_PLUGINS", "mine")
    assert Settings().plugins == "mine"


def test_secrets_come_from_files_and_the_environment_goes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_environment(monkeypatch, tmp_path)
    folder = tmp_path / "secrets"
    subprocess.run(["sh", str(ROOT / "temporal" / "setup-secrets.sh"), str(folder)], check=True)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes.pop("secrets") == 0o700  # nobody else gets in
    assert set(modes.values()) == {0o644}
    before = {path.name: path.read_text() for path in folder.iterdir()}
    subprocess.run(["sh", str(ROOT / "temporal" / "setup-secrets.sh"), str(folder)], check=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    monkeypatch.setenv("ORCHESTRATOR_SECRETS_DIR", str(folder))
    settings = Settings()
    assert settings.secret_key == SecretStr(before["orchestrator_secret_key"].strip())
    assert settings.admin_api_key == SecretStr(before["orchestrator_admin_api_key"].strip())
    assert settings.database_url == before["orchestrator_database_url"].strip()
    assert settings.redis_url == SecretStr(before["orchestrator_redis_url"].strip())
    monkeypatch.setenv("ORCHESTRATOR_ADMIN_API_KEY", "from-the-environment")
    assert Settings().admin_api_key == SecretStr("from-the-environment")


@pytest.mark.parametrize("name", ["two words", "Größe", "what?", "a#b", "100%", "%41", "file:x?mode=memory", "a&b=c;d"])
def test_the_index_of_a_data_directory_lies_in_it_whatever_its_name(name: str, tmp_path: Path) -> None:
    url = make_url(Settings(data_dir=tmp_path / name).index_url())
    assert url.database == str(tmp_path / name / "index.sqlite3")
    assert not url.query


def test_a_data_directory_stays_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_environment(monkeypatch, tmp_path)
    settings = Settings()
    os.chdir("/")
    assert settings.data_dir == tmp_path / ".orchestrator"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings(data_dir=Path("~/data")).data_dir == tmp_path / "data"


def test_a_misspelt_variable_is_found_in_the_environment_and_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# ORCHESTRATOR_REDIS_URI=x\nexport ORCHESTRATOR_DATABSE_URL=x\nORCHESTRATOR_PLUGINS=x\n")
    environment = {
        "TEMPORAL_ADRESS": "h:1",
        "ORCHESTRATOR_ACME_TOKEN": "mine",
        "ORCHESTRATOR_LLM_API_KEY": "k",
        "OPENAI_APIKEY": "k",
        "OPEN_API_KEY": "k",
        "ORCHESTRATR_LOG_LEVEL": "INFO",
        "PATH": "",
    }
    assert misspelt(environment, file) == {
        "ORCHESTRATOR_DATABSE_URL": "ORCHESTRATOR_DATABASE_URL",
        "TEMPORAL_ADRESS": "TEMPORAL_ADDRESS",
        "OPENAI_APIKEY": "OPENAI_API_KEY",
        "OPEN_API_KEY": "OPENAI_API_KEY",
        "ORCHESTRATR_LOG_LEVEL": "ORCHESTRATOR_LOG_LEVEL",
    }
    assert misspelt(dict.fromkeys(setting_variables(), ""), tmp_path / "missing") == {}
