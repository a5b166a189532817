"""The move of a system to the cloud; the cutover waits for a person's approval."""

from typing import Final

from orchestrator.domain.commands import JobResult
from orchestrator.domain.plans import Approval, Plan, Step, WorkflowDefinition

DEFINITION: Final = WorkflowDefinition(
    id="cloud_migration",
    name="Cloud Migration",
    description="Assessment, target architecture, migration of data and interfaces, and an approved cutover",
    complexity="high",
    estimated_time="15-25 minutes, plus the approval",
    estimated_cost="$0.60-$1.20",
    input_schema={
        "type": "object",
        "properties": {
            "system_name": {"type": "string", "description": "System to be moved"},
            "description": {"type": "string", "description": "Components, data, load and today's hosting"},
            "cloud_provider": {"type": "string", "description": "Target provider, if it is settled"},
            "constraints": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Downtime, budget, compliance, dates",
            },
        },
        "required": ["system_name", "description"],
    },
    output_schema=JobResult.model_json_schema(),
    plan=Plan(
        steps=(
            Step(
                id="migration_assessment",
                name="Migration Assessment",
                squad="devops",
                agents=("cloud_architect",),
                estimated_time="3-5 minutes",
                instruction=(
                    "Take stock of the system, decide per component how it moves, and design the target "
                    "architecture with migration waves, cost and way back."
                ),
            ),
            Step(
                id="migration_planning",
                name="Migration Planning",
                squad="business",
                agents=("project_planner",),
                needs=("migration_assessment",),
                estimated_time="2-4 minutes",
                instruction="Plan the waves: work packages, rehearsals, freeze periods, risks, go/no-go criteria.",
            ),
            Step(
                id="data_and_interface_migration",
                name="Data and Interface Migration",
                squad="backend",
                agents=("database_engineer", "integration_engineer"),
                needs=("migration_assessment",),
                estimated_time="3-5 minutes",
                instruction=(
                    "Prepare the move of the data and of every interface: target schema, copy and synchronisation, "
                    "mapping, verification by counts and checksums, and running old and new side by side."
                ),
            ),
            Step(
                id="landing_zone",
                name="Landing Zone",
                squad="devops",
                agents=("infrastructure_engineer",),
                needs=("migration_assessment",),
                estimated_time="3-5 minutes",
                instruction="Describe the target environment as code, hardened, with parameters per environment.",
            ),
            Step(
                id="migration_rehearsal",
                name="Migration Rehearsal",
                squad="qa",
                agents=("test_strategist", "performance_tester"),
                needs=("migration_planning", "data_and_interface_migration", "landing_zone"),
                estimated_time="2-4 minutes",
                instruction=(
                    "Plan the rehearsal: what has to be shown in the new environment before traffic moves there."
                ),
            ),
            Step(
                id="cutover",
                name="Cutover",
                squad="devops",
                agents=("cicd_engineer", "site_reliability_engineer"),
                needs=(
                    "migration_planning",
                    "data_and_interface_migration",
                    "landing_zone",
                    "migration_rehearsal",
                ),
                estimated_time="2-4 minutes",
                approval=Approval(message="Approve the migration plan before the cutover is prepared."),
                instruction=(
                    "Write the cutover: pipeline and scripts that switch and switch back, minute-by-minute runbook "
                    "with owner roles, alerts for the first days, and the conditions under which to step back."
                ),
            ),
        )
    ),
)
