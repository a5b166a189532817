"""Starts, lists, reads, cancels and sums up executions of users' agents, which are jobs (O-020 to O-024, O-042)."""

import asyncio
import builtins
from collections.abc import Callable, Collection, Sequence
from dataclasses import KW_ONLY, dataclass, field
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
_SETTINGS_KEYS: Final = frozenset({*_MODEL_SETTINGS, FALLBACK, CONFIGURATION_ID})


@dataclass(frozen=True, slots=True)
class Performer:
    """The agent of the catalogue that performs an execution, and the value of `executed_by` in its output."""

    target: str
    executed_by: str


def plan_for(framework: str, configuration: dict[str, Any], workers: Collection[str]) -> Performer:
    """The performer of an agent of a framework. `workers` are the frameworks that workers offer now (O-018).

    Without such a worker, the `fallback` of the configuration decides: `native` (the default), or `none`, which fails
    at once. Raises `InvalidInput`.
    """
    fallback = configuration.get(FALLBACK, NATIVE)
    if fallback not in (NATIVE, NOBODY):
        raise InvalidInput(
            f"Invalid fallback {str(fallback)[:80]!r}: expected {NATIVE} or {NOBODY}",
            field=f"configuration.{FALLBACK}",
            provided=str(fallback)[:80],
            expected=f"{NATIVE} or {NOBODY}",
        )
    if framework in workers:
        return Performer(USER_AGENT, framework)
    return Performer(USER_AGENT, NATIVE) if fallback == NATIVE else Performer(UNAVAILABLE_AGENT, NOBODY)


@dataclass(frozen=True, slots=True)
class ExecutionRequest:
    """A request to execute an agent. The labels of the agent are added to `labels`, which the surface chooses."""

    agent_id: str
    input: dict[str, Any]
    configuration: dict[str, Any]
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Selects executions for a list. Empty fields do not filter."""

    agent_id: str | None = None
    states: Sequence[JobState] | None = None
    limit: int = 20
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ExecutionPage:
    """One page of executions, newest first, and the total."""

    rows: builtins.list[Job]
    total: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Executions:
    """A caller sees only executions of the caller's agents, as an administrator too. Methods raise `Unavailable`."""

    agents: UserAgentRepository
    executions: ExecutionRepository
    gateway: TemporalGateway
    _: KW_ONLY
    configurations: Configurations
    starter: JobStarter
    reader: JobReader
    controller: JobController
    clock: Callable[[], datetime]

    async def start(self, principal: Principal, request: ExecutionRequest) -> Started:
        """Start an execution of an agent of the caller.

        Raises `NotFound` for the agent, `WrongState` if it is not active, and the errors of `JobStarter.start`.
        """
        agent = await self.agents.find(principal.id, request.agent_id)
        if agent is None:
            raise unknown_agent(request.agent_id)
        if not agent.active:
            raise WrongState(f"Agent {agent.id} is not active: activate it first", agent_id=agent.id)
        saved = await self.configurations.named(principal, request.configuration, agent.configuration)
        defaults = (saved.configuration or {}) if saved is not None else {}
        configuration = {**defaults, **agent.configuration, **request.configuration}
        frameworks = (agent.framework,) if await self.gateway.has_framework_workers(agent.framework) else ()
        performer = plan_for(agent.framework, configuration, frameworks)
        on_framework = performer.executed_by == agent.framework
        command = StartRequest(
            kind=JobKind.AGENT,
            target=performer.target,
            input=_job_input(agent, configuration, request.input),
            config=model_settings(configuration),
            model_field="configuration.model",
            name=" ".join(agent.name.split())[:_SHOWN_NAME] or None,
            subject=agent.id,
            task_queue=self.gateway.framework_queue(agent.framework) if on_framework else None,
            labels={
                **request.labels,
                JobLabel.AGENT_NAME: agent.name,
                JobLabel.FRAMEWORK: str(agent.framework),
                JobLabel.EXECUTED_BY: performer.executed_by,
            },
        )
        started = await self.starter.start(principal, command)
        if await self.agents.find(principal.id, agent.id) is None:  # deleted meanwhile, before it could cancel this job
            await self.controller.cancel(principal, started.job_id, "its agent was deleted", patience=0)
            raise unknown_agent(agent.id)
        if saved is not None:
            await self._count_use(saved)
        return started

    async def list(self, principal: Principal, filter: ExecutionFilter) -> ExecutionPage:
        """One page of the caller's executions. Open ones lack the fields that only their history has."""
        rows, total = await self.executions.list(
            principal.id,
            agent_id=filter.agent_id,
            states=filter.states,
            limit=filter.limit,
            offset=filter.offset,
        )
        return ExecutionPage(await asyncio.gather(*(self._with_end(principal, job) for job in rows)), total)

    async def get(self, principal: Principal, execution_id: str) -> Job:
        """One execution in its present state. Raises `NotFound`, also if its agent was deleted (C-41)."""
        try:
            job = await self.reader.get(principal, execution_id)
        except NotFound:
            raise unknown_execution(execution_id) from None
        visible = job.owner == principal.id and job.definition in EXECUTING and job.subject is not None
        if not visible or await self.agents.find(principal.id, job.subject or "") is None:
            raise unknown_execution(execution_id)
        return job

    async def cancel(self, principal: Principal, execution_id: str) -> Controlled:
        """Cancel an execution. Raises `NotFound`, `WrongState` if it has ended."""
        await self.get(principal, execution_id)
        return await self.controller.cancel(principal, execution_id, "")

    async def dashboard(self, principal: Principal, length: timedelta) -> Dashboard:
        """The executions that began in the last `length`, and the figures of the same length before it."""
        now = self.clock()
        return await self.executions.dashboard(
            principal.id, before=now - 2 * length, since=now - length, until=now + timedelta(microseconds=1)
        )

    async def _count_use(self, saved: Configuration) -> None:
        try:
            await self.configurations.used(saved)
        except Unavailable as error:  # The count is not worth the failure of the execution.
            log.warning("use_not_counted", configuration_id=saved.id, error=error.message)

    async def _with_end(self, principal: Principal, job: Job) -> Job:
        """The job from its history if it has just ended and the index does not have its end yet."""
        return await self.reader.get(principal, job.id) if job.state.terminal and not job.run_id else job


def model_settings(configuration: dict[str, Any]) -> JobConfig:
    """The model settings that a configuration holds: `model`, `temperature`, `maxTokens`. Raises `InvalidInput`."""
    values = {
        field: configuration[wire_name] for wire_name, field in _MODEL_SETTINGS.items() if wire_name in configuration
    }
    try:
        return JobConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = next(wire_name for wire_name, field in _MODEL_SETTINGS.items() if field == first["loc"][0])
        raise InvalidInput(
            f"Invalid value for configuration.{name}: {first['msg']}",
            field=f"configuration.{name}",
            provided=str(first["input"])[:80],
            expected="model: string, temperature: 0 to 2, maxTokens: 1 to 1000000",
        ) from None


def _job_input(agent: UserAgent, configuration: dict[str, Any], input: dict[str, Any]) -> dict[str, Any]:
    """The input of the job: the agent, its configuration, and the input of the execution."""
    return {
        "agent": agent.name,
        "description": agent.description or "",
        "framework": str(agent.framework),
        "configuration": {name: value for name, value in configuration.items() if name not in _SETTINGS_KEYS},
        "input": input,
    }


def unknown_execution(execution_id: str) -> NotFound:
    """The error for an execution that does not exist or has another owner."""
    return NotFound(f"Unknown execution: {execution_id[:80]}", execution_id=execution_id[:80])
