"""Routing: a classifier decides which desk answers. A technical case is a job of its own."""

from orchestrator.authoring import CodeWorkflow, JobInput, JobResult, WorkflowDefinition
from temporalio import workflow
from workflows.flow import Flow

from agent_patterns.agents import ANSWERER, CLASSIFIER, GENERALIST, REFUNDS

DESKS = {"refund": REFUNDS, "other": GENERALIST}


@workflow.defn(name="p_routing")
class Routing:
    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        topic = (await flow.call(CLASSIFIER)).data.topic
        if topic == "tech":
            facts = await flow.run_workflow("p_workers", {"goal": job.input["message"]})
        else:
            facts = await flow.call(DESKS[topic])
        return flow.result(await flow.call(ANSWERER, input={"facts": facts.output}))


ROUTING = CodeWorkflow(
    WorkflowDefinition(id="p_routing", name="Routing", description="Sends a message to its desk", code=True), Routing
)
