"""The one plugin that configures Temporal's clients, workers and replayers: converter, sandbox, failure types."""

import dataclasses
from collections.abc import Awaitable, Callable

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.plugin import SimplePlugin
from temporalio.service import ConnectConfig, ServiceClient
from temporalio.worker import WorkerConfig, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from orchestrator.domain.errors import OrchestratorError
from orchestrator.engine.contained_runner import ContainedRunner
from orchestrator.engine.failures import BoundedFailureConverter
from orchestrator.engine.guarded_service import GuardedService
from orchestrator.engine.payloads import JobDataConverter, JobPayloadConverter
from orchestrator.engine.values import LateValueStore, ValueCodec
from workflows.call_numbers import CallNumbers
from workflows.history import HistoryWatch
from workflows.lifecycle import JobLifecycle
from workflows.questions import QuestionCarrier

# Prefixes of module names. Never `workflows`: passed-through workflow modules would share state between runs.
PASSED_THROUGH = ("orchestrator", "activities", "pydantic", "pydantic_core")


def sandbox(runner: WorkflowRunner | None = None) -> WorkflowRunner:
    """The sandboxed runner with our passthrough modules. A runner that is configured already keeps its settings."""
    if runner is None:
        runner = SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default)
    if isinstance(runner, SandboxedWorkflowRunner):
        return dataclasses.replace(runner, restrictions=runner.restrictions.with_passthrough_modules(*PASSED_THROUGH))
    return runner


def codec_of(client: Client) -> ValueCodec:
    """The codec of a client with our plugin. Its value store is opened after the client is connected."""
    codec = client.data_converter.payload_codec
    if not isinstance(codec, ValueCodec):
        raise TypeError("the client was connected without OrchestratorPlugin")
    return codec


def keep_facts_out_of_messages() -> None:
    """Log the facts about a job as fields, as the product's own log lines do, and not as a part of the message."""
    activity.logger.activity_info_on_message = False
    workflow.logger.workflow_info_on_message = False


class OrchestratorPlugin(SimplePlugin):
    """For a client, whose workers inherit it, and for the replayer. `values` reads the stored values."""

    def __init__(self) -> None:
        self.values = LateValueStore()
        codec = ValueCodec(self.values)
        super().__init__(
            "orchestrator",
            data_converter=JobDataConverter(
                payload_converter_class=JobPayloadConverter,
                payload_codec=codec,
                failure_converter_class=BoundedFailureConverter,
            ),
            workflow_runner=lambda runner: ContainedRunner(sandbox(runner)),
            workflow_failure_exception_types=[OrchestratorError],
            interceptors=[JobLifecycle(), CallNumbers(), QuestionCarrier(), HistoryWatch()],
        )

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """Contain workflows outside the sandbox too: an author's class may switch the sandbox off."""
        keep_facts_out_of_messages()
        config = super().configure_worker(config)
        config["unsandboxed_workflow_runner"] = ContainedRunner(config["unsandboxed_workflow_runner"])
        return config

    async def connect_service_client(
        self, config: ConnectConfig, next: Callable[[ConnectConfig], Awaitable[ServiceClient]]
    ) -> ServiceClient:
        """Put the client behind a circuit: its calls fail at once while Temporal does not answer."""
        return GuardedService(await super().connect_service_client(config, next))
