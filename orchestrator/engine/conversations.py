"""Sends updates to the workflow of a conversation, and starts that workflow if none runs."""

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
from orchestrator.engine.time_limits import within

Answer = TypeVar("Answer", bound=BaseModel)

# Seconds in which a worker must accept an update. Until then it is not durable.
ACCEPT_SECONDS: Final = 10.0
_TRIES: Final = 3


class ConversationGateway:
    """One per process and client. Raises domain errors, never Temporal's own."""

    def __init__(self, client: Client, task_queue: str, *, accept_seconds: float = ACCEPT_SECONDS) -> None:
        self._client = client
        self._task_queue = task_queue
        self._accept_seconds = accept_seconds

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
        """Send an update to a conversation and return its answer. Repeating an `update_id` returns the same answer.

        Raises `Unavailable` if no worker accepts the update soon: then it may be lost. Raises `DeadlineExceeded` if it
        is accepted, but has no answer within `seconds`: it continues. Raises `LimitExceeded` if too many updates wait,
        or the owner has too many open jobs.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        with rpc_errors(f"session: {conversation.session_id[:80]}"):
            handle = await self._accepted_handle(partial(self._send, conversation, update, message, answer, update_id))
            remaining = deadline - asyncio.get_running_loop().time()
            try:
                result = await within(max(0.0, remaining), handle.result())
            except WorkflowUpdateFailedError as failure:
                raise _domain_error(failure) from failure
        if result is None:
            raise DeadlineExceeded(f"No answer within {seconds:g} seconds; the work continues")
        return result

    async def _accepted_handle(
        self, send: Callable[[], Coroutine[Any, Any, "WorkflowUpdateHandle[Answer]"]]
    ) -> "WorkflowUpdateHandle[Answer]":
        for _ in range(_TRIES):
            try:
                with rpc_errors("session"):
                    handle = await within(self._accept_seconds, send())
            except NotFound:
                continue  # The run ended just then.
            if handle is None:
                message = f"No worker accepted the message within {self._accept_seconds:g} seconds"
                raise Unavailable(f"{message}. Send it again with the same X-Request-ID", retry_after=2.0)
            return handle
        raise Unavailable("The session is ending. Send the message again with the same X-Request-ID")

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
            rpc_timeout=timedelta(seconds=self._accept_seconds + 5),
        )


def _domain_error(failure: WorkflowUpdateFailedError) -> OrchestratorError:
    cause = failure.cause.cause if isinstance(failure.cause, ActivityError) else failure.cause
    if isinstance(cause, ApplicationError) and cause.type == LimitExceeded.code:
        return LimitExceeded(cause.message, retry_after=5.0, **cause.details[0])
    if isinstance(cause, ApplicationError) and cause.type == SESSION_BUSY:
        return LimitExceeded(
            "Too many messages of this session are waiting. Retry after 5 seconds.", limit="session", retry_after=5.0
        )
    return Unavailable(f"The message was not answered: {cause}", retry_after=5.0)
