"""The support desk: four tools of its own, and two of the wiki's MCP server. A large refund needs a person's yes."""

import sys
from pathlib import Path

from orchestrator.authoring import Agent, AgentOutput, McpServer, Plan, Step, Tool, ToolCall, WorkflowDefinition, cel
from pydantic import BaseModel, Field

WIKI = Path(__file__).with_name("wiki.py")
ORDERS = {"7": {"customer": "ada", "amount": 12.5, "sent": True}, "8": {"customer": "ada", "amount": 80.0}}
CUSTOMERS = {"ada": {"name": "Ada", "since": 2021}}
PAID: dict[str, float] = {}
NOTES: list[str] = []


class Ticket(BaseModel):
    """What a customer writes."""

    message: str = Field(min_length=1)


class Reply(AgentOutput):
    """The answer to a customer."""

    solved: bool


async def find_order(number: str) -> dict[str, object]:
    """Look up an order by its number."""
    return ORDERS.get(number, {"error": "no such order"})


async def find_customer(id: str) -> dict[str, object]:
    """Look up a customer."""
    return CUSTOMERS.get(id, {"error": "no such customer"})


async def add_note(text: str) -> str:
    """Add a note for colleagues."""
    NOTES.append(text)
    return "noted"


async def refund(number: str, amount: float, call: ToolCall) -> str:
    """Pay an amount back to the customer.

    Args:
        number: The number of the order.
        amount: The amount in euros.
    """
    PAID[call.effect_id] = amount  # The bank would get the effect id as its idempotency key.
    return f"paid {amount:.2f} for order {number}"


DESK = Agent(
    id="support_desk",
    name="Support Desk",
    squad="business",
    description="Answers customers, and pays back what they are owed",
    capabilities=("support",),
    instructions="Help the customer. Read the rules in the wiki before you pay anything back.",
    input_model=Ticket,
    output_model=Reply,
    tools=(
        find_order,
        find_customer,
        add_note,
        Tool(refund, ask_before=cel("args.amount > 50.0"), by=("owner",), effect="outward"),
    ),
    toolsets=(McpServer("wiki", command=(sys.executable, str(WIKI)), allow=("search", "read_page")),),
    max_turns=10,
)
SUPPORT = WorkflowDefinition(
    id="support_case",
    name="Support case",
    description="Answers one message of a customer",
    plan=Plan(steps=(Step(id="answer", agents=("support_desk",)),)),
)
