"""The workflow type under which Temporal runs a class."""

from temporalio import workflow


def workflow_type(workflow_class: type) -> str | None:
    """The name of the class in Temporal. None for the interpreter, and for a class that is not a workflow."""
    definition = workflow._Definition.from_class(workflow_class)  # noqa: SLF001 - the SDK has no public way
    return definition.name if definition else None
