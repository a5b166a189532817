"""Pauses between tries: they grow to a limit, start over, and spread."""

import ast
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from orchestrator.domain.backoff import Backoff, jittered

ROOT = Path(__file__).parents[2]
ROOMS = ("activities", "api", "orchestrator", "workflows")
HOME = ROOT / "orchestrator/domain/backoff.py"


def test_pauses_grow_by_the_factor_up_to_the_longest() -> None:
    assert list(islice(Backoff(0.5, 5.0).pauses(), 6)) == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert [Backoff(1.0, 30.0, factor=3.0).pause(failures) for failures in (1, 2, 3, 4, 5)] == [1, 3, 9, 27, 30]


def test_the_first_pause_is_never_longer_than_the_longest() -> None:
    assert Backoff(10.0, 2.0).pause(1) == 2.0


@pytest.mark.parametrize("failures", [-3, 0, 1])
def test_before_a_second_failure_the_first_pause_holds(failures: int) -> None:
    assert Backoff(1.0, 30.0).pause(failures) == 1.0


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.0])
def test_any_number_of_failures_has_a_pause(factor: float) -> None:
    assert Backoff(1.0, 30.0, factor).pause(10**9) == (1.0 if factor == 1 else 30.0)


def test_jitter_spreads_both_ways_within_its_share() -> None:
    generator = random.Random(1)
    pauses = [jittered(10.0, 0.1, generator.uniform) for _ in range(200)]
    assert 9.0 <= min(pauses) < 9.5
    assert 10.5 < max(pauses) <= 11.0


def grown_by_hand(path: str, code: str) -> Iterator[str]:
    """Lines that multiply a pause or raise a power inside `min`: a back-off of their own."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "min":
            parts = [part for argument in node.args for part in ast.walk(argument)]
            if any(isinstance(part, ast.BinOp) and grows(part) for part in parts):
                yield f"{path}:{node.lineno}"


def grows(operation: ast.BinOp) -> bool:
    factors = ast.unparse(operation.left), ast.unparse(operation.right)
    pause = any(word in factor for factor in factors for word in ("pause", "delay", "wait", "interval"))
    return isinstance(operation.op, ast.Pow) or (isinstance(operation.op, ast.Mult) and pause)


def test_no_room_grows_pauses_by_itself() -> None:
    """Use `orchestrator.domain.backoff.Backoff`."""
    sources = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")) if path != HOME]
    assert [line for path in sources for line in grown_by_hand(str(path), path.read_text())] == []


@pytest.mark.parametrize("code", ["min(pause * 2, 9)", "min(2 * self._pause, 9)", "min(1.5 ** tries, 9)"])
def test_the_rule_finds_them(code: str) -> None:
    assert list(grown_by_hand("", code)) == [":1"]
