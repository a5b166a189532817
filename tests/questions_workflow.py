"""A workflow in code that asks people: a form, then an approval. It works with the primitives of `workflows` alone."""

import asyncio

from temporalio import workflow

from workflows.questions import questions_of_run

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel, Field, field_validator

    from orchestrator.domain.commands import Decision, JobInput, JobResult
    from orchestrator.domain.questions import PersonQuestion, approval_question


class Shipping(BaseModel):
    """Where a parcel goes."""

    street: str = Field(min_length=3)
    floor: int = Field(default=0, description="Zero is the ground floor.")
    express: bool = False

    @field_validator("street")
    @classmethod
    def _has_number(cls, street: str) -> str:
        if not any(letter.isdigit() for letter in street):
            raise ValueError("a street has a number")
        return street


class Remark(BaseModel):
    """What somebody has to say."""

    text: str = Field(min_length=2)
    weight: int = 1


@workflow.defn(name="t_form")
class FormWorkflow:
    """Asks for an address, over `runs` runs, then for a yes."""

    def __init__(self) -> None:
        self._next = False
        self._remarks: list[str] = []

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        given = job.input
        question = PersonQuestion(
            id="address",
            step="address",
            message="Where does it go?",
            form=Shipping.model_json_schema(),
            timeout=given.get("timeout", 60),
            on_timeout=given.get("on_timeout", "fail"),
            by=tuple(given.get("by", ())),
        )
        if given.get("runs", 1) > 1:
            await self._hand_over(job, question)
        to = await questions_of_run().ask_form(question, Shipping)
        if to is None:
            return JobResult(output="skipped")
        text = ", ".join([to.street, f"floor {to.floor}", *self._remarks])
        if given.get("approval"):
            patience = given.get("patience", 60)
            yes = await questions_of_run().ask(
                approval_question("ship", "ship", "Ship it?", details=to.model_dump(), timeout=patience)
            )
            text += f", {'yes' if yes.approved else 'no'} of {yes.actor} ({yes.note})"
        return JobResult(output=text)

    async def _hand_over(self, job: JobInput, question: PersonQuestion) -> None:
        """Continue as new at the signal `next`, with the question open or its answer unread."""
        task = asyncio.create_task(questions_of_run().ask_form(question, Shipping))
        await workflow.wait_condition(lambda: self._next)
        workflow.continue_as_new(job.model_copy(update={"input": {**job.input, "runs": job.input["runs"] - 1}}))
        await task

    @workflow.signal
    def next(self) -> None:
        self._next = True

    @workflow.signal
    def remark(self, remark: Remark) -> None:
        self._remarks.append(f"{remark.text} x {remark.weight}")

    @workflow.signal
    def approve(self, decision: Decision) -> None:
        questions_of_run().decide(decision, approved=True)

    @workflow.signal
    def reject(self, decision: Decision) -> None:
        questions_of_run().decide(decision, approved=False)
