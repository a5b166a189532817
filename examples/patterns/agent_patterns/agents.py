"""The agents of the patterns, and the models of their answers. Every pattern uses some of them."""

from typing import Literal

from orchestrator.authoring import Agent, AgentOutput, Tool, cel
from pydantic import BaseModel, ConfigDict, Field


class Anything(BaseModel):
    """The patterns hand values over freely; your agents declare their fields here."""

    model_config = ConfigDict(extra="allow")


class Gate(AgentOutput):
    """Whether an outline is good enough to be written."""

    good: bool
    why: str = ""


class Topic(AgentOutput):
    """What a message is about."""

    topic: Literal["refund", "tech", "other"]


class Verdict(AgentOutput):
    """The vote of one juror."""

    guilty: bool


class Task(BaseModel):
    """One part of the work."""

    id: str
    goal: str


class WorkPlan(AgentOutput):
    """The parts of the work, which the lead decides on."""

    tasks: list[Task] = Field(min_length=1)


class Review(AgentOutput):
    """The review of a draft."""

    approved: bool
    remarks: str = ""


ORDERS = {"7": 40.0, "8": 900.0}


async def find_order(number: str) -> str:
    """Look up an order by its number."""
    return f"Order {number} was {ORDERS[number]} €." if number in ORDERS else f"There is no order {number}."


async def refund(number: str, amount: float) -> str:
    """Pay an amount of an order back."""
    return f"{amount} € of order {number} were paid back."


OUTLINER: Agent = Agent(
    id="p_outliner",
    name="Outliner",
    squad="patterns",
    description="Outlines a text on the topic of the input",
    capabilities=("patterns",),
    instructions="Outlines a text on the topic of the input.",
    input_model=Anything,
)
CHECKER: Agent[Gate] = Agent(
    id="p_checker",
    name="Checker",
    squad="patterns",
    description="Judges whether an outline is complete and worth writing",
    capabilities=("patterns",),
    instructions="Judges whether an outline is complete and worth writing.",
    input_model=Anything,
    output_model=Gate,
)
WRITER: Agent = Agent(
    id="p_writer",
    name="Writer",
    squad="patterns",
    description="Writes a text from a brief or an outline, and follows remarks on an earlier draft",
    capabilities=("patterns",),
    instructions="Writes a text from a brief or an outline, and follows remarks on an earlier draft.",
    input_model=Anything,
)
CLASSIFIER: Agent[Topic] = Agent(
    id="p_classifier",
    name="Classifier",
    squad="patterns",
    description="Says what the customer's message is about",
    capabilities=("patterns",),
    instructions="Says what the customer's message is about.",
    input_model=Anything,
    output_model=Topic,
)
REFUNDS: Agent = Agent(
    id="p_refunds",
    name="Refunds",
    squad="patterns",
    description="Collects the facts that decide on a refund",
    capabilities=("patterns",),
    instructions="Collects the facts that decide on a refund.",
    input_model=Anything,
)
GENERALIST: Agent = Agent(
    id="p_generalist",
    name="Generalist",
    squad="patterns",
    description="Collects the facts for any other question",
    capabilities=("patterns",),
    instructions="Collects the facts for any other question.",
    input_model=Anything,
)
ANSWERER: Agent = Agent(
    id="p_answerer",
    name="Answerer",
    squad="patterns",
    description="Answers the customer from the collected facts",
    capabilities=("patterns",),
    instructions="Answers the customer from the collected facts.",
    input_model=Anything,
)
LAWYER: Agent = Agent(
    id="p_lawyer",
    name="Lawyer",
    squad="patterns",
    description="Gives the legal view of the case",
    capabilities=("patterns",),
    instructions="Gives the legal view of the case.",
    input_model=Anything,
)
ACCOUNTANT: Agent = Agent(
    id="p_accountant",
    name="Accountant",
    squad="patterns",
    description="Gives the financial view of the case",
    capabilities=("patterns",),
    instructions="Gives the financial view of the case.",
    input_model=Anything,
)
ENGINEER: Agent = Agent(
    id="p_engineer",
    name="Engineer",
    squad="patterns",
    description="Gives the technical view of the case",
    capabilities=("patterns",),
    instructions="Gives the technical view of the case.",
    input_model=Anything,
)
JUROR: Agent[Verdict] = Agent(
    id="p_juror",
    name="Juror",
    squad="patterns",
    description="Votes on the case from the given seat",
    capabilities=("patterns",),
    instructions="Votes on the case from the given seat.",
    input_model=Anything,
    output_model=Verdict,
)
CHAIR: Agent = Agent(
    id="p_chair",
    name="Chair",
    squad="patterns",
    description="Concludes the case from the views and the count of votes",
    capabilities=("patterns",),
    instructions="Concludes the case from the views and the count of votes.",
    input_model=Anything,
)
LEAD: Agent[WorkPlan] = Agent(
    id="p_lead",
    name="Lead",
    squad="patterns",
    description="Divides the work into independent tasks",
    capabilities=("patterns",),
    instructions="Divides the work into independent tasks.",
    input_model=Anything,
    output_model=WorkPlan,
)
WORKER: Agent = Agent(
    id="p_worker",
    name="Worker",
    squad="patterns",
    description="Does one task",
    capabilities=("patterns",),
    instructions="Does one task.",
    input_model=Anything,
)
EDITOR: Agent = Agent(
    id="p_editor",
    name="Editor",
    squad="patterns",
    description="Merges the parts into one text",
    capabilities=("patterns",),
    instructions="Merges the parts into one text.",
    input_model=Anything,
)
REVIEWER: Agent[Review] = Agent(
    id="p_reviewer",
    name="Reviewer",
    squad="patterns",
    description="Approves a draft or says what is missing",
    capabilities=("patterns",),
    instructions="Approves a draft or says what is missing.",
    input_model=Anything,
    output_model=Review,
)
PUBLISHER: Agent = Agent(
    id="p_publisher",
    name="Publisher",
    squad="patterns",
    description="Publishes a text",
    capabilities=("patterns",),
    instructions="Publishes a text.",
    input_model=Anything,
)
SHIPPER: Agent = Agent(
    id="p_shipper",
    name="Shipper",
    squad="patterns",
    description="Writes the shipping note for an address",
    capabilities=("patterns",),
    instructions="Writes the shipping note for an address.",
    input_model=Anything,
)
DESK: Agent = Agent(
    id="p_desk",
    name="Support Desk",
    squad="patterns",
    description="Answers customers, and pays back what they are owed",
    capabilities=("patterns",),
    instructions="Look the order up before you pay anything back.",
    input_model=Anything,
    tools=(find_order, Tool(refund, ask_before=cel("args.amount > 500.0"))),
    max_turns=10,
)
AGENTS = (
    DESK,
    OUTLINER,
    CHECKER,
    WRITER,
    CLASSIFIER,
    REFUNDS,
    GENERALIST,
    ANSWERER,
    LAWYER,
    ACCOUNTANT,
    ENGINEER,
    JUROR,
    CHAIR,
    LEAD,
    WORKER,
    EDITOR,
    REVIEWER,
    PUBLISHER,
    SHIPPER,
)
