"""A security review: threats, tests and hardening, and a plan to close the gaps."""

from typing import Final

from orchestrator.domain.commands import JobResult
from orchestrator.domain.plans import Plan, Step, WorkflowDefinition

DEFINITION: Final = WorkflowDefinition(
    id="security_review",
    name="Security Review",
    description="Threat model, security tests and hardening of a system, with a remediation plan",
    complexity="medium",
    estimated_time="7-12 minutes",
    estimated_cost="$0.25-$0.55",
    input_schema={
        "type": "object",
        "properties": {
            "system_name": {"type": "string", "description": "System under review"},
            "description": {"type": "string", "description": "Architecture, data, users, exposure"},
            "compliance": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Rules and standards that apply",
            },
            "scope": {"type": "array", "items": {"type": "string"}, "description": "What may be examined"},
        },
        "required": ["system_name", "description"],
    },
    output_schema=JobResult.model_json_schema(),
    plan=Plan(
        steps=(
            Step(
                id="threat_modeling",
                name="Threat Modeling",
                squad="backend",
                agents=("security_engineer",),
                estimated_time="2-4 minutes",
                instruction="Model the threats to the system and design the controls, mapped to the rules that apply.",
            ),
            Step(
                id="security_testing",
                name="Security Testing",
                squad="qa",
                agents=("security_tester",),
                needs=("threat_modeling",),
                estimated_time="2-3 minutes",
                instruction=(
                    "Look for weaknesses along the threats of the model, within the scope, and test the controls."
                ),
            ),
            Step(
                id="infrastructure_hardening",
                name="Infrastructure Hardening",
                squad="devops",
                agents=("infrastructure_engineer",),
                needs=("threat_modeling",),
                estimated_time="2-3 minutes",
                instruction=(
                    "Put the controls that belong to the platform into code: isolation, least privilege, secrets."
                ),
            ),
            Step(
                id="remediation_plan",
                name="Remediation Plan",
                squad="business",
                agents=("project_planner",),
                needs=("threat_modeling", "security_testing", "infrastructure_hardening"),
                estimated_time="2-3 minutes",
                instruction=(
                    "Plan the repairs by risk and effort: what stops a release, what follows within a month, what "
                    "is accepted and by which role, and how each repair is verified."
                ),
            ),
        )
    ),
)
