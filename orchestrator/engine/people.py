"""Sends what people say to the workflow of a job: answers to its questions, and signals that its class declares."""

import hashlib
import json
from datetime import timedelta
from typing import Any, Final

from temporalio.api.common.v1 import Header, Payload, Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from orchestrator.domain import names
from orchestrator.domain.errors import Conflict, InvalidInput, OrchestratorError, Unavailable, WrongState
from orchestrator.domain.questions import AnswerInput, PersonAnswer
from orchestrator.engine.connect import rpc_errors
from orchestrator.engine.time_limits import within

# Seconds in which a worker must take an answer. Until then it is not durable.
ACCEPT_SECONDS: Final = 10.0
_RPC_TIMEOUT: Final = timedelta(seconds=5)


class PeopleGateway:
    """One per process and client. Raises domain errors, never Temporal's own."""

    def __init__(self, client: Client, *, accept_seconds: float = ACCEPT_SECONDS) -> None:
        self._client = client
        self._accept_seconds = accept_seconds

    async def answer(self, job_id: str, answer: AnswerInput) -> PersonAnswer:
        """Send an answer, and return the one that the workflow accepted. The same answer again has the same result.

        Raises `InvalidInput` for values that the workflow refuses, `Conflict` if another answer came first,
        `WrongState` if the question is not open in the workflow, `NotFound`, and `Unavailable` if no worker takes it
        soon: then nothing has happened.
        """
        handle = self._client.get_workflow_handle(job_id)
        with rpc_errors(f"job: {job_id}", job_id=job_id):
            try:
                accepted: PersonAnswer | None = await within(
                    self._accept_seconds,
                    handle.execute_update(
                        names.UPDATE_ANSWER,
                        answer,
                        id=_update_id(answer),
                        result_type=PersonAnswer,
                        rpc_timeout=timedelta(seconds=self._accept_seconds + 5),
                    ),
                )
            except WorkflowUpdateFailedError as failure:
                raise _refusal(failure, job_id) from failure
        if accepted is None:
            raise Unavailable(
                f"No worker took the answer within {self._accept_seconds:g} seconds. Send it again", job_id=job_id
            )
        return accepted

    async def signal(self, job_id: str, name: str, values: list[Any], *, actor: str, request_id: str) -> None:
        """Send a signal of an author's workflow; its header names the sender. Durable once this returns.

        Raises `NotFound`, also for a workflow that has ended, and `Unavailable`.
        """
        payloads = await self._client.data_converter.encode(values)
        sender = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(actor).encode())
        request = SignalWorkflowExecutionRequest(
            namespace=self._client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=job_id),
            signal_name=name,
            input=Payloads(payloads=payloads),
            identity=self._client.identity,
            request_id=request_id,
            header=Header(fields={names.HEADER_ACTOR: sender}),
        )
        with rpc_errors(f"job: {job_id}", job_id=job_id):
            await self._client.workflow_service.signal_workflow_execution(request, timeout=_RPC_TIMEOUT)


def _update_id(answer: AnswerInput) -> str:
    """The same for the same answer. With the question's id alone, Temporal would not look at a second answer."""
    digest = hashlib.sha256(answer.model_dump_json().encode()).hexdigest()
    return f"{answer.step[:200]}:{digest[:32]}"


def _refusal(failure: WorkflowUpdateFailedError, job_id: str) -> OrchestratorError:
    cause = failure.cause
    if not isinstance(cause, ApplicationError):
        return Unavailable(f"The answer was not taken: {cause}", job_id=job_id)
    details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
    match cause.type:
        case "invalid_answer":
            return InvalidInput(cause.message, **details)
        case "already_answered":
            return Conflict(f"Job {job_id}: {cause.message}", job_id=job_id)
        case _:  # `not_asked`; or a run that has just begun, and does not handle answers yet
            return WrongState(f"Job {job_id}: {cause.message}", job_id=job_id)
