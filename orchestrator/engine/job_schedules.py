"""Schedules of jobs in Temporal, which is where they live: create, read, change, trigger, backfill, delete."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleBackfill,
    ScheduleCalendarSpec,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import InvalidInput, Unavailable, WrongState
from orchestrator.domain.schedules import (
    NEXT_RUNS,
    Calendar,
    Interval,
    Overlap,
    Range,
    ScheduleCourse,
    ScheduledRun,
    SchedulePlan,
    ScheduleTimes,
    run_id_prefix,
)
from orchestrator.domain.text import headline, inert
from orchestrator.engine.connect import rpc_errors
from orchestrator.engine.guarded_service import circuit_of
from workflows.starts import priority_of

_RPC_TIMEOUT: Final = timedelta(seconds=5)
_CRON: Final = "cron "
"""Temporal stores a cron expression as a calendar. This begins the calendar's comment, which keeps the expression."""
_TRIGGER_SECONDS: Final = 5.0
_TRIGGER_PAUSE: Final = 0.05
_INSTANT: Final = timedelta(microseconds=1)  # Temporal leaves out a run at the very start of a period.
_UTC_NAMES: Final = ("", "UTC")

Change = Callable[[SchedulePlan], SchedulePlan]


class JobSchedules:
    """Raises `NotFound`, `Unavailable`, and `WrongState` for a schedule that an operator changed beyond recognition.

    `prepare` raises `Misconfigured` for a namespace of another installation. Runs end after `job_timeout`.
    """

    def __init__(
        self,
        client: Client,
        task_queue: str,
        *,
        prepare: Callable[[], Awaitable[object]],
        job_timeout: timedelta | None,
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._prepare = prepare
        self._job_timeout = job_timeout

    async def check_available(self) -> None:
        """Raise `Unavailable` while Temporal is away, before anything is written."""
        await self._prepare()
        if circuit_of(self._client).away:
            raise Unavailable("Temporal does not answer; nothing was created")

    async def create(self, schedule_id: str, plan: SchedulePlan) -> None:
        """Create a schedule, unless it exists. Raises `InvalidInput` for times that Temporal refuses."""
        await self._prepare()
        with _faults(schedule_id):
            try:
                await self._client.create_schedule(
                    schedule_id, self._schedule(schedule_id, plan), rpc_timeout=_RPC_TIMEOUT
                )
            except ScheduleAlreadyRunningError:  # by an earlier request with the same idempotency key
                return

    async def read(self, schedule_id: str) -> tuple[SchedulePlan, ScheduleCourse]:
        """A schedule, and what has happened to it."""
        await self._prepare()
        description = await self._describe(schedule_id)
        return await self._plan_of(description), _course_of(description)

    async def change(self, schedule_id: str, change: Change) -> None:
        """Change a schedule. Raises `InvalidInput` for times that Temporal refuses."""

        async def replacement(current: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(
                schedule=self._schedule(schedule_id, change(await self._plan_of(current.description)))
            )

        await self._prepare()
        with _faults(schedule_id):
            await self._handle(schedule_id).update(replacement, rpc_timeout=_RPC_TIMEOUT)

    async def pause(self, schedule_id: str, note: str) -> None:
        """Pause a schedule."""
        await self._prepare()
        with _faults(schedule_id):
            await self._handle(schedule_id).pause(note=note, rpc_timeout=_RPC_TIMEOUT)

    async def unpause(self, schedule_id: str, note: str) -> None:
        """Unpause a schedule."""
        await self._prepare()
        with _faults(schedule_id):
            await self._handle(schedule_id).unpause(note=note, rpc_timeout=_RPC_TIMEOUT)

    async def trigger(self, schedule_id: str, overlap: Overlap | None) -> str | None:
        """Start a run now. Returns its job id, or None if the overlap policy holds it back."""
        await self._prepare()
        before = _course_of(await self._describe(schedule_id))
        if any(_same_second(run.scheduled_at, datetime.now(UTC)) for run in before.recent_runs):
            # The job id of a run has the second of its time: two runs of one second would have one id.
            await asyncio.sleep(1.0)
        policy = None if overlap is None else ScheduleOverlapPolicy[overlap.name]
        with _faults(schedule_id):
            await self._handle(schedule_id).trigger(overlap=policy, rpc_timeout=_RPC_TIMEOUT)
        deadline = asyncio.get_running_loop().time() + _TRIGGER_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            course = _course_of(await self._describe(schedule_id))
            earlier = {run.job_id for run in before.recent_runs}
            for run in course.recent_runs:
                if run.job_id not in earlier:
                    return run.job_id
            if course.skipped > before.skipped:
                return None
            await asyncio.sleep(_TRIGGER_PAUSE)
        return None

    async def times(self, schedule_id: str, start: datetime, end: datetime) -> int:
        """How many runs a backfill of a period would start."""
        request = ListScheduleMatchingTimesRequest(namespace=self._client.namespace, schedule_id=schedule_id)
        request.start_time.FromDatetime(start - _INSTANT)
        request.end_time.FromDatetime(end)
        await self._prepare()
        with _faults(schedule_id):
            answer = await self._client.workflow_service.list_schedule_matching_times(request, timeout=_RPC_TIMEOUT)
        return len(answer.start_time)

    async def backfill(self, schedule_id: str, start: datetime, end: datetime, overlap: Overlap) -> None:
        """Start the runs of a period as if it passed now."""
        period = ScheduleBackfill(start_at=start - _INSTANT, end_at=end, overlap=ScheduleOverlapPolicy[overlap.name])
        await self._prepare()
        with _faults(schedule_id):
            await self._handle(schedule_id).backfill(period, rpc_timeout=_RPC_TIMEOUT)

    async def delete(self, schedule_id: str) -> None:
        """Delete a schedule. Its running jobs continue."""
        await self._prepare()
        with _faults(schedule_id):
            await self._handle(schedule_id).delete(rpc_timeout=_RPC_TIMEOUT)

    def _handle(self, schedule_id: str) -> ScheduleHandle:
        return self._client.get_schedule_handle(schedule_id)

    async def _describe(self, schedule_id: str) -> ScheduleDescription:
        with _faults(schedule_id):
            return await self._handle(schedule_id).describe(rpc_timeout=_RPC_TIMEOUT)

    def _schedule(self, schedule_id: str, plan: SchedulePlan) -> Schedule:
        job = plan.job
        return Schedule(
            action=ScheduleActionStartWorkflow(
                job.definition,
                job,
                id=run_id_prefix(job.kind, schedule_id),
                task_queue=self._task_queue,
                execution_timeout=self._job_timeout,
                static_summary=headline(inert(job.name)),
                priority=priority_of(job),
            ),
            spec=_spec(plan.times),
            policy=SchedulePolicy(
                overlap=ScheduleOverlapPolicy[plan.overlap.name],
                catchup_window=plan.catchup_window,
                pause_on_failure=plan.pause_on_failure,
            ),
            state=ScheduleState(
                note=plan.note or None,
                paused=plan.paused,
                limited_actions=plan.remaining_runs is not None,
                remaining_actions=plan.remaining_runs or 0,
            ),
        )

    async def _plan_of(self, description: ScheduleDescription) -> SchedulePlan:
        schedule = description.schedule
        policy, state = schedule.policy, schedule.state
        return SchedulePlan(
            job=await self._job_of(description),
            times=_times_of(schedule.spec),
            overlap=Overlap[policy.overlap.name],
            catchup_window=policy.catchup_window or timedelta(),
            pause_on_failure=policy.pause_on_failure,
            paused=state.paused,
            note=state.note or "",
            remaining_runs=state.remaining_actions if state.limited_actions else None,
        )

    async def _job_of(self, description: ScheduleDescription) -> JobInput:
        action = description.schedule.action
        try:
            if isinstance(action, ScheduleActionStartWorkflow):
                [job] = await self._client.data_converter.decode(list(action.args), [JobInput])
                if isinstance(job, JobInput):
                    return job
        except (RuntimeError, ValueError):  # the input is no longer that of a job
            pass
        message = f"Schedule {description.id} was changed in Temporal: it does not start a job of the API any more"
        raise WrongState(message, schedule_id=description.id)


@contextmanager
def _faults(schedule_id: str) -> Iterator[None]:
    try:
        with rpc_errors(f"schedule: {schedule_id}", schedule_id=schedule_id):
            yield
    except InvalidInput as error:
        fault = error.message.partition("Invalid schedule spec: ")[2]
        if not fault:
            raise
        if "time zone" in fault or "timezone" in fault.lower():
            expected = "a name of the IANA database, such as Europe/Paris"
            raise InvalidInput(f"invalid spec: {fault}", field="spec.time_zone", expected=expected) from error
        raise InvalidInput(f"invalid spec: {fault}", field="spec", expected="times that Temporal accepts") from error


def _same_second(one: datetime, other: datetime) -> bool:
    return one.replace(microsecond=0) == other.replace(microsecond=0)


def _spec(times: ScheduleTimes) -> ScheduleSpec:
    return ScheduleSpec(
        cron_expressions=[f"{line} #{_CRON}{line}" for line in times.cron],
        intervals=[ScheduleIntervalSpec(every=each.every, offset=each.offset) for each in times.intervals],
        calendars=[_calendar_spec(calendar) for calendar in times.calendars],
        skip=[_calendar_spec(calendar) for calendar in times.skip],
        start_at=times.start_at,
        end_at=times.end_at,
        jitter=times.jitter or None,
        time_zone_name=times.time_zone,
    )


def _times_of(spec: ScheduleSpec) -> ScheduleTimes:
    lines = [calendar.comment or "" for calendar in spec.calendars]
    return ScheduleTimes(
        cron=tuple(line.removeprefix(_CRON) for line in lines if line.startswith(_CRON)),
        intervals=tuple(Interval(each.every, each.offset or timedelta()) for each in spec.intervals),
        calendars=tuple(
            _calendar_of(calendar)
            for calendar, line in zip(spec.calendars, lines, strict=True)
            if not line.startswith(_CRON)
        ),
        skip=tuple(map(_calendar_of, spec.skip)),
        time_zone="UTC" if spec.time_zone_name in (None, *_UTC_NAMES) else str(spec.time_zone_name),
        start_at=spec.start_at,
        end_at=spec.end_at,
        jitter=spec.jitter or timedelta(),
    )


_FIELDS: Final = tuple(Calendar.__dataclass_fields__)


def _calendar_spec(calendar: Calendar) -> ScheduleCalendarSpec:
    spec = ScheduleCalendarSpec()
    for field in _FIELDS:
        setattr(spec, field, [ScheduleRange(each.start, each.end, each.step) for each in getattr(calendar, field)])
    return spec


def _calendar_of(spec: ScheduleCalendarSpec) -> Calendar:
    return Calendar(
        **{
            field: tuple(Range(each.start, max(each.start, each.end), each.step or 1) for each in getattr(spec, field))
            for field in _FIELDS
        }
    )


def _course_of(description: ScheduleDescription) -> ScheduleCourse:
    info = description.info
    recent = tuple(
        ScheduledRun(result.action.workflow_id, result.scheduled_at, result.started_at)
        for result in info.recent_actions
        if isinstance(result.action, ScheduleActionExecutionStartWorkflow)
    )
    running = tuple(
        action.workflow_id
        for action in info.running_actions
        if isinstance(action, ScheduleActionExecutionStartWorkflow)
    )
    return ScheduleCourse(
        next_runs=tuple(info.next_action_times[:NEXT_RUNS]),
        recent_runs=recent,
        running=running,
        runs=info.num_actions,
        skipped=info.num_actions_skipped_overlap,
        missed=info.num_actions_missed_catchup_window,
    )
