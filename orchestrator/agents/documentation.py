"""The documentation squad: guides, API references and the structure of a documentation."""

from typing import Final, Literal

from pydantic import Field

from orchestrator.agents.prompted import ANALYSIS, DESIGN, AgentInput, instructions
from orchestrator.domain.agents import Agent, AgentOutput, Squad


class TechnicalWriterInput(AgentInput):
    """The document to write."""

    subject: str = Field(description="What the document is about, with the facts it must hold")
    document_type: Literal["guide", "tutorial", "report", "post_mortem", "release_notes"] = Field(
        default="guide", description="Kind of document"
    )
    audience: str = Field(default="", description="Who reads it, and what they want to do afterwards")


class TechnicalWriterOutput(AgentOutput):
    """A document and its gaps."""

    outline: list[str] = Field(default_factory=list, description="Headings in order.")
    assumptions: list[str] = Field(default_factory=list, description="What was taken as true without a source.")
    missing_facts: list[str] = Field(default_factory=list, description="Facts the authors have to supply.")


class ApiDocumenterInput(AgentInput):
    """The API to document."""

    api_name: str = Field(description="Name of the API")
    specification: str = Field(description="OpenAPI, GraphQL schema or a description of the operations")
    language: str = Field(default="python", description="Language of the examples")


class ApiDocumenterOutput(AgentOutput):
    """An API reference."""

    operations: list[str] = Field(default_factory=list, description="Operations documented, `METHOD /path`.")
    examples: list[str] = Field(default_factory=list, description="Examples with what each one shows.")
    contract_gaps: list[str] = Field(default_factory=list, description="What the contract leaves unsaid.")


class KnowledgeCuratorInput(AgentInput):
    """The knowledge to structure."""

    description: str = Field(description="Product, existing pages and what readers look for")
    audiences: list[str] = Field(default_factory=list, description="Groups of readers")
    pages: list[str] = Field(default_factory=list, description="Pages that exist already")


class KnowledgeCuratorOutput(AgentOutput):
    """A page tree and a vocabulary."""

    pages: list[str] = Field(default_factory=list, description="Pages with the question that each one answers.")
    terms: list[str] = Field(default_factory=list, description="`term: definition`.")
    gaps: list[str] = Field(default_factory=list, description="Questions that no page answers yet.")


AGENTS: Final = (
    Agent(
        id="technical_writer",
        name="Technical Writer",
        squad=Squad.DOCUMENTATION,
        description="Writes guides, tutorials, reports and post-mortems",
        capabilities=("user_guides", "tutorials", "technical_reports", "release_notes"),
        instructions=instructions("technical_writer"),
        input_model=TechnicalWriterInput,
        output_model=TechnicalWriterOutput,
        settings=DESIGN,
    ),
    Agent(
        id="api_documenter",
        name="API Documenter",
        squad=Squad.DOCUMENTATION,
        description="Writes API references with runnable examples",
        capabilities=("api_reference", "code_examples", "error_documentation", "quickstarts"),
        instructions=instructions("api_documenter"),
        input_model=ApiDocumenterInput,
        output_model=ApiDocumenterOutput,
        settings=ANALYSIS,
    ),
    Agent(
        id="knowledge_curator",
        name="Knowledge Curator",
        squad=Squad.DOCUMENTATION,
        description="Structures documentation sites, navigation and terminology",
        capabilities=("information_architecture", "taxonomy", "terminology", "content_audit"),
        instructions=instructions("knowledge_curator"),
        input_model=KnowledgeCuratorInput,
        output_model=KnowledgeCuratorOutput,
        settings=ANALYSIS,
    ),
)
