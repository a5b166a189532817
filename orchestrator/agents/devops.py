"""The operations squad: cloud architecture, infrastructure, delivery and reliability."""

from typing import Final, Literal

from pydantic import Field

from orchestrator.agents.prompted import ANALYSIS, CODE, AgentInput, instructions
from orchestrator.domain.agents import Agent, AgentOutput, Squad


class CloudArchitectInput(AgentInput):
    """The system to run in the cloud."""

    description: str = Field(description="System to host, with load and data")
    provider: str = Field(default="any", description="Cloud provider, or `any`")
    constraints: list[str] = Field(default_factory=list, description="Budget, regions, compliance, recovery times")


class CloudArchitectOutput(AgentOutput):
    """A target architecture with its price."""

    components: list[str] = Field(default_factory=list, description="Components with service and size.")
    cost_drivers: list[str] = Field(default_factory=list, description="What the bill depends on, largest first.")
    trade_offs: list[str] = Field(default_factory=list, description="Choices, what each gives and takes.")


class InfrastructureEngineerInput(AgentInput):
    """The infrastructure to describe as code."""

    description: str = Field(description="Workloads and their needs")
    platform: Literal["docker", "kubernetes"] = Field(default="kubernetes", description="Where it runs")
    environments: list[str] = Field(default_factory=list, description="Environments to serve")


class InfrastructureEngineerOutput(AgentOutput):
    """Infrastructure as code."""

    resources: list[str] = Field(default_factory=list, description="Resources with kind and purpose.")
    parameters: list[str] = Field(default_factory=list, description="`NAME: meaning and example`, secrets marked.")
    hardening: list[str] = Field(default_factory=list, description="Restrictions in force.")


class CicdEngineerInput(AgentInput):
    """The software to deliver automatically."""

    description: str = Field(description="Repository, build and deployment target")
    platform: str = Field(default="github_actions", description="Pipeline platform")
    environments: list[str] = Field(default_factory=list, description="Environments in order of promotion")


class CicdEngineerOutput(AgentOutput):
    """A delivery pipeline."""

    stages: list[str] = Field(default_factory=list, description="Stages in order with what each one proves.")
    release_steps: list[str] = Field(default_factory=list, description="Steps of a release, in order.")
    rollback_steps: list[str] = Field(default_factory=list, description="Steps back, each checkable.")


class SiteReliabilityEngineerInput(AgentInput):
    """The service to keep running, or its failure."""

    description: str = Field(description="Service, or incident with symptoms and times")
    severity: Literal["sev1", "sev2", "sev3", "sev4"] | None = Field(
        default=None, description="Severity, when there is an incident"
    )
    objectives: list[str] = Field(default_factory=list, description="Service level objectives that exist already")


class SiteReliabilityEngineerOutput(AgentOutput):
    """Objectives, alerts and the action for each alert."""

    objectives: list[str] = Field(default_factory=list, description="`indicator: objective over window`.")
    alerts: list[str] = Field(default_factory=list, description="Alerts with condition and first action.")
    actions: list[str] = Field(default_factory=list, description="Actions in order, with owner role.")


AGENTS: Final = (
    Agent(
        id="cloud_architect",
        name="Cloud Architect",
        squad=Squad.DEVOPS,
        description="Designs cloud architectures for load, cost, recovery and compliance",
        capabilities=("cloud_architecture", "cost_optimization", "disaster_recovery", "migration_planning"),
        instructions=instructions("cloud_architect"),
        input_model=CloudArchitectInput,
        output_model=CloudArchitectOutput,
        settings=ANALYSIS,
    ),
    Agent(
        id="infrastructure_engineer",
        name="Infrastructure Engineer",
        squad=Squad.DEVOPS,
        description="Writes infrastructure as code for containers and Kubernetes",
        capabilities=("infrastructure_as_code", "kubernetes", "networking", "hardening"),
        instructions=instructions("infrastructure_engineer"),
        input_model=InfrastructureEngineerInput,
        output_model=InfrastructureEngineerOutput,
        settings=CODE,
    ),
    Agent(
        id="cicd_engineer",
        name="CI/CD Engineer",
        squad=Squad.DEVOPS,
        description="Builds pipelines that test, package, release and roll back",
        capabilities=("ci_pipelines", "containerization", "release_automation", "rollback"),
        instructions=instructions("cicd_engineer"),
        input_model=CicdEngineerInput,
        output_model=CicdEngineerOutput,
        settings=CODE,
    ),
    Agent(
        id="site_reliability_engineer",
        name="Site Reliability Engineer",
        squad=Squad.DEVOPS,
        description="Defines service levels, alerts and runbooks, and leads incident response",
        capabilities=("slo_definition", "monitoring", "incident_response", "runbooks"),
        instructions=instructions("site_reliability_engineer"),
        input_model=SiteReliabilityEngineerInput,
        output_model=SiteReliabilityEngineerOutput,
        settings=ANALYSIS,
    ),
)
