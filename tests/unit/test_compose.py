"""The parts of scaled mode fit together, as far as that can be seen without Docker."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.engine.server_files import DEVSERVER_MODULE, server_file

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_it_has_every_part(compose: dict[str, Any]) -> None:
    assert {"postgres", "redis", "temporal", "temporal-ui", "api", "worker"} < set(compose["services"])


def test_every_part_waits_for_one_that_exists_and_can_tell(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            assert other in services, name
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services[other], other
            else:
                assert wait["condition"] == "service_completed_successfully"
                assert services[other]["restart"].startswith("on-failure"), other


def test_every_mount_is_a_file_of_the_repository_or_a_named_volume(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).is_file() if source.startswith("./") else source in compose["volumes"], volume


def test_the_images_have_the_versions_that_the_go_module_pins(compose: dict[str, Any]) -> None:
    module = (server_file(DEVSERVER_MODULE) / "go.mod").read_text()
    server = re.search(r"go\.temporal\.io/server v(\S+)", module)
    ui = re.search(r"temporalio/ui-server/v2 v(\S+)", module)
    assert server is not None
    assert ui is not None
    images = {name: service.get("image") for name, service in compose["services"].items()}
    assert images["temporal"] == f"temporalio/server:{server[1]}"
    assert images["temporal-schema"] == images["temporal-namespace"] == f"temporalio/admin-tools:{server[1]}"
    assert images["temporal-ui"] == f"temporalio/ui:{ui[1]}"


def test_a_stopped_worker_has_the_time_to_let_its_calls_end(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    drain = float(worker["environment"]["ORCHESTRATOR_WORKER_DRAIN_SECONDS"])
    assert float(worker["stop_grace_period"].removesuffix("s")) >= drain + 10


def test_no_secret_has_a_default(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|PWD|API_KEY", name):
                assert re.fullmatch(r"\$\{\w+:\?.+\}", value), name


def test_the_image_is_built_from_what_the_build_context_lets_through() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    steps = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    copied = {name for step in steps for name in step.split()}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
