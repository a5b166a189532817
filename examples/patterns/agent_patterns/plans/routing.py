"""Routing: one agent sorts, one desk works, one agent answers. Steps whose condition is false are skipped."""

from orchestrator.authoring import Plan, Step, WorkflowDefinition, cel


def desk(topic: str, **work: object) -> Step:
    """The step for one topic."""
    return Step(id=topic, needs=("sort",), when=cel(f"steps.sort.topic == '{topic}'"), **work)


STEPS = (
    Step(id="sort", agents=("p_classifier",)),
    desk("refund", agents=("p_refunds",)),
    desk("tech", workflow="p_workers_plan", input={"goal": cel("input.message")}),
    desk("other", agents=("p_generalist",)),
    Step(
        id="reply",
        agents=("p_answerer",),
        needs=("refund", "tech", "other"),
        join="any",
        input={"facts": cel("ran[0].output")},
    ),
)
ROUTING_PLAN = WorkflowDefinition(
    id="p_routing_plan",
    name="Routing as a plan",
    description="Sends a message to the desk for its topic",
    plan=Plan(answer="reply", steps=STEPS),
)
