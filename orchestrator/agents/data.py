"""The data squad: architecture, pipelines, analysis and machine learning."""

from typing import Final

from pydantic import Field

from orchestrator.agents.prompted import ANALYSIS, CODE, AgentInput, instructions
from orchestrator.domain.agents import Agent, AgentOutput, Squad


class DataArchitectInput(AgentInput):
    """The data to model."""

    description: str = Field(description="Questions the data must answer, and who asks them")
    sources: list[str] = Field(default_factory=list, description="Systems and files the data comes from")
    constraints: list[str] = Field(default_factory=list, description="Volume, freshness, privacy, residency")


class DataArchitectOutput(AgentOutput):
    """An analytical model and the rules around it."""

    facts: list[str] = Field(default_factory=list, description="Fact tables with their grain.")
    dimensions: list[str] = Field(default_factory=list, description="Dimensions with how they keep history.")
    data_contracts: list[str] = Field(default_factory=list, description="`source: fields, freshness, owner`.")


class DataEngineerInput(AgentInput):
    """The pipeline to build."""

    description: str = Field(description="What has to be loaded, transformed and served")
    sources: list[str] = Field(default_factory=list, description="Systems and files to read")
    schedule: str = Field(default="daily", description="How often it runs")


class DataEngineerOutput(AgentOutput):
    """A pipeline in stages with quality gates."""

    stages: list[str] = Field(default_factory=list, description="Stages in order, each with input and output.")
    quality_checks: list[str] = Field(default_factory=list, description="Checks that stop a bad load.")
    recovery: list[str] = Field(default_factory=list, description="How a failed or late run is repaired.")


class DataAnalystInput(AgentInput):
    """The question to answer."""

    question: str = Field(description="Decision or question the analysis serves")
    data: str = Field(default="", description="The data itself, or a description of its tables")
    metrics: list[str] = Field(default_factory=list, description="Metrics that are defined already")


class DataAnalystOutput(AgentOutput):
    """Findings with their definitions and limits."""

    findings: list[str] = Field(default_factory=list, description="Findings with the evidence for each.")
    metrics: list[str] = Field(default_factory=list, description="`metric: definition and unit`.")
    caveats: list[str] = Field(default_factory=list, description="Questions that the data cannot answer.")


class MlEngineerInput(AgentInput):
    """The value to predict, and its use."""

    description: str = Field(description="Prediction wanted and the decision it feeds")
    data: str = Field(default="", description="Data at hand: rows, columns, labels")
    constraints: list[str] = Field(default_factory=list, description="Latency, cost, fairness, explainability")


class MlEngineerOutput(AgentOutput):
    """A model plan measured against a baseline."""

    approach: str = Field(default="", description="Model family and why it fits.")
    features: list[str] = Field(default_factory=list, description="Features with their source.")
    evaluation: list[str] = Field(default_factory=list, description="Measures, split and baseline.")
    risks: list[str] = Field(default_factory=list, description="Leakage, drift, bias, misuse.")


AGENTS: Final = (
    Agent(
        id="data_architect",
        name="Data Architect",
        squad=Squad.DATA,
        description="Designs data models, layers, contracts and governance",
        capabilities=("data_modeling", "data_governance", "warehouse_design", "data_contracts"),
        instructions=instructions("data_architect"),
        input_model=DataArchitectInput,
        output_model=DataArchitectOutput,
        settings=CODE,
    ),
    Agent(
        id="data_engineer",
        name="Data Engineer",
        squad=Squad.DATA,
        description="Builds idempotent pipelines with quality checks and recovery",
        capabilities=("etl_pipelines", "data_quality", "orchestration", "batch_and_streaming"),
        instructions=instructions("data_engineer"),
        input_model=DataEngineerInput,
        output_model=DataEngineerOutput,
        settings=CODE,
    ),
    Agent(
        id="data_analyst",
        name="Data Analyst",
        squad=Squad.DATA,
        description="Defines metrics, analyses data and reports findings with their limits",
        capabilities=("exploratory_analysis", "metric_definition", "sql_analysis", "reporting"),
        instructions=instructions("data_analyst"),
        input_model=DataAnalystInput,
        output_model=DataAnalystOutput,
        settings=ANALYSIS,
    ),
    Agent(
        id="ml_engineer",
        name="Machine Learning Engineer",
        squad=Squad.DATA,
        description="Frames, trains and evaluates models against a baseline",
        capabilities=("model_training", "feature_engineering", "model_evaluation", "mlops"),
        instructions=instructions("ml_engineer"),
        input_model=MlEngineerInput,
        output_model=MlEngineerOutput,
        settings=CODE,
    ),
)
