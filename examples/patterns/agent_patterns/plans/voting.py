"""Parallel sections, then votes: three agents look at a case, and three equal votes of five seats suffice."""

from orchestrator.authoring import Plan, Step, WorkflowDefinition, cel

STEPS = (
    Step(id="views", agents=("p_lawyer", "p_accountant", "p_engineer")),
    Step(
        id="votes",
        agents=("p_juror",),
        for_each=cel("input.seats"),
        key=cel("item"),
        enough=3,
        input={"case": cel("input.case"), "seat": cel("item")},
    ),
    Step(
        id="verdict",
        agents=("p_chair",),
        needs=("views", "votes"),
        input={
            "views": cel("steps.views.data"),
            "yes": cel("steps.votes.data.filter(v, v.status == 'completed' && v.guilty).size()"),
        },
    ),
)
VOTING_PLAN = WorkflowDefinition(
    id="p_voting_plan",
    name="Voting as a plan",
    description="Collects views and votes on a case",
    plan=Plan(answer="verdict", steps=STEPS),
)
