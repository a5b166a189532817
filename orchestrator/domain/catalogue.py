"""The catalogue: agents, declared workflows and workflows in code, from plugins (A13)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.domain.agents import Agent
from orchestrator.domain.errors import NotFound
from orchestrator.domain.plans import WorkflowDefinition


@dataclass(frozen=True, slots=True)
class CodeWorkflow:
    """An author's workflow class and its catalogue entry. The class runs under the entry's id."""

    definition: WorkflowDefinition
    workflow: type


@dataclass(frozen=True, slots=True)
class Plugin:
    """The entries that one module adds. The built-in catalogue is a plugin, too."""

    name: str
    agents: tuple[Agent, ...] = ()
    workflows: tuple[WorkflowDefinition, ...] = ()
    code_workflows: tuple[CodeWorkflow, ...] = ()
    activities: tuple[Callable[..., Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All entries, checked as a whole by `orchestrator.plugins.build_catalogue`.

    `unlisted` agents run like others, but lists and counts leave them out.
    """

    agents: Mapping[str, Agent]
    workflows: Mapping[str, WorkflowDefinition]
    code_workflows: tuple[CodeWorkflow, ...] = ()
    activities: tuple[Callable[..., Any], ...] = ()
    unlisted: Mapping[str, Agent] = field(default_factory=dict)

    def agent(self, agent_id: str) -> Agent:
        """The agent of that id. Raises `NotFound`."""
        try:
            return self.unlisted[agent_id] if agent_id in self.unlisted else self.agents[agent_id]
        except KeyError:
            raise NotFound(f"Unknown agent: {agent_id}", agent_id=agent_id) from None

    def workflow(self, workflow_id: str) -> WorkflowDefinition:
        """The workflow definition of that id. Raises `NotFound`."""
        try:
            return self.workflows[workflow_id]
        except KeyError:
            raise NotFound(f"Unknown workflow: {workflow_id}", workflow_id=workflow_id) from None
