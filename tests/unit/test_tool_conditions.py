"""Calls that ask a person only under a condition: checked at load, and on the safe side at run time."""

import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field, PlainSerializer

from orchestrator.authoring import Agent, Cel, Tool, cel
from orchestrator.domain.errors import CatalogueError
from orchestrator.plugins import load_plugins
from orchestrator.runtime.toolbox import Offer, offers


class Currency(StrEnum):
    """A currency."""

    EURO = "EUR"
    DOLLAR = "USD"


class Payee(BaseModel):
    """Who is paid."""

    country: str


class Anything(BaseModel):
    """Any input."""


def _unwritable(value: str) -> str:
    raise RuntimeError(f"cannot write {value}")


async def refund(
    *,
    number: str,
    amount: float,
    price: Decimal = Decimal(0),
    count: int = 1,
    currency: Currency = Currency.EURO,
    payee: Payee | None = None,
    parts: tuple[float, ...] = (),
    on: date = date(2026, 1, 1),
    express: bool = False,
    account: Annotated[str, Field(alias="iban")] = "",
    place: Annotated[str, AfterValidator(str.upper)] = "",
) -> str:
    """Pay an amount back."""
    return f"{number} {amount}"


async def write(note: Annotated[str, PlainSerializer(_unwritable)]) -> str:
    """Write."""
    return note


async def pay(amount: float) -> str:
    """Pay."""
    return f"{amount}"


def offer(condition: Cel | bool, function: Callable[..., Any]) -> Offer:
    desk = Agent(
        id="u_desk",
        name="Desk",
        squad="business",
        description="Answers",
        capabilities=("support",),
        instructions="Help.",
        input_model=Anything,
        tools=(Tool(function, ask_before=condition),),
    )
    return offers(desk, {}, agents={}, cut=False)[0]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("args.amont > 50.0", "there is no argument 'amont'. Did you mean 'amount'?"),
        ("args.zzz > 50.0", "there is no argument 'zzz'. Its arguments: number, amount, price"),
        ("args.number > 50", r"line 1, column 13: found no matching overload for '_>_' applied to '(string, int)'"),
        ("args.currency == 5", "found no matching overload for '_==_' applied to '(string, int)'"),
        ("args.express == 'yes'", "found no matching overload for '_==_' applied to '(bool, string)'"),
        ("args.amount", "its value is number: expected bool"),
        ("args.number", "its value is string: expected bool"),
        ("args.amount >", "Syntax error"),
        ("amount > 50.0", "unknown name 'amount'"),
        ("args.account == ''", "there is no argument 'account'"),
    ],
)
def test_a_condition_that_does_not_fit_the_arguments_is_refused(condition: str, message: str):
    with pytest.raises(ValueError, match="tool 'refund': ask_before") as refused:
        Tool(refund, ask_before=cel(condition))
    assert message in str(refused.value)


@pytest.mark.parametrize("condition", ["args.amount > 50.0", 1, None])
def test_what_is_no_condition_is_refused_instead_of_taken_for_true(condition: Any):
    with pytest.raises(TypeError, match=r"ask_before is no condition: write True, False or cel\("):
        Tool(refund, ask_before=condition)


def test_a_condition_is_refused_with_the_file_and_line_of_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "u_conditions.py").write_text(
        "from orchestrator.authoring import Tool, cel\n\n\n"
        "async def refund(amount: float) -> str:\n"
        '    """Pay."""\n'
        "    return ''\n\n\n"
        "REFUND = Tool(refund, ask_before=cel('args.amont > 50.0'))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CatalogueError) as refused:
        load_plugins(["u_conditions"])
    sys.modules.pop("u_conditions", None)
    assert "Did you mean 'amount'?" in str(refused.value)
    assert f"({tmp_path}/u_conditions.py, line 9)" in str(refused.value)


@pytest.mark.parametrize(
    ("condition", "arguments", "asks"),
    [
        ("args.amount > 50.0", {"amount": 50}, False),
        ("args.amount > 50.0", {"amount": 51}, True),
        ("args.amount > 50", {"amount": 50.5}, True),
        ("args.amount > 50.0", {"amount": "51"}, True),  # The tool gets 51.0.
        ("args.amount > 50.0", {"amount": "49"}, False),
        ("args.price > 50", {"amount": 1, "price": "50.01"}, True),
        ("args.price > 50", {"amount": 1, "price": 50}, False),
        ("args.count > 3", {"amount": 1}, False),
        ("args.currency != 'EUR'", {"amount": 1, "currency": "USD"}, True),
        ("args.currency != 'EUR'", {"amount": 1}, False),
        ("args.payee.country != 'DE'", {"amount": 1, "payee": {"country": "FR"}}, True),
        ("args.payee.country != 'DE'", {"amount": 1, "payee": {"country": "DE"}}, False),
        ("args.parts.exists(part, part > 5)", {"amount": 1, "parts": [1, 6]}, True),
        ("args.on < '2026-06-01'", {"amount": 1, "on": "2026-07-01"}, False),
        ("args.express", {"amount": 1, "express": "yes"}, True),
        ("args.iban == ''", {"amount": 1, "iban": "DE1"}, False),
        ("args.place == 'ROME'", {"amount": 1, "place": "rome"}, True),
    ],
)
def test_a_condition_sees_the_arguments_as_the_tool_gets_them(condition: str, arguments: dict[str, Any], asks: bool):
    assert offer(cel(condition), refund).asks({"number": "7", **arguments}) is asks


@pytest.mark.parametrize(
    ("function", "condition", "arguments"),
    [
        (pay, "args.amount > 50.0", {"amount": "NaN"}),
        (pay, "args.amount > 50.0", {"amount": float("nan")}),
        (pay, "args.amount < 50.0", {"amount": "Infinity"}),
        (refund, "args.count > 3 && args.amount > 5", {"number": "7", "amount": 1, "count": 10**30}),
        (refund, "args.payee.country != 'DE'", {"number": "7", "amount": 1}),
        (refund, "args.payee.city == 'X'", {"number": "7", "amount": 1, "payee": {"country": "DE"}}),
        (refund, "args.parts[3] > 1", {"number": "7", "amount": 1}),
        (refund, "args.amount / 0 > 1", {"number": "7", "amount": 1}),
        (write, "args.note == ''", {"note": "x"}),  # A serializer of the author's types fails.
    ],
)
def test_a_condition_without_a_value_asks(function: Any, condition: str, arguments: dict[str, Any]):
    assert offer(cel(condition), function).asks(arguments) is True


@pytest.mark.parametrize("asks", [True, False])
def test_without_a_condition_every_call_asks_or_none_does(asks: bool):
    assert offer(asks, pay).asks({"amount": 100}) is asks
