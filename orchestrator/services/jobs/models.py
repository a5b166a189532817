"""Checks before the start of a job that the models of its calls can be used."""

from dataclasses import dataclass

from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import ModelNotConfigured
from orchestrator.domain.model_choice import Providers


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ModelCheck:
    """Refuses jobs whose models no provider serves. Steps on a framework are not checked: it may bring its models."""

    catalogue: Catalogue
    providers: Providers

    def check(self, job: JobInput, *, field: str = "config.model") -> None:
        """Raise `ModelNotConfigured` for the requested model, which `field` names, or for the model of an agent."""
        own_steps = [step for step in job.plan.steps if step.task_queue is None]
        requested = job.config.model
        if requested is not None:
            if own_steps or not job.plan.steps:
                self._requested(requested, field)
            return
        for agent_id in dict.fromkeys(agent for step in own_steps for agent in step.agents):
            self._own_model_of(agent_id)

    def _requested(self, name: str, field: str) -> None:
        try:
            self.providers.requested(name)
        except ModelNotConfigured as error:
            raise ModelNotConfigured(name, error.fault, field=field) from None

    def _own_model_of(self, agent_id: str) -> None:
        agent = self.catalogue.agent(agent_id)
        if agent.function is not None:
            return
        try:
            self.providers.choose(agent, None)
        except ModelNotConfigured as error:
            raise ModelNotConfigured(error.model, error.fault, agent=agent_id) from None
