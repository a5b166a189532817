"""What Temporal may answer to the reader of histories, and what the reader makes of it."""

from types import SimpleNamespace

import pytest
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseResponse
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from orchestrator.domain.errors import InvalidInput, NotFound, Unavailable
from orchestrator.engine.connect import rpc_errors
from orchestrator.engine.history_source import TemporalHistories

EXPECTED = {RPCStatusCode.NOT_FOUND: NotFound, RPCStatusCode.INVALID_ARGUMENT: InvalidInput}


@pytest.mark.parametrize("status", list(RPCStatusCode))
def test_every_status_is_a_domain_error_that_a_caller_may_meet(status: RPCStatusCode) -> None:
    with pytest.raises(EXPECTED.get(status, Unavailable)), rpc_errors("job: j"):
        raise RPCError("the server's words", status, b"")


def test_a_deadline_of_the_sdk_s_own_is_an_outage() -> None:
    with pytest.raises(Unavailable), rpc_errors("session"):
        raise WorkflowUpdateRPCTimeoutOrCancelledError


def histories(**methods: object) -> TemporalHistories:
    client = SimpleNamespace(namespace="default", workflow_service=SimpleNamespace(**methods))
    return TemporalHistories(client)  # type: ignore[arg-type]


def reversed_pages(*pages: tuple[list[int], bytes]) -> TemporalHistories:
    left = list(pages)
    tokens: list[bytes] = []

    async def answer(request, **_: object) -> GetWorkflowExecutionHistoryReverseResponse:
        tokens.append(request.next_page_token)
        numbers, token = left.pop(0)
        assert tokens[-1] == (b"" if len(tokens) == 1 else pages[len(tokens) - 2][1])
        events = [HistoryEvent(event_id=number) for number in numbers]
        return GetWorkflowExecutionHistoryReverseResponse(history=History(events=events), next_page_token=token)

    return histories(get_workflow_execution_history_reverse=answer)


async def test_the_newest_event_lies_behind_an_empty_page() -> None:
    assert (await reversed_pages(([], b"1"), ([], b"2"), ([9], b"3")).newest("j", "r")).event_id == 9


async def test_a_history_that_shows_no_event_is_an_outage() -> None:
    with pytest.raises(Unavailable):
        await reversed_pages(([], b"")).newest("j", "r")


async def test_a_refused_page_token_is_an_outage() -> None:
    async def refuse(request, **_: object) -> None:
        raise RPCError("Invalid NextPageToken.", RPCStatusCode.INVALID_ARGUMENT, b"")

    with pytest.raises(Unavailable):
        await histories(get_workflow_execution_history=refuse).page("j", "r", b"old", wait=True)
