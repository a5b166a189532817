"""A complete application, one step per squad (D-034, D-038, D-041)."""

from typing import Final

from orchestrator.domain.commands import JobResult
from orchestrator.domain.plans import Plan, Step, WorkflowDefinition

# The agents of one step, and of steps in the same wave, do not see each other's work.
_SHARED = (
    "Work that is done in parallel has to fit together: REST under /api/v1 with plural resource names taken from the "
    'requirements, JSON in snake_case, errors as {"error": {"code", "message"}}, Bearer tokens, ids as opaque strings, '
    "times in RFC 3339. Use the tech_stack of the input where it names one."
)

DEFINITION: Final = WorkflowDefinition(
    id="full_stack_development",
    name="Full Stack Development",
    description="Complete development of an application",
    complexity="high",
    estimated_time="20-40 minutes",
    estimated_cost="$1.00-$2.00",
    input_schema={
        "type": "object",
        "properties": {
            "project_name": {"type": "string", "description": "Name of the application"},
            "description": {"type": "string", "description": "What it does, and for whom"},
            "tech_stack": {
                "type": "object",
                "description": "Technologies to use",
                "properties": {
                    "frontend": {"type": "array", "items": {"type": "string"}},
                    "backend": {"type": "array", "items": {"type": "string"}},
                },
            },
            "requirements": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Features and qualities that are asked for",
            },
        },
        "required": ["project_name", "description"],
    },
    output_schema=JobResult.model_json_schema(),
    plan=Plan(
        steps=(
            Step(
                id="product_definition",
                name="Product Definition",
                squad="business",
                agents=("product_manager", "business_analyst", "project_planner"),
                estimated_time="3-5 minutes",
                instruction=(
                    "Define the application: product requirements, testable functional and non-functional "
                    "requirements, and a delivery plan. Name the domain's entities and the actions on each one "
                    "explicitly: every later step builds on them without asking again. Keep to a first release that "
                    "is worth using."
                ),
            ),
            Step(
                id="frontend_development",
                name="Frontend Development",
                squad="frontend",
                agents=("ui_ux_designer", "frontend_developer", "design_system_engineer"),
                needs=("product_definition",),
                estimated_time="4-8 minutes",
                instruction=(
                    "Design and build the user interface for the requirements: flows and wireframes, design tokens "
                    f"and components, and the application itself with its API client. {_SHARED}"
                ),
            ),
            Step(
                id="backend_development",
                name="Backend Development",
                squad="backend",
                agents=("api_architect", "backend_developer", "database_engineer", "security_engineer"),
                needs=("product_definition",),
                estimated_time="4-8 minutes",
                instruction=(
                    "Build the backend for the requirements: API contract, service, PostgreSQL schema, and threat "
                    f"model with the security policy. {_SHARED}"
                ),
            ),
            Step(
                id="data_foundation",
                name="Data Foundation",
                squad="data",
                agents=("data_architect", "data_engineer"),
                needs=("product_definition", "backend_development"),
                estimated_time="3-6 minutes",
                instruction=(
                    "Make the success measures of the product readable from data: an analytical model over the "
                    "backend's schema, and the pipeline that fills it. Use the tables and columns that the database "
                    "schema defines."
                ),
            ),
            Step(
                id="quality_assurance",
                name="Quality Assurance",
                squad="qa",
                agents=("test_strategist", "test_automation_engineer", "performance_tester"),
                needs=("product_definition", "frontend_development", "backend_development"),
                estimated_time="3-6 minutes",
                instruction=(
                    "Show that the application meets its requirements: strategy and cases traced to the requirement "
                    "ids, automated acceptance tests against the API contract, and a load test of its main "
                    "operations."
                ),
            ),
            Step(
                id="deployment",
                name="Deployment",
                squad="devops",
                agents=("cloud_architect", "infrastructure_engineer", "cicd_engineer"),
                needs=("frontend_development", "backend_development", "data_foundation", "quality_assurance"),
                estimated_time="3-7 minutes",
                instruction=(
                    "Bring the application to production: target architecture, infrastructure as code for every "
                    "component that was built, and a pipeline that runs the tests, builds, deploys and rolls back."
                ),
            ),
        )
    ),
)
