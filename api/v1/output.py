"""The output of a job. Answers keep it as it is stored; the document describes its form (D-026)."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, WithJsonSchema

SCHEMA: Final = "x-schema"
"""Key of a placeholder in a JSON schema: the name of the component that the document puts there."""


class Deliverable(BaseModel):
    """One file that a job made. `artifact` is null, except in jobs of an older release."""

    path: str
    media_type: str
    content: str
    step: str
    agent: str
    artifact: str | None


class Output(BaseModel):
    """The output of a job. `partial`: some agents of the workflow failed."""

    status: Literal["success", "partial"]
    output: str = Field(description="Markdown: the answer of an agent, or a digest of the workflow.")
    deliverables: list[Deliverable]
    metadata: dict[str, Any] = Field(description="Models, agents, failures; of an agent also its fields, in `data`.")


# Workflows that were started in Temporal may return another form: it is not checked.
OutputObject = Annotated[dict[str, Any], WithJsonSchema({"type": "object", SCHEMA: Output.__name__})]
