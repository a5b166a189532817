"""A production incident: mitigation first, then causes, repair and what is learned."""

from typing import Final

from orchestrator.domain.commands import JobResult
from orchestrator.domain.plans import Plan, Step, WorkflowDefinition

DEFINITION: Final = WorkflowDefinition(
    id="incident_response",
    name="Incident Response",
    description="Triage, diagnosis, repair and post-mortem of a production incident",
    complexity="medium",
    estimated_time="6-11 minutes",
    estimated_cost="$0.25-$0.55",
    input_schema={
        "type": "object",
        "properties": {
            "service_name": {"type": "string", "description": "Service that is affected"},
            "description": {"type": "string", "description": "Symptoms, times, recent changes"},
            "severity": {"type": "string", "enum": ["sev1", "sev2", "sev3", "sev4"]},
            "logs": {"type": "string", "description": "Log lines, error messages, traces"},
            "timeline": {"type": "array", "items": {"type": "string"}, "description": "What happened when"},
        },
        "required": ["service_name", "description"],
    },
    output_schema=JobResult.model_json_schema(),
    plan=Plan(
        steps=(
            Step(
                id="triage",
                name="Triage",
                squad="devops",
                agents=("site_reliability_engineer",),
                estimated_time="1-2 minutes",
                instruction=(
                    "Assess the impact, choose the mitigation with its risk and way back, and list hypotheses with "
                    "the check that separates them."
                ),
            ),
            Step(
                id="root_cause_analysis",
                name="Root Cause Analysis",
                squad="backend",
                agents=("backend_developer", "database_engineer", "security_engineer"),
                needs=("triage",),
                estimated_time="2-4 minutes",
                instruction=(
                    "This is a diagnosis. Test the hypotheses of the triage from your side (code, data, security) "
                    "against the logs and the timeline. Say what is shown, what is likely, what is still to be "
                    "checked, and give the smallest safe repair as a file."
                ),
            ),
            Step(
                id="repair_release",
                name="Repair Release",
                squad="devops",
                agents=("cicd_engineer",),
                needs=("triage", "root_cause_analysis"),
                estimated_time="1-2 minutes",
                instruction="Prepare the release of the repair: pipeline, order, checks after each stage, roll-back.",
            ),
            Step(
                id="regression_protection",
                name="Regression Protection",
                squad="qa",
                agents=("test_automation_engineer",),
                needs=("root_cause_analysis",),
                estimated_time="1-2 minutes",
                instruction="Write tests that fail with the defect and pass with the repair.",
            ),
            Step(
                id="post_mortem",
                name="Post-Mortem",
                squad="documentation",
                agents=("technical_writer",),
                needs=("triage", "root_cause_analysis", "repair_release", "regression_protection"),
                estimated_time="1-2 minutes",
                instruction=(
                    "Write a post-mortem without blame: impact, timeline, contributing causes, actions with owner role."
                ),
            ),
        )
    ),
)
