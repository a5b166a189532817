"""Executions of users' agents: started as jobs, listed, looked at, cancelled, summed up (O-020 to O-024, O-042)."""

import asyncio
import builtins
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from pydantic import ValidationError

from orchestrator.domain.access import Principal
from orchestrator.domain.commands import JobConfig
from orchestrator.domain.errors import InvalidInput, NotFound, Unavailable, WrongState
from orchestrator.domain.frameworks import NATIVE
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import Job, JobState
from orchestrator.domain.labels import JobLabel
from orchestrator.domain.user_agents import (
    EXECUTING,
    UNAVAILABLE_AGENT,
    USER_AGENT,
    Configuration,
    Dashboard,
    UserAgent,
)
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.services.jobs.controls import Controlled, JobController
from orchestrator.services.jobs.reader import JobReader
from orchestrator.services.jobs.start import JobStarter, Started, StartRequest
from orchestrator.services.user_agents.agents import unknown_agent
from orchestrator.services.user_agents.configurations import CONFIGURATION_ID, Configurations
from orchestrator.storage.executions import ExecutionRepository
from orchestrator.storage.user_agents import UserAgentRepository

log = structlog.get_logger(__name__)

NOBODY: Final = "none"
FALLBACK: Final = "fallback"
_MODEL_SETTINGS: Final = {"model": "model", "temperature": "temperature", "maxTokens": "max_tokens"}
_SHOWN_NAME: Final = 60  # characters: Temporal's summaries hold 400 bytes
_NOT_TOLD: Final = frozenset({*_MODEL_SETTINGS, FALLBACK, CONFIGURATION_ID})


@dataclass(frozen=True, slots=True)
class Performer:
    """Who performs an execution: an agent of the catalogue, and what the output's `executed_by` says of it."""

    target: str
    executed_by: str


def plan_for(framework: str, configuration: dict[str, Any], workers: Collection[str]) -> Performer:
    """Who performs an agent of a framework; `workers` are the frameworks that workers offer now (O-018).

    Without one `fallback` decides: `native` (the default), or `none`, which fails at once. Raises `InvalidInput`.
    """
    fallback = configuration.get(FALLBACK, NATIVE)
    if fallback not in (NATIVE, NOBODY):
        raise InvalidInput(
            "The fallback is native or none",
            field=f"configuration.{FALLBACK}",
            provided=str(fallback)[:80],
            expected=f"{NATIVE} or {NOBODY}",
        )
    if framework in workers:
        return Performer(USER_AGENT, framework)
    return Performer(USER_AGENT, NATIVE) if fallback == NATIVE else Performer(UNAVAILABLE_AGENT, NOBODY)


@dataclass(frozen=True, slots=True)
class ExecutionRequest:
    """What is to be executed. `labels` are the surface's own, on top of which the agent's are put."""

    agent_id: str
    input: dict[str, Any]
    configuration: dict[str, Any]
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Which executions a list shows. Empty fields do not filter."""

    agent_id: str | None = None
    states: Sequence[JobState] | None = None
    limit: int = 20
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ExecutionPage:
    """One page of executions, newest first, and how many there are in all."""

    rows: builtins.list[Job]
    total: int


class Executions:
    """Everybody, administrators too, sees the executions of their own agents alone. Methods raise `Unavailable`."""

    def __init__(
        self,
        agents: UserAgentRepository,
        executions: ExecutionRepository,
        gateway: TemporalGateway,
        *,
        configurations: Configurations,
        starter: JobStarter,
        reader: JobReader,
        controller: JobController,
        clock: Callable[[], datetime],
    ) -> None:
        self._agents = agents
        self._executions = executions
        self._gateway = gateway
        self._configurations = configurations
        self._starter = starter
        self._reader = reader
        self._controller = controller
        self._clock = clock

    async def start(self, principal: Principal, request: ExecutionRequest) -> Started:
        """Start an execution of one of the caller's agents.

        Raises `NotFound` for the agent, `WrongState` when it is not active, and what `JobStarter.start` raises.
        """
        agent = await self._agents.find(principal.id, request.agent_id)
        if agent is None:
            raise unknown_agent(request.agent_id)
        if not agent.active:
            raise WrongState(f"Agent {agent.id} is not active", agent_id=agent.id)
        saved = await self._configurations.named(principal, request.configuration, agent.configuration)
        below = (saved.configuration or {}) if saved is not None else {}
        configuration = {**below, **agent.configuration, **request.configuration}
        offered = (agent.framework,) if await self._gateway.offers(agent.framework) else ()
        performer = plan_for(agent.framework, configuration, offered)
        on_framework = performer.executed_by == agent.framework
        command = StartRequest(
            kind=JobKind.AGENT,
            target=performer.target,
            input=_told(agent, configuration, request.input),
            config=model_settings(configuration),
            name=" ".join(agent.name.split())[:_SHOWN_NAME] or None,
            subject=agent.id,
            task_queue=self._gateway.framework_queue(agent.framework) if on_framework else None,
            labels={
                **request.labels,
                JobLabel.AGENT_NAME: agent.name,
                JobLabel.FRAMEWORK: str(agent.framework),
                JobLabel.EXECUTED_BY: performer.executed_by,
            },
        )
        started = await self._starter.start(principal, command)
        if await self._agents.find(principal.id, agent.id) is None:  # deleted meanwhile, too early to see this job
            await self._controller.cancel(principal, started.job_id, "its agent was deleted", patience=0)
            raise unknown_agent(agent.id)
        if saved is not None:
            await self._count_use(saved)
        return started

    async def list(self, principal: Principal, wanted: ExecutionFilter) -> ExecutionPage:
        """One page of the caller's executions; open ones without what only their history tells."""
        rows, total = await self._executions.list(
            principal.id,
            agent_id=wanted.agent_id,
            states=wanted.states,
            limit=wanted.limit,
            offset=wanted.offset,
        )
        return ExecutionPage(await asyncio.gather(*(self._whole(principal, job) for job in rows)), total)

    async def get(self, principal: Principal, execution_id: str) -> Job:
        """One execution, as it is now. Raises `NotFound`, also when its agent was deleted (C-41)."""
        try:
            job = await self._reader.get(principal, execution_id)
        except NotFound:
            raise unknown_execution(execution_id) from None
        mine = job.owner == principal.id and job.definition in EXECUTING and job.subject is not None
        if not mine or await self._agents.find(principal.id, job.subject or "") is None:
            raise unknown_execution(execution_id)
        return job

    async def cancel(self, principal: Principal, execution_id: str) -> Controlled:
        """Cancel an execution. Raises `NotFound`, `WrongState` when it has ended."""
        await self.get(principal, execution_id)
        return await self._controller.cancel(principal, execution_id, "")

    async def dashboard(self, principal: Principal, length: timedelta) -> Dashboard:
        """What began in the last `length`, and how much in the same length before that."""
        now = self._clock()
        return await self._executions.dashboard(
            principal.id, before=now - 2 * length, since=now - length, until=now + timedelta(microseconds=1)
        )

    async def _count_use(self, saved: Configuration) -> None:
        try:
            await self._configurations.used(saved)
        except Unavailable as fault:  # the execution goes on
            log.warning("use_not_counted", configuration_id=saved.id, error=fault.message)

    async def _whole(self, principal: Principal, job: Job) -> Job:
        """A job that has just ended is told from its history, until its end is written."""
        return await self._reader.get(principal, job.id) if job.state.terminal and not job.run_id else job


def model_settings(configuration: dict[str, Any]) -> JobConfig:
    """The model settings that a configuration holds: `model`, `temperature`, `maxTokens`. Raises `InvalidInput`."""
    given = {ours: configuration[theirs] for theirs, ours in _MODEL_SETTINGS.items() if theirs in configuration}
    try:
        return JobConfig.model_validate(given)
    except ValidationError as fault:
        wrong = fault.errors(include_url=False)[0]
        name = next(theirs for theirs, ours in _MODEL_SETTINGS.items() if ours == wrong["loc"][0])
        raise InvalidInput(
            f"Invalid value for configuration.{name}: {wrong['msg']}",
            field=f"configuration.{name}",
            provided=str(wrong["input"])[:80],
            expected="model: string, temperature: 0 to 2, maxTokens: 1 to 1000000",
        ) from None


def _told(agent: UserAgent, configuration: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The input of the job: who is performed, set up how, asked what."""
    return {
        "agent": agent.name,
        "description": agent.description or "",
        "framework": str(agent.framework),
        "configuration": {name: value for name, value in configuration.items() if name not in _NOT_TOLD},
        "input": given,
    }


def unknown_execution(execution_id: str) -> NotFound:
    """The one answer for an execution that is not there, or another owner's."""
    return NotFound(f"Unknown execution: {execution_id[:80]}", execution_id=execution_id[:80])
