"""One object configures Temporal everywhere: converter, sandbox, failure types, lifecycle."""

import dataclasses

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from orchestrator.domain.errors import OrchestratorError
from orchestrator.engine.payloads import JobPayloadConverter
from workflows.call_numbers import CallNumbers
from workflows.lifecycle import JobLifecycle

# Matching is by prefix. Never `workflows`: passed-through workflow modules share state between runs (style, 3.1).
PASSED_THROUGH = ("orchestrator", "activities", "pydantic", "pydantic_core")


def sandbox(runner: WorkflowRunner | None = None) -> WorkflowRunner:
    """The sandboxed runner with our passthrough modules; keeps a sandbox that somebody configured already."""
    if runner is None:
        runner = SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default)
    if isinstance(runner, SandboxedWorkflowRunner):
        return dataclasses.replace(runner, restrictions=runner.restrictions.with_passthrough_modules(*PASSED_THROUGH))
    return runner


class OrchestratorPlugin(SimplePlugin):
    """Given to the client (workers inherit it) and to the replayer."""

    def __init__(self) -> None:
        super().__init__(
            "orchestrator",
            data_converter=dataclasses.replace(pydantic_data_converter, payload_converter_class=JobPayloadConverter),
            workflow_runner=sandbox,
            workflow_failure_exception_types=[OrchestratorError],
            interceptors=[JobLifecycle(), CallNumbers()],
        )
