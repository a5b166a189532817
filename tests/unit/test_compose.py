"""The parts of scaled mode fit together, as far as that can be seen without Docker."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from api.hardening import PROBES
from orchestrator.commandline.connections import most_connections
from orchestrator.engine.server_files import DEVSERVER_MODULE, server_file
from orchestrator.testing import GivenSettings

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
                # `up` gives up at its first failure: its script tries again.
                script = next(mount.split(":")[0] for mount in services[other]["volumes"] if ".sh:" in mount)
                assert services[other]["restart"] == "no", other
                assert "until " in (ROOT / script).read_text(), script


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


def test_the_health_of_our_processes_is_asked_where_every_host_name_is_answered(compose: dict[str, Any]) -> None:
    ours = {name: service for name, service in compose["services"].items() if "build" in service}
    assert set(ours) == {"api", "worker"}
    asked = {
        name: urlsplit(re.search(r'"(http://\S+)"', service["healthcheck"]["test"][-1])[1])
        for name, service in ours.items()
    }
    assert asked["api"].path in PROBES
    assert str(asked["worker"].port) == ours["worker"]["environment"]["ORCHESTRATOR_WORKER_METRICS_PORT"]


def test_nothing_is_published_beyond_this_machine_and_nothing_lives_without_a_limit(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            assert port.removeprefix("${ORCHESTRATOR_API_PORTS:-").startswith("127.0.0.1:"), port
        assert service["restart"] == "no" or "mem_limit" in service, name


def test_the_pools_of_eight_processes_and_temporal_fit_postgresql(compose: dict[str, Any]) -> None:
    services = compose["services"]
    room = int(services["postgres"]["command"][-1].removeprefix("max_connections=")) - 3
    temporal = services["temporal"]["environment"]
    pools = 4 * (int(temporal["SQL_MAX_CONNS"]) + int(temporal["SQL_VIS_MAX_CONNS"]))
    assert pools + 8 * most_connections(GivenSettings()) <= room


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
