"""The first minutes of a stranger: a wheel in an empty environment, `orchestrator dev`, and the pages' own commands."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.processes import Command, free_port
from tests.page_commands import ROOT, blocks, pages, script

README = ROOT / "README.md"
PACKAGES = ("orchestrator", "api", "workflows", "activities")
RUN = [page for page in pages() if script(page)]
# An HTTP error of a page's curl ends its script, and says what the API answered.
PRELUDE = """
set -euo pipefail
curl() { command curl --silent --show-error --fail-with-body "$@"; }
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel; its dependencies come from this one, without the checkout."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@dataclass(frozen=True)
class Dev:
    """`orchestrator dev` as it was installed; pages are run in its `folder`."""

    folder: Path
    port: int
    environment: dict[str, str]

    def run(self, text: str) -> str:
        """What a page's script prints; the page's port is this one's."""
        there = re.sub(r"\b(localhost|127\.0\.0\.1):8000\b", rf"\1:{self.port}", text)
        command = ["bash", "-c", PRELUDE + there]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dev(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dev]:
    folder, port = tmp_path_factory.mktemp("dev"), free_port()
    foreign = ("ORCHESTRATOR_", "TEMPORAL_", "OPENAI_", "ANTHROPIC_", "PYTHONPATH", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    ports = ["--port", str(port), "--temporal-port", "0", "--ui-port", "0"]
    command = Command(folder, "dev", *ports, program=(str(programs / "orchestrator"),), whole=environment)
    try:
        await (await command.start(cwd=folder)).ready(300)
        key = (folder / ".orchestrator" / "admin-api-key").read_text().strip()
        found = Dev(folder, port, {**environment, "KEY": key})
        started = json.loads(found.run('orchestrator run market_research --input \'{"topic": "tea"}\' --json'))
        yield Dev(folder, port, {**found.environment, "JOB": started["job_id"]})
    finally:
        await command.kill()


def test_the_wheel_holds_every_file_of_the_packages_and_of_temporal(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(["git", "ls-files", *PACKAGES, "temporal"], cwd=ROOT, capture_output=True, check=True)
    link = "orchestrator/engine/temporal_files"
    files = {re.sub("^temporal/", f"{link}/", name) for name in listed.stdout.decode().splitlines()} - {link}
    assert files - held == set()
    assert len(files) > 100


async def test_an_installed_wheel_runs_a_job(dev: Dev) -> None:
    out = dev.run('orchestrator run market_research --input \'{"topic": "tea"}\' --output-dir files')
    assert "completed" in out
    assert list((dev.folder / "files").rglob("*.md"))
    where = dev.run('"$(dirname "$(command -v orchestrator)")/python" -c "import api; print(api.__file__)"')
    assert not where.startswith(str(ROOT))


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
async def test_the_commands_of_a_page_run(dev: Dev, page: Path) -> None:
    dev.run(script(page))


async def test_the_readme_prints_what_its_request_answers(dev: Dev) -> None:
    (shown,) = [block for block in blocks(README) if block.output]
    assert steady(dev.run(shown.script)) == steady(shown.output)


def steady(answer: str) -> object:
    """An answer without what differs each time."""
    return json.loads(re.sub(r"wf_job_[0-9a-f]{32}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "…", answer))
