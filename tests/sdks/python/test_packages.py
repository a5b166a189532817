"""The Python packages are built, installed in an empty environment, and used from there."""

import asyncio
import email
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.sdks.runners import SDKS, neutral_environment

PACKAGES = {"devora": "devora", "ai-orchestra": "ai_orchestra", "devskyy-client": "devskyy_client"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    for package in PACKAGES:
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(build, cwd=SDKS / "python" / package, check=True, capture_output=True)
    return {package: next(folder.glob(f"{name}-*.whl")) for package, name in PACKAGES.items()}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_holds_every_file_and_says_what_it_needs(package: str, wheels: dict[str, Path]) -> None:
    name = PACKAGES[package]
    source = SDKS / "python" / package / "src"
    with zipfile.ZipFile(wheels[package]) as wheel:
        held = set(wheel.namelist())
        metadata = email.message_from_bytes(wheel.read(next(path for path in held if path.endswith("/METADATA"))))
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.suffix in (".py", ".typed")}
    assert files - held == set()
    assert f"{name}/py.typed" in held
    assert metadata["Version"] == "1.0.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-File"] == "LICENSE"
    assert all("<" in need and ">=" in need for need in metadata.get_all("Requires-Dist", []))
    assert f"# {package}" in metadata.get_payload()
    assert "## 1.0.0" in (SDKS / "python" / package / "CHANGELOG.md").read_text()


async def test_installed_packages_run_a_job(
    *, wheels: dict[str, Path], tmp_path: Path, server: str, new_key: Callable[..., Awaitable[str]]
) -> None:
    venv.create(tmp_path / "environment", symlinks=True)
    python = tmp_path / "environment" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    await asyncio.to_thread(subprocess.run, [*install, *map(str, wheels.values())], check=True)
    # What the packages need comes from this environment.
    (packages,) = (tmp_path / "environment").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = """
import ai_orchestra, devora, devskyy_client
print(devora.DevoraClient().agents.execute("t_echo", {"n": 1}).status)
print(ai_orchestra.Client().chat("hello", optimization_mode="lite").execution_mode)
print(devskyy_client.DevSkyyClient().health().status)
for module in (ai_orchestra, devora, devskyy_client):
    print(module.__file__)
"""
    keys = dict.fromkeys(("DEVORA_API_KEY", "AI_ORCHESTRA_API_KEY", "DEVSKYY_API_KEY"), await new_key())
    urls = dict.fromkeys(("DEVORA_BASE_URL", "AI_ORCHESTRA_BASE_URL", "DEVSKYY_API_URL"), server)
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-c", script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**neutral_environment(), **keys, **urls},
        cwd=tmp_path,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    status, mode, health, *files = out.decode().splitlines()
    assert (status, mode, health) == ("completed", "research-team/lite", "healthy")
    assert all(file.startswith(str(packages)) for file in files)
