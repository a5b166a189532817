"""Every room of the product stands in the layers of `.importlinter`."""

import re
from configparser import ConfigParser
from pathlib import Path
from pkgutil import iter_modules

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("activities", "api", "workflows")


TEMPORAL = {  # where `temporalio` may be imported
    "activities",
    "orchestrator.composition",
    "orchestrator.engine",
    "orchestrator.projection",
    "orchestrator.testing",
    "workflows",
}


def rooms() -> set[str]:
    modules = {f"orchestrator.{module.name}" for module in iter_modules([str(ROOT / "orchestrator")])}
    assert len(modules) > 10
    return modules | set(PACKAGES)


def contract(name: str, option: str) -> set[str]:
    contracts = ConfigParser()
    contracts.read(ROOT / ".importlinter")
    return set(contracts[f"importlinter:contract:{name}"][option].replace("|", " ").split())


def test_every_module_of_the_product_has_a_layer() -> None:
    assert contract("layers", "layers") == rooms()


def test_every_other_room_is_kept_from_temporal() -> None:
    assert contract("temporal", "source_modules") == rooms() - TEMPORAL


def test_the_readers_of_history_are_named_on_the_map() -> None:
    words = contract("projection", "ignore_imports")
    readers = {word.rpartition(".")[2] for word in words if word.startswith("orchestrator.projection.")}
    named = re.search(r"`temporalio` but in (.*?) \|", (ROOT / "CONTRIBUTING.md").read_text())
    assert named is not None
    assert set(re.findall(r"`(\w+)\.py`", named[1])) == readers


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_map_has_the_order_of_the_layers(page: str) -> None:
    contracts = ConfigParser()
    contracts.read(ROOT / ".importlinter")
    layers = contracts["importlinter:contract:layers"]["layers"].split("\n")
    level = {room: number for number, layer in enumerate(layers) for room in layer.replace("|", " ").split()}
    text = (ROOT / page).read_text()
    table = text[text.index("| `orchestrator/cli.py`") :].partition("\n\n")[0]
    first_cells = " ".join(row.split("|")[1] for row in table.splitlines())
    rooms_of_page = [
        name.removesuffix(".py").strip("/").replace("/", ".") for name in re.findall(r"`([^`]+)`", first_cells)
    ]
    levels = [level[room] for room in rooms_of_page]
    assert levels == sorted(levels), rooms_of_page
    assert set(rooms_of_page) >= level.keys() - {"orchestrator.__main__", "orchestrator.testing"}
