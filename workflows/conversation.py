"""A conversation as an entity workflow (A11): each turn is an update that runs one job."""

import asyncio
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import (
    ApplicationError,
    ChildWorkflowError,
    FailureError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.exceptions import TimeoutError as RanOutOfTime

from workflows.lifecycle import job_error_of
from workflows.starts import priority_of, search_attributes_of

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain import names
    from orchestrator.domain.commands import Control, JobInput, JobResult, Recorded
    from orchestrator.domain.conversations import (
        MAX_WAITING,
        SESSION_BUSY,
        ConversationEnd,
        ConversationInput,
        ConversationQuery,
        ConversationRecord,
        JobEnded,
        JobQuery,
        Memory,
        SessionEnd,
        TurnAcceptance,
        TurnRequest,
        TurnResult,
    )
    from orchestrator.domain.jobs import JobError, JobState
    from orchestrator.domain.text import headline, inert

_MAX_TURNS: Final = 500  # Of one run; Temporal takes 2000 updates.
_INDEX_RETRY: Final = RetryPolicy(maximum_interval=timedelta(seconds=10))


@workflow.defn(name=names.WORKFLOW_CONVERSATION)
class ConversationWorkflow:
    """Answers turns in order, remembers them, and ends after an idle time. It is not a job."""

    @workflow.init
    def __init__(self, conversation: ConversationInput) -> None:
        self._conversation = conversation
        self._memory = conversation.memory
        self._turns = conversation.turns
        self._order = asyncio.Lock()
        self._waiting = 0
        self._changes = 0

    @workflow.run
    async def run(self, conversation: ConversationInput) -> ConversationEnd:
        """Handle turns until none arrives for `idle` seconds. The session's next turn starts the workflow again."""
        try:
            while not await self._has_ended():
                if self._draining():
                    await workflow.wait_condition(workflow.all_handlers_finished)
                    carried = {"memory": self._memory, "turns": self._turns}
                    workflow.continue_as_new(conversation.model_copy(update=carried))
        except asyncio.CancelledError:
            await workflow.wait_condition(workflow.all_handlers_finished)  # finish the turns that have begun
            raise
        return ConversationEnd(turns=self._turns)

    @workflow.update(name=names.UPDATE_TURN)
    async def turn(self, request: TurnRequest) -> TurnResult:
        """Answer one message after all earlier ones. A failed job is an answer, too."""
        self._changes += 1
        self._waiting += 1
        try:
            async with self._order:
                return await self._answer(request)
        finally:
            self._waiting -= 1
            self._changes += 1

    @turn.validator
    def _check_room(self, request: TurnRequest) -> None:
        if self._waiting >= MAX_WAITING:
            raise ApplicationError("the session has too many messages waiting", type=SESSION_BUSY)

    @workflow.update(name=names.UPDATE_RESET)
    async def reset(self, control: Control) -> Recorded:
        """Forget all turns."""
        self._changes += 1
        async with self._order:
            self._memory = Memory()
            await self._store()
        return Recorded()

    def _draining(self) -> bool:
        many = self._turns - self._conversation.turns >= _MAX_TURNS
        return self._changes > 0 and (many or workflow.info().is_continue_as_new_suggested())

    async def _has_ended(self) -> bool:
        """Wait for the start or end of a turn, or for `idle` seconds; returns whether the session has ended."""
        changes = self._changes
        try:
            await workflow.wait_condition(
                lambda: self._changes != changes or self._draining(),
                timeout=self._conversation.idle,
                timeout_summary="session idles",
            )
        except TimeoutError:
            if workflow.all_handlers_finished():
                await self._end_session()
        else:
            return False
        return self._changes == changes and workflow.all_handlers_finished()

    async def _answer(self, request: TurnRequest) -> TurnResult:
        memory = await self._load_memory()
        job = request.job
        if request.use_memory and memory.turns:
            job = job.model_copy(update={"input": {**job.input, "history": memory.texts()}})
        end = await self._run_job(job, request)
        self._turns += 1
        if end.state.succeeded:
            message = str(job.input.get("message", ""))
            self._memory = memory.with_turn(job.job_id, workflow.now(), message, end.output)
            await self._store()
        return TurnResult(job_id=end.job_id, state=end.state, error=end.error)

    async def _run_job(self, job: JobInput, request: TurnRequest) -> JobEnded:
        """Run the turn's job as a child. Its row is written first, so that lists and limits include it."""
        recorded: Recorded = await workflow.execute_local_activity(
            names.ACTIVITY_ACCEPT_TURN,
            TurnAcceptance(job=job, request_hash=request.request_hash, most_open=request.most_open),
            result_type=Recorded,
            start_to_close_timeout=timedelta(seconds=5),
            schedule_to_close_timeout=timedelta(minutes=10),
            retry_policy=_INDEX_RETRY,
        )
        if not recorded.ok:  # a repeated request, perhaps after Temporal deleted the job
            return await self._wait_for_job(job)
        timeout = timedelta(seconds=request.job_timeout) if request.job_timeout else None
        try:
            result: JobResult = await workflow.execute_child_workflow(
                job.definition,
                job,
                id=job.job_id,
                result_type=JobResult,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                # The job belongs to its owner: it continues when an operator ends the conversation.
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                execution_timeout=timeout,
                static_summary=headline(inert(job.name)),
                priority=priority_of(job),
                search_attributes=search_attributes_of(job),
            )
        except WorkflowAlreadyStartedError:
            # A repeated request of an earlier run, or the reconciler started the job.
            return await self._wait_for_job(job)
        except ChildWorkflowError as failure:
            return _failed_end(job, failure)
        return JobEnded(job_id=job.job_id, state=JobState.COMPLETED, output=result.output)

    async def _wait_for_job(self, job: JobInput) -> JobEnded:
        end: JobEnded = await workflow.execute_activity(
            names.ACTIVITY_AWAIT_JOB,
            JobQuery(job_id=job.job_id, owner=job.owner),
            result_type=JobEnded,
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=timedelta(hours=24),
            retry_policy=_INDEX_RETRY,
        )
        return end

    async def _load_memory(self) -> Memory:
        """The memory of the session: that of this run, else the one that the last run stored."""
        if self._memory is None:
            self._memory = await workflow.execute_local_activity(
                names.ACTIVITY_RECALL,
                ConversationQuery(conversation_id=self._conversation.conversation_id),
                result_type=Memory,
                start_to_close_timeout=timedelta(seconds=5),
                schedule_to_close_timeout=timedelta(minutes=10),
                retry_policy=_INDEX_RETRY,
            )
        return self._memory

    async def _store(self) -> None:
        """Store the memory for readers and the next run. No turn waits for the index: the next turn stores again."""
        record = ConversationRecord(conversation_id=self._conversation.conversation_id, memory=self._memory or Memory())
        try:
            await workflow.execute_local_activity(
                names.ACTIVITY_REMEMBER,
                record,
                result_type=Recorded,
                start_to_close_timeout=timedelta(seconds=2),
                schedule_to_close_timeout=timedelta(seconds=4),
                retry_policy=RetryPolicy(maximum_attempts=2),
            )
        except FailureError as failure:  # a local activity raises `ActivityError` only after a timeout
            workflow.logger.warning("memory_not_stored", extra={"error": str(failure.cause or failure)})

    async def _end_session(self) -> None:
        info = workflow.info()
        end = SessionEnd(
            conversation_id=self._conversation.conversation_id,
            run_id=info.run_id,
            owner=self._conversation.owner,
            session_id=self._conversation.session_id,
            turns=self._turns,
            memory=await self._load_memory(),
            at=workflow.now(),
        )
        await workflow.execute_activity(
            names.ACTIVITY_END_SESSION,
            end,
            result_type=Recorded,
            start_to_close_timeout=timedelta(seconds=10),
            schedule_to_close_timeout=timedelta(hours=24),
            retry_policy=_INDEX_RETRY,
        )


def _failed_end(job: JobInput, failure: ChildWorkflowError) -> JobEnded:
    cause = failure.cause
    if is_cancelled_exception(failure):
        error = JobError(type="cancelled", message="Cancelled on request.")
        return JobEnded(job_id=job.job_id, state=JobState.CANCELLED, error=error)
    if isinstance(cause, RanOutOfTime):
        return JobEnded(
            job_id=job.job_id,
            state=JobState.TIMEOUT,
            error=JobError(type="timeout", message="The job ran out of time."),
        )
    error = job_error_of(cause) if isinstance(cause, ApplicationError) else JobError(type="error", message=str(cause))
    return JobEnded(job_id=job.job_id, state=JobState.FAILED, error=error)
