"""People in the loop: a form asks for the address, and a person approves the shipment."""

from orchestrator.authoring import Approval, Ask, Plan, Step, WorkflowDefinition, cel
from pydantic import BaseModel


class Shipping(BaseModel):
    """Where the parcel goes."""

    street: str
    city: str


STEPS = (
    Step(id="address", ask=Ask(form=Shipping, message="Where does it go?", timeout=2 * 86_400)),
    Step(
        id="ship",
        agents=("p_shipper",),
        needs=("address",),
        input={"to": cel("steps.address.data")},
        approval=Approval(message="Ship it now?"),
    ),
)
SHIPPING_PLAN = WorkflowDefinition(
    id="p_shipping_plan",
    name="Shipping as a plan",
    description="Ships a parcel to an address that a person enters",
    plan=Plan(answer="ship", steps=STEPS),
)
