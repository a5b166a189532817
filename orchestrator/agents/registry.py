"""Every built-in agent, squad by squad (D-020)."""

from typing import Final

from orchestrator.agents import backend, business, chat, data, decisions, devops, documentation, frontend, qa, user_made
from orchestrator.domain.agents import Agent

_SQUADS: Final = (business, frontend, backend, data, qa, devops, documentation)

AGENTS: Final[tuple[Agent, ...]] = tuple(
    agent.model_copy(update={"source": squad.__name__.replace(".", "/") + ".py"})
    for squad in _SQUADS
    for agent in squad.AGENTS
)

UNLISTED: Final[tuple[Agent, ...]] = (decisions.AGENT, *chat.AGENTS, *user_made.AGENTS)
"""Agents that only the surfaces use; no squad lists them."""
