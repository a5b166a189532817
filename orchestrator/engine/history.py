"""Reads jobs' histories: one long-poll per job and process, shared by every reader (A6)."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import timedelta

import structlog
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import HistoryEventFilterType
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
)
from temporalio.client import Client

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.facts import RUN_ENDS, Fact, RunContinued
from orchestrator.engine.connect import rpc_errors
from orchestrator.projection.facts import fact_of

log = structlog.get_logger(__name__)

_LONG_POLL = timedelta(seconds=30)
_READ = timedelta(seconds=5)
_PAUSE = 1.0  # Seconds between two tries while Temporal is away.


class JobHistory:
    """The facts of one job so far, over all its runs, in order; grows by `advance`."""

    def __init__(self, client: Client, job_id: str) -> None:
        self._client = client
        self._job_id = job_id
        self._token = b""
        self._request: asyncio.Task[None] | None = None
        self._run_start = 0
        self._runs: set[str] = set()
        self.run_id = ""
        self.facts: list[Fact] = []
        self.ended = False
        self.closed_run = ""

    @property
    def run_length(self) -> int:
        """How many events of the current run are known."""
        return len(self.facts) - self._run_start

    async def advance(self, run_id: str = "") -> None:
        """Wait until there is news or the long-poll's round is over. All callers share one request.

        `run_id` is the job's current run where the caller knows it, which spares asking for it.
        Raises `NotFound`, `Unavailable`.
        """
        if self._request is None or self._request.done():
            self._request = asyncio.create_task(self._poll(run_id))
            # Its callers may all have gone when it fails; the next one asks again.
            self._request.add_done_callback(lambda request: request.cancelled() or request.exception())
        await asyncio.shield(self._request)

    def knows(self, run_id: str) -> bool:
        """Whether that run is one of this history's."""
        return run_id in self._runs

    async def catch_up(self, length: int) -> None:
        """Read on until `length` events of the current run are known, or the job has ended."""
        while self.run_length < length and not self.ended:
            await self.advance()

    async def follow(self) -> AsyncIterator[Fact]:
        """Every fact from the first, then each new one as it happens; ends with the job.

        Goes on by itself when Temporal was away for a while. Raises `NotFound`.
        """
        at = 0
        while True:
            while at < len(self.facts):
                yield self.facts[at]
                at += 1
            if self.ended:
                return
            try:
                await self.advance()
            except Unavailable as fault:
                log.warning("history_not_read", job_id=self._job_id, error=fault.message)
                await asyncio.sleep(_PAUSE)

    async def end(self, run_id: str = "") -> None:
        """Wait until the job has ended, with one answer from the server instead of one for every piece of news.

        Where the caller knows the job's run, `closed_run` is the last one afterwards. Goes on by itself when Temporal
        was away for a while. Raises `NotFound`.
        """
        run_id, token = self.run_id or run_id, b""
        while not self.ended:
            try:
                answer = await self._fetch(run_id, token, wait=True, end_only=True)
            except Unavailable as fault:
                log.warning("history_not_read", job_id=self._job_id, error=fault.message)
                await asyncio.sleep(_PAUSE)
                continue
            token = answer.next_page_token
            if not answer.history.events:
                continue
            last = fact_of(answer.history.events[-1], run_id)
            if not isinstance(last, RunContinued):
                self.closed_run = run_id
                return
            run_id, token = last.new_run_id, b""

    async def complete(self) -> None:
        """Read on to the last fact of a job that `end` saw end."""
        while not self.ended:
            await self.advance(self.closed_run)

    async def _poll(self, run_id: str) -> None:
        first = not self.run_id
        run_id = self.run_id or run_id or await self._current_run()
        answer = await self._fetch(run_id, self._token, wait=True)
        if first:
            self.facts = await self._earlier(_continued_from(answer))
            self.run_id, self._run_start = run_id, len(self.facts)
        self._runs.add(run_id)
        for event in answer.history.events:
            # A pending workflow task is shown under numbers that other events may get in the end.
            del self.facts[self._run_start + event.event_id - 1 :]
            self.facts.append(fact_of(event, self.run_id))
        self._token = answer.next_page_token
        last = self.facts[-1] if self.facts else None
        if isinstance(last, RunContinued):
            self.run_id, self._token, self._run_start = last.new_run_id, b"", len(self.facts)
        elif isinstance(last, RUN_ENDS):
            self.ended = True

    async def _current_run(self) -> str:
        with rpc_errors(f"job: {self._job_id}", job_id=self._job_id):
            described = await self._client.get_workflow_handle(self._job_id).describe(rpc_timeout=_READ)
        return described.run_id

    async def _earlier(self, run_id: str) -> list[Fact]:
        """The facts of the runs that the current one continues, oldest first."""
        runs: list[list[Fact]] = []
        while run_id:
            facts: list[Fact] = []
            token, begun = b"", run_id
            while token or not facts:
                answer = await self._fetch(begun, token, wait=False)
                run_id = run_id if facts else _continued_from(answer)
                facts += [fact_of(event, begun) for event in answer.history.events]
                token = answer.next_page_token
            self._runs.add(begun)
            runs.insert(0, facts)
        return [fact for facts in runs for fact in facts]

    async def _fetch(
        self, run_id: str, token: bytes, *, wait: bool, end_only: bool = False
    ) -> GetWorkflowExecutionHistoryResponse:
        wanted = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT
        if end_only:
            wanted = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
        request = GetWorkflowExecutionHistoryRequest(
            namespace=self._client.namespace,
            execution=WorkflowExecution(workflow_id=self._job_id, run_id=run_id),
            maximum_page_size=250,
            next_page_token=token,
            wait_new_event=wait,
            history_event_filter_type=wanted,
        )
        with rpc_errors(f"job: {self._job_id}", job_id=self._job_id):
            return await self._client.workflow_service.get_workflow_execution_history(
                request, retry=True, timeout=_LONG_POLL if wait else _READ
            )


def _continued_from(answer: GetWorkflowExecutionHistoryResponse) -> str:
    return answer.history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id


class HistoryReader:
    """The histories that this process has read lately."""

    def __init__(self, client: Client, *, most: int = 128) -> None:
        self._client = client
        self._most = most
        self._histories: OrderedDict[str, JobHistory] = OrderedDict()

    def of(self, job_id: str) -> JobHistory:
        """The history of one job, shared by all its readers in this process."""
        history = self._histories.get(job_id)
        if history is None:
            history = self._histories[job_id] = JobHistory(self._client, job_id)
            while len(self._histories) > self._most:
                self._histories.popitem(last=False)
        self._histories.move_to_end(job_id)
        return history

    def forget(self, job_id: str) -> None:
        """Drop what is known of a job: it ended, or its runs changed under us."""
        self._histories.pop(job_id, None)
