"""The page on scaled mode names what there is; `tests/e2e/test_scaled_mode.py` runs it."""

import re
import shlex

import pytest
import typer.main
import yaml

from orchestrator.cli import app as cli
from orchestrator.settings import Settings
from tests.scaled_mode import PAGE, ROOT, page, unit, variables

FILES = page().files
UNITS = [path for path in FILES if path.endswith(".service")]


def test_it_has_its_files_its_lines_and_its_units() -> None:
    assert {path.rpartition("/")[2] for path in FILES} == {
        "temporal.env",
        "orchestrator.env",
        "temporal-server.service",
        "orchestrator-api@.service",
        "orchestrator-worker@.service",
    }
    assert len(page().lines) == 3
    kinds = [name.partition("@")[0] for name in page().units]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "temporal-server": 1,
        "orchestrator-api": 2,
        "orchestrator-worker": 4,
    }


@pytest.mark.parametrize("path", UNITS)
def test_a_unit_runs_a_command_that_exists_and_is_started_again(path: str) -> None:
    read = unit(FILES[path])
    service = read["Service"]
    assert (service["Restart"], read["Unit"]["StartLimitIntervalSec"]) == ("always", "0")
    assert service["EnvironmentFile"] in FILES
    program, *arguments = shlex.split(service["ExecStart"])
    if program.endswith("/temporal-server"):
        assert "bin/temporal-server go.temporal.io" in (ROOT / "Makefile").read_text()
    else:
        command = typer.main.get_command(cli).commands[arguments[0]]  # type: ignore[attr-defined]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= known


def test_the_variables_of_our_processes_are_settings() -> None:
    known = {f"ORCHESTRATOR_{name.upper()}" for name in Settings.model_fields} | {
        "TEMPORAL_ADDRESS",
        "TEMPORAL_NAMESPACE",
    }
    assert set(variables(FILES["/etc/orchestrator/orchestrator.env"])) <= known


def test_temporal_has_the_variables_of_compose() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["temporal"]["environment"]
    ours = variables(FILES["/etc/orchestrator/temporal.env"])
    differ = {"POSTGRES_SEEDS", "POSTGRES_PWD", "BIND_ON_IP", "DYNAMIC_CONFIG_FILE_PATH", "PROMETHEUS_ENDPOINT"}
    assert {name: value for name, value in compose.items() if name not in differ} == {
        name: value for name, value in ours.items() if name in compose and name not in differ
    }


def test_the_derived_image_is_the_one_in_the_examples() -> None:
    printed = re.search(r"```dockerfile\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert printed is not None
    lines = (ROOT / "examples" / "plugins.Dockerfile").read_text().splitlines(keepends=True)
    assert printed[1] == "".join(line for line in lines if not line.startswith("#"))
