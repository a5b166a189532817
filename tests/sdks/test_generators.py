"""Two generators of other people make clients from the native document, and warn of nothing."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from api.openapi import native_document
from tests.sdks.runners import need

CACHE: Final = Path(__file__).parents[2] / ".cache" / "generators"
PYTHON_GENERATOR: Final = "openapi-python-client==0.29.1"
TYPESCRIPT_GENERATOR: Final = ("openapi-typescript@7.13.0", "typescript@5.9.3")


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **environment}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def installed(folder: Path, stamp: str, commands: Sequence[Sequence[str | Path]]) -> str | None:
    """Run the commands once in a folder of the cache. Returns the reason if this machine cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the suite runs in several processes
        done_file = folder / ".installed"
        if done_file.exists() and done_file.read_text() == stamp:
            return None
        for command in commands:
            done = run(*command, cwd=folder)
            if done.returncode != 0:
                return f"{command[0]} failed: {(done.stderr or done.stdout)[-500:]}"
        done_file.write_text(stamp)
    return None


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(native_document()))
    return file


def test_a_python_client_is_generated_without_a_warning(document: Path, tmp_path: Path):
    pip = CACHE / "python" / "bin" / "pip"
    commands = ([sys.executable, "-m", "venv", "--clear", "."], [pip, "install", "--quiet", PYTHON_GENERATOR])
    need(installed(CACHE / "python", PYTHON_GENERATOR, commands))
    generator = CACHE / "python" / "bin" / "openapi-python-client"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # it formats with ruff
    done = run(generator, "generate", "--path", document, "--output-path", "client", cwd=tmp_path, PATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower(), done.stdout + done.stderr
    package = next(folder for folder in (tmp_path / "client").iterdir() if (folder / "client.py").exists())
    code = (
        f"from {package.name}.api.jobs import get_output; "
        f"from {package.name}.models import Output, JobStatus, JobDetail; "
        "print(get_output.__name__, Output.__name__, JobStatus.COMPLETED.value)"
    )
    used = run(CACHE / "python" / "bin" / "python", "-c", code, cwd=tmp_path / "client")
    assert used.stdout.split()[1:] == ["Output", "completed"], used.stderr


def test_typescript_types_are_generated_without_a_warning(document: Path, tmp_path: Path):
    need(None if shutil.which("npm") else "not on the path: npm")
    folder = CACHE / "typescript"
    command = ["npm", "install", "--prefix", folder, "--prefer-offline", "--no-audit", "--no-fund"]
    need(installed(folder, " ".join(TYPESCRIPT_GENERATOR), [[*command, *TYPESCRIPT_GENERATOR]]))
    programs = folder / "node_modules" / ".bin"
    done = run(programs / "openapi-typescript", document, "--output", "api.d.ts", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warn" not in (done.stdout + done.stderr).lower()
    (tmp_path / "use.ts").write_text(
        'import type { components, operations } from "./api.d.ts";\n'
        'const state: components["schemas"]["JobState"] = "TIMEOUT";\n'
        'type Answer = operations["get_output"]["responses"][200]["content"]["application/json"];\n'
        "export function text(answer: Answer): string { return state + answer.output; }\n"
    )
    options = ("--strict", "--noEmit", "--allowImportingTsExtensions", "--target", "es2022", "--module", "esnext")
    checked = run(programs / "tsc", *options, "--moduleResolution", "bundler", "use.ts", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
