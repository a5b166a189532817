"""Runs workflow code so that an exit or an endless loop in it fails the job.

With the SDK alone, an exit ends the worker's event loop, and an endless loop runs again and again.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog
from temporalio import workflow
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import SerializationContext, StorageDriverStoreContext
from temporalio.exceptions import ApplicationError
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner

from orchestrator.domain.names import WORKFLOW_BLOCKED
from workflows.exits import exit_error, is_exit

log = structlog.get_logger(__name__)

# How many times in a row a task of a run may hit the SDK's limit in a worker.
BLOCKED_LIMIT: Final = 3
# The SDK's limit in seconds. Workflow code that does not await anything for so long is interrupted: its task fails and
# is retried.
_YIELD_SECONDS: Final = 2.0
# The same limit as the thread measures it, which starts a little later.
_LATE_SECONDS: Final = 1.5
# How long the thread itself must have computed in that time: on a busy machine, innocent code of a few milliseconds is
# late too.
_BUSY_SECONDS: Final = 0.1
_MAX_RUNS: Final = 1000
_MAX_LENGTH: Final = 300
# A history grows by at most so many events when a task fails and is retried. If it grew by more, the run went on.
_EVENTS_OF_FAILURES: Final = 10
T = TypeVar("T")


@dataclass(slots=True)
class _Block:
    times: int
    history_length: int


class _Blocks:
    """The runs whose code blocked, and how many times in a row."""

    def __init__(self, late_seconds: float, busy_seconds: float) -> None:
        self._late_seconds = late_seconds
        self._busy_seconds = busy_seconds
        self._runs: OrderedDict[str, _Block] = OrderedDict()
        self._abandoned: list[WorkflowInstance] = []

    @contextmanager
    def watched(self, act: WorkflowActivation, info: workflow.Info) -> Iterator[None]:
        """Count the activation if its code hits the limit."""
        start, cpu_start = time.monotonic(), time.thread_time()
        try:
            yield
        finally:
            seconds, busy = time.monotonic() - start, time.thread_time() - cpu_start
            if seconds >= self._late_seconds and busy >= self._busy_seconds:
                times = self._count(act)
                log.error(
                    "workflow_code_blocks",
                    job_id=info.workflow_id,
                    workflow=info.workflow_type,
                    seconds=round(seconds, 1),
                    busy_seconds=round(busy, 1),
                    times=times,
                )

    def _count(self, act: WorkflowActivation) -> int:
        block = self._runs.setdefault(act.run_id, _Block(0, act.history_length))
        if self._went_on(act, block):
            block.times, block.history_length = 0, act.history_length
        block.times += 1
        self._runs.move_to_end(act.run_id)
        while len(self._runs) > _MAX_RUNS:
            self._runs.popitem(last=False)
        return block.times

    def hold(self, run_id: str, instance: WorkflowInstance) -> bool:
        """Keep a reference to the instance of a run that blocked. False for any other run.

        The SDK's interruption can hit `asyncio` between two steps of a task, which then never ends. The SDK would wait
        for that end before it evicts the run, and its worker would never stop.
        """
        if run_id in self._runs:
            self._abandoned.append(instance)
        return run_id in self._runs

    @staticmethod
    def _went_on(act: WorkflowActivation, block: _Block) -> bool:
        return act.history_length > block.history_length + _EVENTS_OF_FAILURES

    def refuse(self, act: WorkflowActivation) -> None:
        """Raise `ApplicationError` of type `workflow_blocked`, which fails the job, if its code blocked too often."""
        block = self._runs.get(act.run_id)
        if block is not None and not self._went_on(act, block) and block.times >= BLOCKED_LIMIT:
            raise ApplicationError(
                f"The workflow's code ran for {_YIELD_SECONDS:g} seconds without waiting for anything, {block.times} "
                "times in a row. It contains an endless loop, or computes too much: move the computation to an agent.",
                type=WORKFLOW_BLOCKED,
                non_retryable=True,
            )


class ContainedRunner(WorkflowRunner):
    """Wraps another runner, so that its workflows can neither exit nor block for ever.

    `workflows.lifecycle` handles exits in a workflow's main coroutine and handlers. This class handles those in tasks
    that the workflow created, in its `__init__`, and in the module that the sandbox imports for it.
    """

    def __init__(
        self, runner: WorkflowRunner, *, late_seconds: float = _LATE_SECONDS, busy_seconds: float = _BUSY_SECONDS
    ) -> None:
        self._runner = runner
        self._blocks = _Blocks(late_seconds, busy_seconds)

    def prepare_workflow(self, defn: workflow._Definition) -> None:
        """Delegate to the other runner."""
        _without_exit(lambda: self._runner.prepare_workflow(defn))

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Wrap an instance of the other runner."""
        return _ContainedInstance(_without_exit(lambda: self._runner.create_instance(det)), self._blocks)

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        """Delegate to the other runner."""
        self._runner.set_worker_level_failure_exception_types(types)


class _ContainedInstance(WorkflowInstance):
    def __init__(self, instance: WorkflowInstance, blocks: _Blocks) -> None:
        self._instance = instance
        self._blocks = blocks

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        if any(job.HasField("remove_from_cache") for job in act.jobs):
            return self._leave_cache(act)
        if not act.is_replaying:  # A failure would not match the replayed history.
            self._blocks.refuse(act)
        with self._blocks.watched(act, self.get_info()):
            return _without_exit(lambda: self._instance.activate(act))

    def _leave_cache(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        try:
            return _without_exit(lambda: self._instance.activate(act))
        except RuntimeError as error:
            if not self._blocks.hold(act.run_id, self._instance):
                raise
            log.warning("workflow_code_abandoned", job_id=self.get_info().workflow_id, error=str(error)[:_MAX_LENGTH])
            completion = WorkflowActivationCompletion(run_id=act.run_id)
            completion.successful.SetInParent()
            return completion

    def get_serialization_context(self, command_info: Any) -> SerializationContext | None:
        return self._instance.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return self._instance.get_external_store_context(command_info)

    def get_info(self) -> workflow.Info:
        return self._instance.get_info()

    def get_thread_id(self) -> int | None:
        return self._instance.get_thread_id()


def _without_exit(run: Callable[[], T]) -> T:
    """Run a function and return its result. An exit becomes an error that is not retried."""
    try:
        return run()
    except BaseException as error:
        if not is_exit(error):
            raise
        raise exit_error(error) from error
