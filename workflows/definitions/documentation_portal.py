"""A documentation site: structure, reference, guides, and a check that everybody can use it."""

from typing import Final

from orchestrator.domain.commands import JobResult
from orchestrator.domain.plans import Plan, Step, WorkflowDefinition

DEFINITION: Final = WorkflowDefinition(
    id="documentation_portal",
    name="Documentation Portal",
    description="Structure, API reference and guides of a product's documentation",
    complexity="low",
    estimated_time="6-10 minutes",
    estimated_cost="$0.20-$0.45",
    input_schema={
        "type": "object",
        "properties": {
            "product_name": {"type": "string", "description": "Product to document"},
            "description": {"type": "string", "description": "What it does, and how it is used"},
            "audiences": {"type": "array", "items": {"type": "string"}, "description": "Groups of readers"},
            "pages": {"type": "array", "items": {"type": "string"}, "description": "Pages that exist already"},
            "specification": {"type": "string", "description": "API contract or description of its operations"},
        },
        "required": ["product_name", "description"],
    },
    output_schema=JobResult.model_json_schema(),
    plan=Plan(
        steps=(
            Step(
                id="information_architecture",
                name="Information Architecture",
                squad="documentation",
                agents=("knowledge_curator",),
                estimated_time="2-3 minutes",
                instruction="Find the readers' questions and give them a page tree and one vocabulary.",
            ),
            Step(
                id="content_writing",
                name="Content Writing",
                squad="documentation",
                agents=("technical_writer", "api_documenter"),
                needs=("information_architecture",),
                estimated_time="3-5 minutes",
                instruction=(
                    "Write the pages that matter most: a getting-started guide, and the reference of the API. Use "
                    "the terms of the glossary. Without a specification, document the operations that the "
                    "description implies and mark them as such."
                ),
            ),
            Step(
                id="accessibility_review",
                name="Accessibility Review",
                squad="frontend",
                agents=("accessibility_specialist",),
                needs=("information_architecture", "content_writing"),
                estimated_time="1-2 minutes",
                instruction="Review structure and pages: headings, links, tables, code samples, language, navigation.",
            ),
        )
    ),
)
