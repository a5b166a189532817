"""The business squad: product, requirements, market and planning."""

from typing import Final, Literal

from pydantic import Field

from orchestrator.agents.prompted import ANALYSIS, AgentInput, instructions
from orchestrator.domain.agents import Agent, AgentOutput, Squad


class ProductManagerInput(AgentInput):
    """The document to write."""

    task_type: Literal["prd", "user_story", "roadmap", "prioritization"]
    context: str = Field(description="Description of the need")


class ProductManagerOutput(AgentOutput):
    """A product document and the parts of it that other agents build on."""

    user_stories: list[str] = Field(default_factory=list, description="Stories as `As a …, I want …, so that …`.")
    priorities: list[str] = Field(default_factory=list, description="Features, the most important first.")
    success_metrics: list[str] = Field(default_factory=list, description="Measures with a target and a date.")


class BusinessAnalystInput(AgentInput):
    """The system or process to analyse."""

    description: str = Field(description="The need, process or feature to analyse")
    stakeholders: list[str] = Field(default_factory=list, description="Who has a say or is affected")
    constraints: list[str] = Field(default_factory=list, description="Rules, laws, budgets and systems that are given")


class BusinessAnalystOutput(AgentOutput):
    """Requirements that can be tested."""

    requirements: list[str] = Field(default_factory=list, description="`FR-1: …` and `NFR-1: …`, one sentence each.")
    business_rules: list[str] = Field(default_factory=list, description="Rules that hold whatever the software does.")
    open_questions: list[str] = Field(default_factory=list, description="What only a stakeholder can answer.")


class MarketResearcherInput(AgentInput):
    """The market to research."""

    topic: str = Field(description="Product, service or market to research")
    region: str = Field(default="global", description="Geographic scope")
    questions: list[str] = Field(default_factory=list, description="What the research has to answer")


class MarketResearcherOutput(AgentOutput):
    """A market in segments, competitors and opportunities."""

    segments: list[str] = Field(default_factory=list, description="Customer segments with their main need.")
    competitors: list[str] = Field(default_factory=list, description="Competitors and alternatives, one line each.")
    opportunities: list[str] = Field(default_factory=list, description="Openings, the strongest first.")


class ProjectPlannerInput(AgentInput):
    """The project to plan."""

    goal: str = Field(description="What must be delivered")
    team: list[str] = Field(default_factory=list, description="Roles or people available")
    deadline: str | None = Field(default=None, description="Date or duration that is fixed, if any")


class ProjectPlannerOutput(AgentOutput):
    """A plan with its milestones and risks."""

    milestones: list[str] = Field(default_factory=list, description="Milestones in order, each with an exit criterion.")
    critical_path: list[str] = Field(default_factory=list, description="Work packages that set the end date.")
    risks: list[str] = Field(default_factory=list, description="Risks with likelihood, impact and response.")


AGENTS: Final = (
    Agent(
        id="product_manager",
        name="Product Manager",
        squad=Squad.BUSINESS,
        description="Generates PRD, user stories, roadmap",
        capabilities=("prd_generation", "user_stories", "roadmap", "prioritization"),
        instructions=instructions("product_manager"),
        input_model=ProductManagerInput,
        output_model=ProductManagerOutput,
    ),
    Agent(
        id="business_analyst",
        name="Business Analyst",
        squad=Squad.BUSINESS,
        description="Turns needs into testable requirements, business rules and process flows",
        capabilities=("requirements_analysis", "process_modeling", "acceptance_criteria", "gap_analysis"),
        instructions=instructions("business_analyst"),
        input_model=BusinessAnalystInput,
        output_model=BusinessAnalystOutput,
        settings=ANALYSIS,
    ),
    Agent(
        id="market_researcher",
        name="Market Researcher",
        squad=Squad.BUSINESS,
        description="Maps markets, segments, competitors and opportunities",
        capabilities=("market_sizing", "competitor_analysis", "segmentation", "positioning"),
        instructions=instructions("market_researcher"),
        input_model=MarketResearcherInput,
        output_model=MarketResearcherOutput,
        settings=ANALYSIS,
    ),
    Agent(
        id="project_planner",
        name="Project Planner",
        squad=Squad.BUSINESS,
        description="Breaks goals into work packages, milestones, estimates and risks",
        capabilities=("work_breakdown", "estimation", "risk_management", "milestone_planning"),
        instructions=instructions("project_planner"),
        input_model=ProjectPlannerInput,
        output_model=ProjectPlannerOutput,
        settings=ANALYSIS,
    ),
)
