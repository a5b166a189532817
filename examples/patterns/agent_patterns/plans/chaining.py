"""Prompt chaining with a gate: an outline, its check, and a text only if the outline is good."""

from orchestrator.authoring import Plan, Step, WorkflowDefinition, cel

STEPS = (
    Step(id="outline", agents=("p_outliner",)),
    Step(
        id="gate",
        agents=("p_checker",),
        needs=("outline",),
        input={"text": cel("steps.outline.output")},
    ),
    Step(
        id="write",
        agents=("p_writer",),
        needs=("gate",),
        when=cel("steps.gate.good"),
        input={"outline": cel("steps.outline.output")},
    ),
)
CHAINING_PLAN = WorkflowDefinition(
    id="p_chaining_plan",
    name="Chaining as a plan",
    description="Writes a text if its outline is good",
    plan=Plan(answer="write", steps=STEPS),
)
