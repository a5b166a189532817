"""A data platform from the questions to the pipelines, the models and their operation."""

from typing import Final

from orchestrator.domain.commands import JobResult
from orchestrator.domain.plans import Plan, Step, WorkflowDefinition

DEFINITION: Final = WorkflowDefinition(
    id="data_platform",
    name="Data Platform",
    description="Data model, pipelines, metrics and prediction, with the infrastructure to run them",
    complexity="high",
    estimated_time="12-20 minutes",
    estimated_cost="$0.50-$1.00",
    input_schema={
        "type": "object",
        "properties": {
            "project_name": {"type": "string", "description": "Name of the platform"},
            "description": {"type": "string", "description": "Decisions and questions that the data serves"},
            "sources": {"type": "array", "items": {"type": "string"}, "description": "Where the data comes from"},
            "metrics": {"type": "array", "items": {"type": "string"}, "description": "Metrics that are wanted"},
            "constraints": {"type": "array", "items": {"type": "string"}, "description": "Volume, freshness, privacy"},
        },
        "required": ["project_name", "description", "sources"],
    },
    output_schema=JobResult.model_json_schema(),
    plan=Plan(
        steps=(
            Step(
                id="data_requirements",
                name="Data Requirements",
                squad="business",
                agents=("business_analyst",),
                estimated_time="2-3 minutes",
                instruction=(
                    "Turn the decisions into data requirements: questions, metrics with exact definitions, "
                    "freshness, readers and their rights, rules for personal data."
                ),
            ),
            Step(
                id="data_architecture",
                name="Data Architecture",
                squad="data",
                agents=("data_architect",),
                needs=("data_requirements",),
                estimated_time="3-5 minutes",
                instruction=(
                    "Design layers, the analytical model and a contract for each source. The next steps use its names."
                ),
            ),
            Step(
                id="pipelines_and_models",
                name="Pipelines and Models",
                squad="data",
                agents=("data_engineer", "data_analyst", "ml_engineer"),
                needs=("data_requirements", "data_architecture"),
                estimated_time="3-5 minutes",
                instruction=(
                    "Fill and use the model as designed: pipelines from the sources, one query per metric, and the "
                    "prediction that would help most, or the reason why none is worth it yet."
                ),
            ),
            Step(
                id="platform_infrastructure",
                name="Platform Infrastructure",
                squad="devops",
                agents=("infrastructure_engineer",),
                needs=("data_architecture",),
                estimated_time="2-4 minutes",
                instruction="Describe as code what the platform runs on: store, scheduler, jobs, secrets, back-ups.",
            ),
            Step(
                id="data_quality_assurance",
                name="Data Quality Assurance",
                squad="qa",
                agents=("test_automation_engineer",),
                needs=("data_requirements", "data_architecture", "pipelines_and_models"),
                estimated_time="2-3 minutes",
                instruction=(
                    "Test the data and the pipelines: keys, grain, freshness, reconciliation with the sources, "
                    "metric queries on small known data, and that running a stage twice changes nothing."
                ),
            ),
        )
    ),
)
