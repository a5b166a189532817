"""A workflow in code: release notes that wait for the end of an embargo, or for the decision of a person."""

from datetime import timedelta

from orchestrator.authoring import CodeWorkflow, JobInput, JobResult, Plan, Step, WorkflowDefinition, assemble
from pydantic import BaseModel, Field
from temporalio import workflow
from workflows.steps import call_agent

from acme_agents.release_writer import NotesInput


class EmbargoInput(NotesInput):
    """A release, and the length of its embargo."""

    embargo_seconds: float = Field(gt=0, description="Seconds until the notes are published without a decision")


class Decision(BaseModel):
    """The message of the signal `decide`: publish now, or never."""

    publish: bool
    actor: str


@workflow.defn(name="acme_embargo")
class EmbargoWorkflow:
    """Writes the notes at once, waits, and publishes them."""

    def __init__(self) -> None:
        self._decision: Decision | None = None

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        """The whole job. It may wait for a year: no process has to run meanwhile, and restarts lose nothing."""
        notes = await call_agent(job, "notes", "acme_release_writer")
        embargo = timedelta(seconds=job.input["embargo_seconds"])
        workflow.set_current_details(f"Embargo until {workflow.now() + embargo:%Y-%m-%d %H:%M} UTC")
        try:
            await workflow.wait_condition(
                lambda: self._decision is not None, timeout=embargo, timeout_summary="embargo"
            )
        except TimeoutError:
            workflow.logger.info("embargo_over")
        if self._decision is not None and not self._decision.publish:
            return JobResult(output=f"Withdrawn by {self._decision.actor}; nothing was published.")
        published = await call_agent(job, "publish", "acme_publisher", context=[notes.as_context(full=True)])
        return assemble(job, [notes, published], {}, workflow.now())

    @workflow.signal
    def decide(self, decision: Decision) -> None:
        """Store the first decision."""
        self._decision = self._decision or decision


EMBARGO = CodeWorkflow(
    WorkflowDefinition(
        id="acme_embargo",
        name="Embargoed Release",
        description="Writes release notes now and publishes them at the end of the embargo, or when a person decides",
        estimated_time="1-2 minutes",
        input_schema=EmbargoInput.model_json_schema(),
        plan=Plan(
            steps=(
                Step(id="notes", name="Release Notes", squad="documentation", agents=("acme_release_writer",)),
                Step(id="publish", name="Publication", squad="release", agents=("acme_publisher",), needs=("notes",)),
            )
        ),
        code=True,
    ),
    EmbargoWorkflow,
)
