"""An audit of a system's quality from four sides, drawn together in one report."""

from typing import Final

from orchestrator.domain.commands import JobResult
from orchestrator.domain.plans import Plan, Step, WorkflowDefinition

DEFINITION: Final = WorkflowDefinition(
    id="quality_assurance_audit",
    name="Quality Assurance Audit",
    description="Function, performance, security and accessibility of a system, with a release recommendation",
    complexity="medium",
    estimated_time="8-14 minutes",
    estimated_cost="$0.35-$0.70",
    input_schema={
        "type": "object",
        "properties": {
            "system_name": {"type": "string", "description": "System under audit"},
            "description": {"type": "string", "description": "What it does, how it is built, who uses it"},
            "requirements": {"type": "array", "items": {"type": "string"}, "description": "What it has to meet"},
            "known_issues": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Defects and complaints so far",
            },
            "expected_load": {"type": "string", "description": "Users, requests, data volume"},
        },
        "required": ["system_name", "description"],
    },
    output_schema=JobResult.model_json_schema(),
    plan=Plan(
        steps=(
            Step(
                id="test_strategy",
                name="Test Strategy",
                squad="qa",
                agents=("test_strategist",),
                estimated_time="2-4 minutes",
                instruction="Rank the quality risks of the system and plan what the audit has to show for each.",
            ),
            Step(
                id="functional_testing",
                name="Functional Testing",
                squad="qa",
                agents=("test_automation_engineer",),
                needs=("test_strategy",),
                estimated_time="2-4 minutes",
                instruction=(
                    "Automate the cases of the strategy in order of risk; known issues become regression tests."
                ),
            ),
            Step(
                id="performance_and_security_testing",
                name="Performance and Security Testing",
                squad="qa",
                agents=("performance_tester", "security_tester"),
                needs=("test_strategy",),
                estimated_time="2-4 minutes",
                instruction=(
                    "Examine how the system behaves under load and under attack, as far as the material allows."
                ),
            ),
            Step(
                id="accessibility_audit",
                name="Accessibility Audit",
                squad="frontend",
                agents=("accessibility_specialist",),
                needs=("test_strategy",),
                estimated_time="2-4 minutes",
                instruction=(
                    "Audit the user interface that the input describes, and plan the checks that need the real one."
                ),
            ),
            Step(
                id="audit_report",
                name="Audit Report",
                squad="documentation",
                agents=("technical_writer",),
                needs=(
                    "test_strategy",
                    "functional_testing",
                    "performance_and_security_testing",
                    "accessibility_audit",
                ),
                estimated_time="2-3 minutes",
                instruction=(
                    "Write the audit report: release recommendation, findings of all sides in one ranking by "
                    "severity, repairs with effort, and what could not be judged."
                ),
            ),
        )
    ),
)
