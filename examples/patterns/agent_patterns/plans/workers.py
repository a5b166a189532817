"""Orchestrator and workers: a lead divides the work, at most five workers do it at once, an editor merges it."""

from orchestrator.authoring import Plan, Step, WorkflowDefinition, cel

STEPS = (
    Step(id="plan", agents=("p_lead",)),
    Step(
        id="work",
        agents=("p_worker",),
        needs=("plan",),
        for_each=cel("steps.plan.tasks"),
        key=cel("item.id"),
        input={"goal": cel("item.goal")},
        max_parallel=5,
        on_error="continue",
    ),
    Step(
        id="merge",
        agents=("p_editor",),
        needs=("work",),
        input={"parts": cel("steps.work.data.filter(p, p.status == 'completed').map(p, p.output)")},
    ),
)
WORKERS_PLAN = WorkflowDefinition(
    id="p_workers_plan",
    name="Workers as a plan",
    description="Divides work, does it in parallel and merges it",
    plan=Plan(answer="merge", steps=STEPS),
)
