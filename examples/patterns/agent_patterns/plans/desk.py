"""An autonomous agent: the tools are the agent's, so the plan is one step."""

from orchestrator.authoring import Plan, Step, WorkflowDefinition

DESK_PLAN = WorkflowDefinition(
    id="p_desk_plan",
    name="Support desk as a plan",
    description="Answers a customer, with tools",
    plan=Plan(answer="answer", steps=(Step(id="answer", agents=("p_desk",)),)),
)
