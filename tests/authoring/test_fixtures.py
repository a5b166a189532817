"""What the product's pytest fixtures promise to a test run in another repository."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.testing import GivenSettings

# Runs after the fixtures' own exit hook, as the SDK's crash at interpreter exit does.
CONFTEST = 'import atexit, os\n\natexit.register(os.abort)\npytest_plugins = ["orchestrator.testing"]\n'


@pytest.mark.parametrize(("body", "code"), [("assert True", 0), ("assert False", 1)])
def test_the_exit_code_is_that_of_pytest_whatever_the_interpreter_does_at_its_end(
    tmp_path: Path, body: str, code: int
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_one.py").write_text(f"def test_one():\n    {body}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert ("1 passed" if code == 0 else "1 failed") in ended.stdout.splitlines()[-1]


def test_an_engine_under_test_takes_no_key_and_no_database_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "DATABASE_URL", "ORCHESTRATOR_LLM_BASE_URL"):
        monkeypatch.setenv(name, "postgresql://production")
    settings = GivenSettings(data_dir=tmp_path)
    assert (settings.openai_api_key, settings.anthropic_api_key, settings.llm_base_url) == (None, None, None)
    assert settings.index_url().endswith(f"{tmp_path}/index.sqlite3")
