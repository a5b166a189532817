"""The test command leaves with pytest's own exit code, past the SDK's crashes at interpreter exit."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("body", "code"), [("assert True", 0), ("assert False", 1)])
def test_the_exit_code_is_that_of_pytest(tmp_path: Path, body: str, code: int) -> None:
    (tmp_path / "test_one.py").write_text(f"import temporalio.client\n\n\ndef test_one():\n    {body}\n")
    command = [sys.executable, "-m", "tests.run", "-q", "-c", "/dev/null", "--rootdir", str(tmp_path), str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert ("1 passed" if code == 0 else "1 failed") in ended.stdout.splitlines()[-1]


def test_the_benchmark_loads_and_explains_itself() -> None:
    command = [sys.executable, "bench/run.py", "--help"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "--quick" in ended.stdout
