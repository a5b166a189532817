"""A product recall: a model writes the letter, a person signs it, and 20 customers get it."""

from orchestrator.authoring import (
    Agent,
    AgentOutput,
    CodeWorkflow,
    FunctionCall,
    JobInput,
    JobResult,
    Plugin,
    WorkflowDefinition,
)
from pydantic import BaseModel, Field
from temporalio import workflow
from workflows.flow import Flow

PRODUCTS = {"S7": "Rocket Skates, red", "S8": "Rocket Skates, blue"}


# 1. What goes in, what comes out, what a person is asked.
class Recall(BaseModel):
    """The input of the workflow."""

    product: str = Field(description="Number of the product, such as S7")
    fault: str = Field(description="What is wrong with it")
    customers: list[str] = Field(min_length=1, description="Numbers of the customers")


class Draft(BaseModel):
    """The input of the writer."""

    product: str
    fault: str
    remarks: str = ""


class Letter(BaseModel):
    """The input of the reviewer, and of the mailer."""

    text: str
    customer: str = ""


class Review(AgentOutput):
    """The answer of the reviewer."""

    approved: bool
    remarks: str = ""


class Release(BaseModel):
    """The form for a person."""

    send: bool = Field(description="Send the letter to all customers?")
    signature: str = Field("Customer Service", description="The name below the letter")


# 2. Two tools. The model reads their types and docstrings.
async def find_product(number: str) -> str:
    """Look up the name of a product by its number."""
    return PRODUCTS.get(number, f"There is no product {number}.")


async def repair_price(number: str, hours: float) -> float:
    """The price of a repair in euros.

    Args:
        number: The number of the product.
        hours: The hours that the repair takes.
    """
    return 60.0 * hours


# 3. Three agents: two ask a model, one is a function.
WRITER: Agent = Agent(
    id="letter_writer",
    name="Letter Writer",
    squad="recalls",
    description="Writes the letter of a recall",
    capabilities=("letters",),
    instructions="Write a letter about the fault of this product. Name the product and the price of its repair.",
    input_model=Draft,
    tools=(find_product, repair_price),
)
REVIEWER: Agent[Review] = Agent(
    id="letter_reviewer",
    name="Letter Reviewer",
    squad="recalls",
    description="Approves a letter, or says what to change",
    capabilities=("reviews",),
    instructions="Approve the letter only if a worried customer knows what to do after reading it once.",
    input_model=Letter,
    output_model=Review,
)


async def post(call: FunctionCall) -> AgentOutput:
    """Send one letter. Pass `call.effect_id` to your mail service, so that a second attempt sends no second letter."""
    return AgentOutput(summary=f"Sent to {call.input['customer']}", output=call.input["text"])


MAILER: Agent = Agent(
    id="letter_mailer",
    name="Letter Mailer",
    squad="recalls",
    description="Sends a letter to one customer",
    capabilities=("letters",),
    input_model=Letter,
    function=post,
)


# 4. The workflow.
@workflow.defn(name="recall")
class RecallWorkflow:
    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow, recall, remarks = Flow(job), Recall.model_validate(job.input), ""

        for number in flow.rounds(3):  # Write, review, rewrite: at most three times.
            draft = Draft(product=recall.product, fault=recall.fault, remarks=remarks)
            letter = await flow.call(WRITER, input=draft, key=number)
            review = await flow.call(REVIEWER, input=Letter(text=letter.output), key=number)
            if review.data.approved:
                break
            remarks = review.data.remarks

        release = await flow.ask(Release, "Shall we send this letter?", show=letter)  # A person answers, within days.
        if not release.send:
            return flow.result(letter, note="not sent")

        text = f"{letter.output}\n\n{release.signature}"
        sent = await flow.map(  # One call for each customer, at most five at once.
            MAILER,
            recall.customers,
            key=lambda customer: customer,
            input=lambda customer: Letter(text=text, customer=customer),
            max_parallel=5,
        )
        return flow.result(letter, note=f"{len(sent)} letters sent")


# 5. What the engine loads.
DEFINITION = WorkflowDefinition(
    id="recall", name="Recall", description="Writes a letter and sends it", input_model=Recall, code=True
)
plugin = Plugin(
    name="recalls",
    agents=(WRITER, REVIEWER, MAILER),
    code_workflows=(CodeWorkflow(DEFINITION, RecallWorkflow),),
)
