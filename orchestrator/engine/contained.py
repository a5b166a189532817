"""Runs workflow code so that an exit in it fails the job: the SDK lets it end the worker's event loop."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import SerializationContext, StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner

from workflows.exits import exit_error, is_exit

T = TypeVar("T")


class ContainedRunner(WorkflowRunner):
    """Another runner whose workflows cannot exit.

    `workflows.lifecycle` sees the exits of a workflow's own coroutine and handlers; here are those of tasks that it
    made, of its `__init__`, and of the module that the sandbox imports for it.
    """

    def __init__(self, runner: WorkflowRunner) -> None:
        self._runner = runner

    def prepare_workflow(self, defn: workflow._Definition) -> None:
        """As the other runner does it."""
        _contained(lambda: self._runner.prepare_workflow(defn))

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """The other runner's instance, contained."""
        return _ContainedInstance(_contained(lambda: self._runner.create_instance(det)))

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        """As the other runner does it."""
        self._runner.set_worker_level_failure_exception_types(types)


class _ContainedInstance(WorkflowInstance):
    def __init__(self, instance: WorkflowInstance) -> None:
        self._instance = instance

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        return _contained(lambda: self._instance.activate(act))

    def get_serialization_context(self, command_info: Any) -> SerializationContext | None:
        return self._instance.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return self._instance.get_external_store_context(command_info)

    def get_info(self) -> workflow.Info:
        return self._instance.get_info()

    def get_thread_id(self) -> int | None:
        return self._instance.get_thread_id()


def _contained(run: Callable[[], T]) -> T:
    """What it returns. An exit is raised as an error that fails the job for good."""
    try:
        return run()
    except BaseException as error:
        if not is_exit(error):
            raise
        raise exit_error(error) from error
