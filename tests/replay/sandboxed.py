"""The interpreter as the sandbox runs it, which refuses whatever could differ from one replay to the next."""

from collections.abc import Sequence
from datetime import datetime

from temporalio import workflow
from temporalio.common import RawValue

from workflows.plan import PlanWorkflow

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.commands import JobResult


@workflow.defn(dynamic=True)
class SandboxedPlanWorkflow(PlanWorkflow):
    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> JobResult:
        return await super().run(args)


@workflow.defn(dynamic=True)
class ClockReadingPlanWorkflow(PlanWorkflow):
    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> JobResult:
        datetime.now()  # noqa: DTZ005 - what the sandbox must refuse
        return await super().run(args)
