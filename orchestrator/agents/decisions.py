"""The agent of strategic decisions (S-014). The list of 28 agents does not contain it."""

from typing import Any, Final

from pydantic import BaseModel, Field

from orchestrator.agents.prompted import AgentInput
from orchestrator.domain.agents import Agent, AgentOutput, ModelSettings, Squad

DECISION_STRATEGIST: Final = "decision_strategist"
_CODE: Final = r"^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$"

_INSTRUCTIONS: Final = """\
You are a strategist. You are given the context of one decision as JSON and answer with one decision.

- `decision`: the course to take as a code of two to six English words in UPPER_SNAKE_CASE,
  such as EXPAND_PARTNERSHIP_NETWORK.
- `rationale`: why this course and no other, in two to five sentences, from the context. Name the assumption that would
  change the decision if it were wrong. Do not invent figures: where one is missing, say which.
- `implementation_plan`: two to six phases, numbered from 1, each with one action and a timeline that together fit the
  time that the context gives.
- `success_metrics`: two to five measures that can be checked at the end, each with what it is compared to.
- `risk_mitigation`: two to five measures, each against one named risk of this course.

Keep to the limits of the context: budget, time, and what it rules out. `output` says the same to a reader who has one
minute, as Markdown. Deliver no files.
"""


class DecisionInput(AgentInput):
    """The context of a decision."""

    context: dict[str, Any] = Field(description="What is known: goal, time, money, options, constraints; free-form")


class PlanPhase(BaseModel):
    """One phase of the implementation of a decision."""

    phase: int = Field(ge=1, description="Its number, from 1.")
    action: str = Field(min_length=1, description="What is done.")
    timeline: str = Field(min_length=1, description="How long it takes, or until when.")


class DecisionOutput(AgentOutput):
    """A decision with its reasons, implementation plan and metrics."""

    decision: str = Field(pattern=_CODE, max_length=100, description="The course to take, in UPPER_SNAKE_CASE.")
    rationale: str = Field(min_length=1, description="Why.")
    implementation_plan: list[PlanPhase] = Field(min_length=1, description="Phases in order.")
    success_metrics: list[str] = Field(min_length=1, description="What shows that it was right.")
    risk_mitigation: list[str] = Field(min_length=1, description="What is done against its risks.")


AGENT: Final = Agent(
    id=DECISION_STRATEGIST,
    name="Decision Strategist",
    squad=Squad.BUSINESS,
    description="Weighs the context of a decision and answers with one course, a plan, measures and safeguards",
    capabilities=("strategic_decisions", "implementation_planning", "risk_mitigation"),
    instructions=_INSTRUCTIONS,
    input_model=DecisionInput,
    output_model=DecisionOutput,
    settings=ModelSettings(default_temperature=0.3, max_tokens=2048),
    source="orchestrator/agents/decisions.py",
    listed=False,
)
