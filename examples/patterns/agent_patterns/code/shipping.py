"""People in the loop: a form, then a yes to what the form said."""

from datetime import timedelta

from orchestrator.authoring import CodeWorkflow, JobInput, JobResult, WorkflowDefinition
from pydantic import BaseModel, Field
from temporalio import workflow
from workflows.flow import Flow

from agent_patterns.agents import SHIPPER


class Address(BaseModel):
    street: str
    express: bool = Field(False, description="Arrives tomorrow, costs 9 €.")


@workflow.defn(name="p_shipping")
class Shipping:
    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        to = await flow.ask(Address, "Where does it go?", timeout=timedelta(days=2))
        if not await flow.approval("Ship it now?", show=to):
            return flow.result(note="kept back")
        return flow.result(await flow.call(SHIPPER, input=to))


DEFINITION = WorkflowDefinition(id="p_shipping", name="Shipping", description="Asks, then ships", code=True)
SHIPPING = CodeWorkflow(DEFINITION, Shipping)
