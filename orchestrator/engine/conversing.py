"""What the services ask of a conversation's workflow: one update, which starts the workflow where none runs (A11)."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError

from orchestrator.domain import names
from orchestrator.domain.conversations import SESSION_BUSY, ConversationInput
from orchestrator.domain.errors import DeadlineExceeded, LimitExceeded, NotFound, OrchestratorError, Unavailable
from orchestrator.engine.connect import rpc_errors

Answer = TypeVar("Answer", bound=BaseModel)
Done = TypeVar("Done")

# Seconds until a worker must have taken an update: before that it is not durable.
TAKEN_WITHIN: Final = 10.0
_TRIES: Final = 3


class ConversationGateway:
    """One per process, over one client. Raises domain errors, never Temporal's own."""

    def __init__(self, client: Client, task_queue: str, *, taken_within: float = TAKEN_WITHIN) -> None:
        self._client = client
        self._task_queue = task_queue
        self._taken_within = taken_within

    async def ask(
        self,
        conversation: ConversationInput,
        update: str,
        message: BaseModel,
        answer: type[Answer],
        *,
        update_id: str,
        seconds: float,
    ) -> Answer:
        """What a conversation answers to an update; the same `update_id` gets the same answer, and is done once.

        Raises `Unavailable` when no worker takes it soon: it may then be lost. Raises `DeadlineExceeded` when it is
        taken and not answered within `seconds`: it goes on. Raises `LimitExceeded` when too many wait before it, or its
        owner has too many open jobs.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        with rpc_errors(f"session: {conversation.session_id[:80]}"):
            handle = await self._taken(partial(self._send, conversation, update, message, answer, update_id))
            left = deadline - asyncio.get_running_loop().time()
            try:
                answered = await _within(max(0.0, left), handle.result())
            except WorkflowUpdateFailedError as failure:
                raise _refused(failure) from failure
        if answered is None:
            raise DeadlineExceeded(f"No answer within {seconds:g} seconds; it is still being worked on")
        return answered

    async def _taken(
        self, send: Callable[[], Coroutine[Any, Any, "WorkflowUpdateHandle[Answer]"]]
    ) -> "WorkflowUpdateHandle[Answer]":
        for _ in range(_TRIES):
            try:
                with rpc_errors("session"):
                    handle = await _within(self._taken_within, send())
            except NotFound:
                continue  # the run that was there ended just then
            if handle is None:
                late = f"No worker took the message within {self._taken_within:g} seconds"
                raise Unavailable(f"{late}. Send it again with the same X-Request-ID", retry_after=2.0)
            return handle
        raise Unavailable("The session is being ended. Send the message again with the same X-Request-ID")

    async def _send(
        self,
        conversation: ConversationInput,
        update: str,
        message: BaseModel,
        answer: type[Answer],
        update_id: str,
    ) -> "WorkflowUpdateHandle[Answer]":
        start: WithStartWorkflowOperation[object, object] = WithStartWorkflowOperation(
            names.WORKFLOW_CONVERSATION,
            conversation,
            id=conversation.conversation_id,
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=f"session {conversation.session_id[:80]}",
            priority=Priority(fairness_key=names.fairness_key(conversation.owner)),
        )
        return await self._client.start_update_with_start_workflow(
            update,
            message,
            start_workflow_operation=start,
            wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            id=update_id,
            result_type=answer,
            rpc_timeout=timedelta(seconds=self._taken_within + 5),
        )


async def _within(seconds: float, work: Coroutine[Any, Any, Done]) -> Done | None:
    """What comes of it, or None when it takes longer: the SDK turns a cancellation into an error of its own."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        return task.result() if done else None
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _refused(failure: WorkflowUpdateFailedError) -> OrchestratorError:
    cause = failure.cause.cause if isinstance(failure.cause, ActivityError) else failure.cause
    if isinstance(cause, ApplicationError) and cause.type == LimitExceeded.code:
        return LimitExceeded(cause.message, retry_after=5.0, **cause.details[0])
    if isinstance(cause, ApplicationError) and cause.type == SESSION_BUSY:
        return LimitExceeded(
            "The session has too many messages waiting. Retry after 5 seconds.", limit="session", retry_after=5.0
        )
    return Unavailable(f"The message was not answered: {cause}", retry_after=5.0)
