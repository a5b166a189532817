"""Installs and builds the npm packages in `sdks/`, once for each state of their sources."""

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

SDKS: Final = Path(__file__).parents[2] / "sdks"
NODE_MODULES: Final = SDKS / "node_modules"
PACKAGES: Final = {
    "@devora/sdk": SDKS / "typescript" / "packages" / "sdk",
    "@ai-orchestra/sdk": SDKS / "typescript" / "packages" / "ai-orchestra",
    "@devskyy/client": SDKS / "typescript" / "packages" / "devskyy-client",
    "@devora/cli": SDKS / "cli",
}


def prepare() -> str | None:
    """Make the packages usable. Returns the reason if this machine cannot; a package that does not build raises."""
    if absent := [program for program in ("node", "npm") if shutil.which(program) is None]:
        return f"not on the path: {', '.join(absent)}"
    with (SDKS / ".build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the suite runs in several processes
        lock_file = _digest([SDKS / "package-lock.json"])
        if not _stamped("installed", lock_file):
            done = npm("ci", "--prefer-offline", cwd=SDKS)
            if done.returncode != 0:
                return f"npm ci failed: {done.stderr[-1000:]}"
            _stamp("installed", lock_file)
        sources = _digest(_sources())
        if not _stamped("built", sources):
            done = npm("run", "build", cwd=SDKS)
            assert done.returncode == 0, done.stdout + done.stderr
            _stamp("built", sources)
    return None


def install(project: Path) -> Path:
    """Pack the packages and install them in an empty project, as their users do. `prepare` comes first."""
    packed = npm("pack", "--workspaces", "--ignore-scripts", "--pack-destination", str(project), cwd=SDKS)
    assert packed.returncode == 0, packed.stderr
    (project / "package.json").write_text('{"name": "project", "version": "1.0.0", "private": true}')
    archives = [str(file) for file in sorted(project.glob("*.tgz"))]
    done = npm("install", "--prefer-offline", "--no-audit", "--no-fund", *archives, cwd=project)
    assert done.returncode == 0, done.stderr
    return project


def npm(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return program("npm", *arguments, cwd=cwd)


def program(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def _sources() -> Iterable[Path]:
    for folder in PACKAGES.values():
        yield from sorted(folder.glob("src/**/*.ts"))
        yield from sorted(folder.glob("*.json"))
    yield from sorted((SDKS / "typescript").glob("*.*"))


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _stamped(name: str, digest: str) -> bool:
    file = NODE_MODULES / f".{name}"
    return file.exists() and file.read_text() == digest


def _stamp(name: str, digest: str) -> None:
    (NODE_MODULES / f".{name}").write_text(digest)
