"""Warnings of a catalogue: what loads, and may still harm."""

from collections.abc import Callable

from orchestrator.authoring_faults import at_line
from orchestrator.domain.agents import Agent
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.tools import AgentTool, outward_tools, untrusted_tools

_Tools = Callable[[Agent], list[str]]


def catalogue_warnings(catalogue: Catalogue) -> list[str]:
    """One sentence, with file and line, for each agent whom a text of others could make act without a person."""
    agents = {**catalogue.agents, **catalogue.unlisted}
    warnings = []
    for agent in agents.values():
        reading = _reached(agent, agents, untrusted_tools, set())
        acting = _reached(agent, agents, outward_tools, set())
        if reading and acting:
            fault = (
                f"agent {agent.id!r} reads texts of others ({', '.join(reading)}) and acts on the outside without a "
                f"person's yes ({', '.join(acting)}): such a text can make it act. Set ask_before on {acting[0]}"
            )
            warnings.append(at_line(agent.source, fault, agent.id).message)
    return warnings


def _reached(agent: Agent, agents: dict[str, Agent], tools: _Tools, visited: set[str]) -> list[str]:
    """The tools of that kind of an agent, and of the agents that it calls as tools."""
    visited.add(agent.id)
    names = tools(agent)
    for tool in agent.tools:
        if isinstance(tool, AgentTool) and tool.agent in agents and tool.agent not in visited:
            names += [f"{tool.agent}.{name}" for name in _reached(agents[tool.agent], agents, tools, visited)]
    return names
