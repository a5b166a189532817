"""Which activities a worker runs."""

from collections.abc import Callable, Sequence
from typing import Any

from activities.agents import AgentActivities


def activities(agents: AgentActivities, plugins: Sequence[Callable[..., Any]] = ()) -> list[Callable[..., Any]]:
    """Every activity of a worker: the dynamic one behind all agents, and those that plugins add (A2, A13)."""
    return [agents.run_agent, *plugins]
