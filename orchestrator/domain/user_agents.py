"""Agents of users, their saved configurations and their figures (O-016, O-035, O-042)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from orchestrator.domain.jobs import JobState

USER_AGENT: Final = "user_agent"
"""The catalogue's agent that runs users' agents; lists leave it out."""

UNAVAILABLE_AGENT: Final = "user_agent_unavailable"
"""The agent that fails at once, because nothing can run the user's agent."""

EXECUTING: Final = (USER_AGENT, UNAVAILABLE_AGENT)
"""The agents that the jobs of executions run."""


_PREFIX: Final = "agent_"
_TAIL: Final = 32
_DIGITS: Final = frozenset("0123456789abcdef")


def agent_id(tail: str) -> str:
    """The id of a new agent. It is the subject of the jobs of its executions; `tail` is 32 hexadecimal digits."""
    return _PREFIX + tail


def is_user_agent(subject: str) -> bool:
    """Whether the subject of a job is a user's agent."""
    tail = subject.removeprefix(_PREFIX)
    return subject != tail and len(tail) == _TAIL and set(tail) <= _DIGITS


class Framework(StrEnum):
    """The frameworks of agents (O-018)."""

    AUTOGEN = "autogen"
    METAGPT = "metagpt"
    CREWAI = "crewai"
    AUTOGPT = "autogpt"
    BABYAGI = "babyagi"
    LANGGRAPH = "langgraph"
    CAMELAI = "camelai"
    AGENTVERSE = "agentverse"
    OPENAGENTS = "openagents"
    MINIAGI = "miniagi"
    ORCA = "orca"


class AgentStatus(StrEnum):
    """The status of an agent (O-019, C-71). No agent is ever `DEPLOYING`, because nothing is deployed."""

    IDLE = "IDLE"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    ERROR = "ERROR"
    DEPLOYING = "DEPLOYING"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class UserAgent:
    """An agent as its owner defined it."""

    id: str
    owner: str
    name: str
    description: str | None
    framework: Framework
    configuration: dict[str, Any]
    tags: list[str]
    active: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class AgentFigures:
    """Figures of an agent's executions. `mean_seconds` is the mean time of successful ones, None without any."""

    total: int = 0
    successful: int = 0
    mean_seconds: float | None = None
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LiveAgent:
    """An agent with its live status and figures."""

    agent: UserAgent
    status: AgentStatus
    figures: AgentFigures = AgentFigures()


@dataclass(frozen=True, slots=True)
class Configuration:
    """A saved configuration. Everybody sees public ones. `usage_count` counts the executions that used it.

    In a long list, `configuration` may be None.
    """

    id: str
    owner: str
    name: str
    description: str | None
    framework: Framework
    configuration: dict[str, Any] | None
    template: bool
    public: bool
    usage_count: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ExecutionTally:
    """Executions of one framework's agents that began on one UTC day and have one state.

    `seconds` is the total time of completed ones; `cost` sums the known prices in USD, None where none is known.
    """

    day: date
    framework: Framework
    state: JobState
    total: int
    seconds: float
    tokens: int
    cost: float | None


@dataclass(frozen=True, slots=True)
class Estate:
    """Counts of an owner's agents and configurations, now and at the start of a period."""

    active_agents: int
    active_agents_before: int
    agents_by_framework: Mapping[Framework, int]
    frameworks_before: int
    configurations: int
    configurations_before: int


@dataclass(frozen=True, slots=True)
class Dashboard:
    """An owner's executions that began in a period, the number of the period before, and the owner's estate."""

    since: datetime
    until: datetime
    tallies: Sequence[ExecutionTally]
    executions_before: int
    estate: Estate
