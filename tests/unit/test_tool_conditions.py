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

from orchestrator.authoring import Agent, Cel, McpServer, Tool, cel
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


def offer_desk(**more: Any) -> Agent:
    return Agent(
        id="u_desk",
        name="Desk",
        squad="business",
        description="Answers",
        capabilities=("support",),
        instructions="Help.",
        input_model=Anything,
        **more,
    )


def offer(condition: Cel | bool, function: Callable[..., Any]) -> Offer:
    desk = offer_desk(tools=(Tool(function, ask_before=condition),))
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


def shop(**ask_before: bool | Cel) -> McpServer:
    return McpServer("shop", url="https://shop.test", allow=("pay", "look", "void"), ask_before=ask_before)


@pytest.mark.parametrize(
    ("arguments", "asks"),
    [
        ({"amount": 51}, True),
        ({"amount": 50}, False),
        ({}, True),
        ({"amount": "49"}, True),
        ({"amount": float("nan")}, True),
    ],
)
def test_a_condition_of_a_servers_tool_sees_the_arguments_of_the_model(arguments: dict[str, Any], asks: bool):
    schema = {"type": "object", "properties": {"amount": {"type": "number"}}}
    tools = [{"name": name, "inputSchema": schema} for name in ("pay", "look", "void")]
    server = shop(pay=cel("args.amount > 50.0"), void=True)
    desk = offer_desk(toolsets=(server,))
    pay_offer, look_offer, void_offer = offers(desk, {"shop": tools}, agents={}, cut=False)

    assert (pay_offer.asks(arguments), look_offer.asks(arguments), void_offer.asks(arguments)) == (asks, False, True)
    assert (pay_offer.use.parameters, look_offer.use.parameters) == (schema, None)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (cel("args.amount >"), "Syntax error"),
        (cel("amount > 50.0"), "unknown name 'amount'"),
        (cel("'yes'"), "its value is string: expected bool"),
        ("args.amount > 5", "is no condition: write True, False or cel('args.amount > 5')"),
    ],
)
def test_a_condition_of_a_servers_tool_is_checked_as_far_as_it_can_be(condition: Any, message: str):
    with pytest.raises((ValueError, TypeError), match="MCP server 'shop': ask_before of 'pay'") as refused:
        shop(pay=condition)
    assert message in str(refused.value)
    with pytest.raises(ValueError, match="'buy' is not in allow"):
        shop(buy=True)
