"""The built-in workflows: declared definitions, one per file, and the workflow classes."""

import importlib
import pkgutil
from typing import Final

from pydantic import ValidationError

from orchestrator.domain.errors import CatalogueError
from orchestrator.domain.plans import WorkflowDefinition
from workflows import definitions
from workflows.conversation import ConversationWorkflow
from workflows.job_index import IndexJobWorkflow
from workflows.plan import PlanWorkflow
from workflows.reconcile import ReconcileWorkflow
from workflows.webhook_delivery import WebhookDeliveryWorkflow


def _definition(name: str) -> WorkflowDefinition:
    """The `DEFINITION` of `workflows/definitions/<name>.py`. Raises `CatalogueError`, naming the file."""
    source = f"workflows/definitions/{name}.py"
    try:
        module = importlib.import_module(f"{definitions.__name__}.{name}")
    except ValidationError as error:
        raise CatalogueError(source, "; ".join(detail["msg"] for detail in error.errors())) from error
    definition = getattr(module, "DEFINITION", None)
    if not isinstance(definition, WorkflowDefinition):
        raise CatalogueError(source, "has no top-level DEFINITION")
    if definition.id != name:
        raise CatalogueError(source, f"defines {definition.id!r}; the file must have the definition's id as its name")
    return definition.model_copy(update={"source": source})


DEFINITIONS: Final[tuple[WorkflowDefinition, ...]] = tuple(
    _definition(module.name) for module in pkgutil.iter_modules(definitions.__path__)
)
WORKFLOWS: Final[tuple[type, ...]] = (
    PlanWorkflow,
    ConversationWorkflow,
    IndexJobWorkflow,
    ReconcileWorkflow,
    WebhookDeliveryWorkflow,
)
