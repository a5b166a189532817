"""The catalogue: agents, declared workflows and workflows in code, from plugins (A13)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from orchestrator.domain.agents import Agent
from orchestrator.domain.errors import NotFound
from orchestrator.domain.near_matches import near_match
from orchestrator.domain.plans import WorkflowDefinition
from orchestrator.domain.questions import PersonQuestion
from orchestrator.domain.tools import AskPerson


@dataclass(frozen=True, slots=True)
class CodeWorkflow:
    """An author's workflow class and its catalogue entry. The class runs under the entry's id.

    `signals` gives the models of signals whose handlers have no model as their argument, such as `dict`. The others
    are those of the class.
    """

    definition: WorkflowDefinition
    workflow: type
    signals: Mapping[str, Any] = field(default_factory=dict)


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

    def signals(self, workflow_id: str) -> Mapping[str, Any]:
        """The types of the arguments of a workflow's signals, by their names; None for a signal without one."""
        return next((each.signals for each in self.code_workflows if each.definition.id == workflow_id), {})

    def form_model(self, workflow_id: str, question: PersonQuestion) -> type[BaseModel] | None:
        """The model of a declared form, unless the form was edited since. The code of a workflow knows its own."""
        if question.agent is not None:
            agent = self.agents.get(question.agent)
            forms = [toolset.form for toolset in agent.toolsets if isinstance(toolset, AskPerson)] if agent else []
            return next((form for form in forms if form.model_json_schema() == question.form), None)
        definition = self.workflows.get(workflow_id)
        step = definition.plan.step(question.step) if definition else None
        ask = step.ask if step else None
        return ask.model if ask is not None and ask.form == question.form else None

    def agent(self, agent_id: str) -> Agent:
        """The agent of that id. Raises `NotFound`."""
        try:
            return self.unlisted[agent_id] if agent_id in self.unlisted else self.agents[agent_id]
        except KeyError:
            raise NotFound(f"Unknown agent: {agent_id}{self.agent_hint(agent_id)}", agent_id=agent_id) from None

    def agent_hint(self, agent_id: str) -> str:
        """What to do about an unknown agent, as the end of a sentence; empty if nothing is similar."""
        return _hint(agent_id, self.agents, "a workflow", self.workflows)

    def workflow(self, workflow_id: str) -> WorkflowDefinition:
        """The workflow definition of that id. Raises `NotFound`."""
        try:
            return self.workflows[workflow_id]
        except KeyError:
            hint = _hint(workflow_id, self.workflows, "an agent", self.agents)
            raise NotFound(f"Unknown workflow: {workflow_id}{hint}", workflow_id=workflow_id) from None


def _hint(name: str, names: Iterable[str], other: str, other_names: Iterable[str]) -> str:
    """What to do about an unknown id: it is one of the other kind, or it is misspelt."""
    if name in other_names:
        return f". There is {other} of this id."
    hint = near_match(name, names)
    return f".{hint}" if hint else ""
