"""The parts of scaled mode fit together, as far as that can be seen without Docker."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import yaml
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from api.hardening import PROBES
from orchestrator.commandline.doctor.connections import most_connections
from orchestrator.commandline.server.ports import free_port
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


def test_strangers_start_nothing_unless_somebody_says_so(compose: dict[str, Any]) -> None:
    given = compose["services"]["api"]["environment"]
    assert "ORCHESTRATOR_PUBLIC_SESSIONS" not in given
    assert GivenSettings().public_sessions is None
    assert compose["services"]["api"]["command"][0] == "api", "only `dev` has them by itself"


def test_secrets_are_files_and_only_where_they_are_needed(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|PWD|KEY|SECRET|DATABASE_URL|REDIS_URL", name):
                assert value.startswith("/run/secrets"), name
        mentioned = set(re.findall(r"/run/secrets/(\w+)", str(service)))
        assert mentioned <= set(service.get("secrets", [])), mentioned
    given = {name: set(service["secrets"]) for name, service in compose["services"].items() if "secrets" in service}
    ours = {"orchestrator_database_url", "orchestrator_redis_url", "orchestrator_secret_key"}
    assert given == {
        "postgres": {"postgres_password", "temporal_db_password", "orchestrator_db_password"},
        "redis": {"redis_conf"},
        "temporal-schema": {"temporal_db_password"},
        "temporal": {"temporal_db_password"},
        "worker": ours,
        "api": {*ours, "orchestrator_admin_api_key"},
    }
    assert {*compose["secrets"]} == {name for names in given.values() for name in names}
    made = re.findall(r"^keep (\w+)", (ROOT / "temporal" / "setup-secrets.sh").read_text(), re.MULTILINE)
    assert {secret["file"] for secret in compose["secrets"].values()} == {f"./secrets/{name}" for name in made}
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_a_container_that_is_broken_into_can_do_little(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert service.get("read_only", False) is (name != "temporal-ui"), name
    users = {name: service["user"] for name, service in compose["services"].items() if "user" in service}
    assert users == {"postgres": "postgres", "redis": "redis"}  # the other images have one of their own
    data = next(mount for mount in compose["services"]["worker"]["tmpfs"] if mount.startswith("/data:"))
    assert f"--uid {re.search(r'uid=([0-9]+)', data)[1]} " in (ROOT / "Dockerfile").read_text()


def test_images_have_exact_versions(compose: dict[str, Any]) -> None:
    images = [service["image"] for service in compose["services"].values() if "build" not in service]
    images += re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for image in images:
        assert re.search(r":\d+\.\d+(\.\d+)?(-[a-z-]+)?(@sha256:[0-9a-f]{64})?$", image), image


def test_redis_asks_for_the_password_that_our_processes_have(tmp_path: Path) -> None:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not on the path")
    subprocess.run(["sh", str(ROOT / "temporal" / "setup-secrets.sh"), str(tmp_path)], check=True)
    password = urlsplit((tmp_path / "orchestrator_redis_url").read_text().strip()).password
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen([binary, str(tmp_path / "redis_conf"), *options], stdout=subprocess.DEVNULL) as server:
        try:
            patient = Retry(ConstantBackoff(0.05), 300)
            with redis.Redis(port=port, password=password, retry=patient) as ours:
                assert ours.ping()
            with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
        finally:
            server.kill()


def test_the_image_is_built_from_what_the_build_context_lets_through() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    steps = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    copied = {name for step in steps for name in step.split()}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
