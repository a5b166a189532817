"""A measured figure with its target, and the table of all figures."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure. `met` is None without a target."""

    name: str
    measured: float
    unit: str
    target: str = ""
    met: bool | None = None
    note: str = ""


def at_most(name: str, limit: float, measured: float, unit: str, note: str = "") -> Figure:
    """A figure that should be at most `limit`."""
    return Figure(name, measured, unit, f"≤ {limit:g} {unit}", measured <= limit, note)


def at_least(name: str, limit: float, measured: float, unit: str, note: str = "") -> Figure:
    """A figure that should be at least `limit`."""
    return Figure(name, measured, unit, f"≥ {limit:g} {unit}", measured >= limit, note)


def show(console: Console, figures: list[Figure]) -> None:
    """Print a table of all figures."""
    table = Table("figure", "target", "measured", "", "note")
    words = {True: "met", False: "[bold]missed[/]", None: ""}
    for figure in figures:
        value = f"{figure.measured:.{2 if figure.unit == '×' else 1}f} {figure.unit}"
        table.add_row(figure.name, figure.target, value, words[figure.met], figure.note)
    console.print(table)


def as_data(figures: list[Figure]) -> list[dict[str, Any]]:
    """The figures as plain data."""
    return [asdict(figure) | {"name": figure.name.strip()} for figure in figures]
