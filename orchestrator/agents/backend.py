"""The backend squad: API contracts, services, databases, integrations and security."""

from typing import Final, Literal

from pydantic import Field

from orchestrator.agents.prompted import ANALYSIS, CODE, AgentInput, instructions
from orchestrator.domain.agents import Agent, AgentOutput, Squad


class ApiArchitectInput(AgentInput):
    """The API to design."""

    api_name: str = Field(description="Name of the API")
    description: str = Field(description="What the API is for and who calls it")
    api_type: Literal["rest", "graphql"] = Field(default="rest", description="Style of the API")


class ApiArchitectOutput(AgentOutput):
    """An API contract."""

    endpoints: list[str] = Field(default_factory=list, description="`METHOD /path: purpose`, or GraphQL fields.")
    resources: list[str] = Field(default_factory=list, description="Resources with their identifying fields.")
    error_codes: list[str] = Field(default_factory=list, description="`code (status): when`.")
    design_decisions: list[str] = Field(default_factory=list, description="Choices with the reason for each.")


class BackendDeveloperInput(AgentInput):
    """The service to build."""

    description: str = Field(description="Behaviour to implement")
    language: str = Field(default="python", description="Programming language")
    endpoints: list[str] = Field(default_factory=list, description="Operations of the contract, if there is one")


class BackendDeveloperOutput(AgentOutput):
    """A running service in modules and operations."""

    endpoints: list[str] = Field(default_factory=list, description="Operations implemented, `METHOD /path`.")
    modules: list[str] = Field(default_factory=list, description="Modules with their responsibility.")
    dependencies: list[str] = Field(default_factory=list, description="Packages with the reason for each.")


class DatabaseEngineerInput(AgentInput):
    """The data to store, and how it is read."""

    description: str = Field(description="Domain and access patterns")
    engine: str = Field(default="postgresql", description="Database engine")
    entities: list[str] = Field(default_factory=list, description="Entities that are known already")


class DatabaseEngineerOutput(AgentOutput):
    """A relational schema."""

    tables: list[str] = Field(default_factory=list, description="Tables with their key.")
    indexes: list[str] = Field(default_factory=list, description="Indexes with the query that each one serves.")
    migration_notes: list[str] = Field(default_factory=list, description="What to watch when rolling this out.")


class IntegrationEngineerInput(AgentInput):
    """The systems to integrate."""

    source_system: str = Field(description="System that gives")
    target_system: str = Field(description="System that takes")
    description: str = Field(description="What has to flow, when, and what may go wrong")


class IntegrationEngineerOutput(AgentOutput):
    """An integration that survives failures."""

    interfaces: list[str] = Field(default_factory=list, description="Calls, events or files, with direction.")
    mappings: list[str] = Field(default_factory=list, description="`source field -> target field: rule`.")
    failure_modes: list[str] = Field(default_factory=list, description="What fails, how it shows, what is done.")


class SecurityEngineerInput(AgentInput):
    """The system to protect."""

    description: str = Field(description="System, data and users to protect")
    compliance: list[str] = Field(default_factory=list, description="Regulations and standards that apply")


class SecurityEngineerOutput(AgentOutput):
    """A threat model and its controls."""

    threats: list[str] = Field(default_factory=list, description="`T-1 (STRIDE category, severity): threat`.")
    controls: list[str] = Field(default_factory=list, description="`C-1 answers T-1: control`.")
    residual_risks: list[str] = Field(default_factory=list, description="What stays open, and who accepts it.")


AGENTS: Final = (
    Agent(
        id="api_architect",
        name="API Architect",
        squad=Squad.BACKEND,
        description="Designs REST and GraphQL contracts with consistent resources, errors and versioning",
        capabilities=("api_design", "openapi_specification", "graphql_schema", "versioning_strategy"),
        instructions=instructions("api_architect"),
        input_model=ApiArchitectInput,
        output_model=ApiArchitectOutput,
        settings=CODE,
    ),
    Agent(
        id="backend_developer",
        name="Backend Developer",
        squad=Squad.BACKEND,
        description="Implements services, business logic and persistence with validation and error handling",
        capabilities=("service_implementation", "business_logic", "python_development", "error_handling"),
        instructions=instructions("backend_developer"),
        input_model=BackendDeveloperInput,
        output_model=BackendDeveloperOutput,
        settings=CODE,
    ),
    Agent(
        id="database_engineer",
        name="Database Engineer",
        squad=Squad.BACKEND,
        description="Designs schemas, constraints, indexes and safe migrations",
        capabilities=("schema_design", "query_optimization", "migrations", "indexing"),
        instructions=instructions("database_engineer"),
        input_model=DatabaseEngineerInput,
        output_model=DatabaseEngineerOutput,
        settings=CODE,
    ),
    Agent(
        id="integration_engineer",
        name="Integration Engineer",
        squad=Squad.BACKEND,
        description="Connects systems with idempotent clients, mappings and failure handling",
        capabilities=("system_integration", "event_driven_design", "data_mapping", "resilience"),
        instructions=instructions("integration_engineer"),
        input_model=IntegrationEngineerInput,
        output_model=IntegrationEngineerOutput,
        settings=CODE,
    ),
    Agent(
        id="security_engineer",
        name="Security Engineer",
        squad=Squad.BACKEND,
        description="Models threats and designs authentication, authorization and data protection",
        capabilities=("threat_modeling", "authentication_design", "authorization_design", "data_protection"),
        instructions=instructions("security_engineer"),
        input_model=SecurityEngineerInput,
        output_model=SecurityEngineerOutput,
        settings=ANALYSIS,
    ),
)
