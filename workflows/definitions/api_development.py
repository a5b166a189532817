"""An API from need to contract, service, reference and tests (D-034..D-036, C-57)."""

from typing import Final

from orchestrator.domain.commands import JobResult
from orchestrator.domain.plans import Plan, Step, WorkflowDefinition

DEFINITION: Final = WorkflowDefinition(
    id="api_development",
    name="API Development",
    description="Design and development of a REST/GraphQL API",
    complexity="medium",
    estimated_time="5-10 minutes",
    estimated_cost="$0.25-$0.50",
    input_schema={
        "type": "object",
        "properties": {
            "api_name": {"type": "string"},
            "description": {"type": "string"},
            "api_type": {"type": "string", "enum": ["rest", "graphql"]},
        },
        "required": ["api_name", "description", "api_type"],
    },
    output_schema=JobResult.model_json_schema(),
    plan=Plan(
        steps=(
            Step(
                id="requirements_analysis",
                name="Requirements Analysis",
                squad="business",
                agents=("product_manager", "business_analyst"),
                estimated_time="2-3 minutes",
                instruction=(
                    "Find out what the API must do: who calls it and to what end, the resources with their fields, "
                    "the operations with their rules, and the qualities (load, security, availability) that matter."
                ),
            ),
            Step(
                id="api_design",
                name="API Design",
                squad="backend",
                agents=("api_architect",),
                needs=("requirements_analysis",),
                estimated_time="3-5 minutes",
                instruction=(
                    "Design the contract that meets the requirements, in the style that `api_type` names. "
                    "Implementation, reference and tests are written from it in parallel, so it has to be complete."
                ),
            ),
            Step(
                id="api_implementation",
                name="API Implementation",
                squad="backend",
                agents=("backend_developer",),
                needs=("requirements_analysis", "api_design"),
                estimated_time="1-2 minutes",
                instruction=(
                    "Implement the contract as a service that runs: every operation with validation, authorization "
                    "and the errors as designed. Keep data in memory behind an interface that a database can "
                    "implement."
                ),
            ),
            Step(
                id="api_documentation",
                name="API Documentation",
                squad="documentation",
                agents=("api_documenter",),
                needs=("api_design",),
                estimated_time="1-2 minutes",
                instruction="Write the reference and a quickstart for the contract, for developers who call the API.",
            ),
            Step(
                id="api_testing",
                name="API Testing",
                squad="qa",
                agents=("test_automation_engineer",),
                needs=("requirements_analysis", "api_design"),
                estimated_time="1-2 minutes",
                instruction=(
                    "Write contract and acceptance tests for every operation: success, validation, missing and "
                    "insufficient permission, absent objects, limits and retries."
                ),
            ),
        )
    ),
)
