"""Numbers the calls of one step and agent within a job, over all of its runs."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.worker import (
    ContinueAsNewInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from workflows import turns

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.call_ids import CallId
    from orchestrator.domain.names import HEADER_CALLS, HEADER_TURNS, PATCH_NUMBERED_CALLS


def next_number(first: CallId) -> int:
    """The number of the next call of this step, key and agent, from 1, in the order of the workflow's code.

    `first` is the identity of the first call.
    """
    counts = _counts()
    pair = str(first)
    number = counts.get(pair, 0) + 1
    if number > 1 and not first.key and not workflow.patched(PATCH_NUMBERED_CALLS):
        return 1  # A history of an earlier release, in which all calls of a pair have the same id.
    counts[pair] = number
    return number


class CallNumbers(Interceptor):
    """Passes the counts to the run that continues a job, so that later calls do not reuse the id of an earlier one."""

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        """The class that wraps each execution."""
        return _Inbound


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))


class _Outbound(WorkflowOutboundInterceptor):
    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:
        if counts := _counts():
            header = workflow.payload_converter().to_payload(dict(counts))
            input = replace(input, headers={**input.headers, HEADER_CALLS: header})
        if states := turns.header():
            header = workflow.payload_converter().to_payload(states)
            input = replace(input, headers={**input.headers, HEADER_TURNS: header})
        super().continue_as_new(input)


def _counts() -> dict[str, int]:
    """Calls so far by pair. Kept at the run's event loop, because the sandbox has its own copy of this module."""
    run = vars(asyncio.get_running_loop())
    if HEADER_CALLS not in run:
        run[HEADER_CALLS] = _carried(workflow.info().headers)
    counts: dict[str, int] = run[HEADER_CALLS]
    return counts


def _carried(headers: Mapping[str, Payload]) -> dict[str, int]:
    payload = headers.get(HEADER_CALLS)
    return {} if payload is None else workflow.payload_converter().from_payload(payload, dict[str, int])
