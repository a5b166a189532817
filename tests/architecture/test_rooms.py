"""Every room of the product stands in the layers of `.importlinter`."""

from configparser import ConfigParser
from pathlib import Path
from pkgutil import iter_modules

ROOT = Path(__file__).parents[2]
PACKAGES = ("activities", "api", "workflows")


def test_every_module_of_the_product_has_a_layer() -> None:
    contracts = ConfigParser()
    contracts.read(ROOT / ".importlinter")
    layers = set(contracts["importlinter:contract:layers"]["layers"].replace("|", " ").split())
    modules = {f"orchestrator.{found.name}" for found in iter_modules([str(ROOT / "orchestrator")])}
    assert len(modules) > 10
    assert layers == modules | set(PACKAGES)
