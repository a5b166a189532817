"""A prompted agent: instructions, an input model and an output model. Settings select the language model."""

from orchestrator.authoring import Agent, AgentOutput, ModelSettings, Squad
from pydantic import BaseModel, Field


class NotesInput(BaseModel):
    """A release: the product, the version and its changes."""

    product: str = Field(min_length=1, description="Name of the product")
    version: str = Field(min_length=1, description="Version, such as 2.4.0")
    changes: list[str] = Field(min_length=1, description="What changed, one sentence each")


class ReleaseNotes(AgentOutput):
    """Release notes. The text is in the inherited field `output`."""

    headline: str = Field(description="One line for the top of the page.")
    breaking_changes: list[str] = Field(default_factory=list, description="Changes that ask the reader to act.")


RELEASE_WRITER = Agent(
    id="acme_release_writer",
    name="Release Writer",
    squad=Squad.DOCUMENTATION,
    description="Writes release notes that say what a change means to the reader",
    capabilities=("release notes", "changelogs"),
    instructions=(
        "You write release notes for users of the product, who do not know its code. "
        "Group the changes into New, Improved and Fixed, and leave out a group that is empty. "
        "Say for each change what the reader can do now, in one sentence. "
        "A change that asks the reader to act goes first, with what to do, and into `breaking_changes`. "
        "Invent nothing: every sentence must follow from one of the `changes`."
    ),
    input_model=NotesInput,
    output_model=ReleaseNotes,
    settings=ModelSettings(default_temperature=0.3, max_tokens=2000),
)
