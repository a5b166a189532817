"""Every room of the product stands in the layers of `.importlinter`."""

from configparser import ConfigParser
from pathlib import Path
from pkgutil import iter_modules

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
