"""Evaluator and optimizer: write and review until the review approves, at most three times."""

from orchestrator.authoring import Plan, Repeat, Step, WorkflowDefinition, cel

WRITE = Step(
    id="write",
    agents=("p_writer",),
    input={"brief": cel("input.brief"), "remarks": cel("round == 1 ? '' : previous.review.remarks")},
)
REVIEW = Step(id="review", agents=("p_reviewer",), needs=("write",), input={"text": cel("steps.write.output")})
POLISHING_PLAN = WorkflowDefinition(
    id="p_polishing_plan",
    name="Polishing as a plan",
    description="Writes until approved",
    plan=Plan(
        answer="publish",
        steps=(
            Step(id="polish", repeat=Repeat(until=cel("steps.review.approved"), max_rounds=3), steps=(WRITE, REVIEW)),
            Step(
                id="publish",
                agents=("p_publisher",),
                needs=("polish",),
                input={"text": cel("steps.polish.write.output")},
            ),
        ),
    ),
)
