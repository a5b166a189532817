"""What users make and run for themselves: their agents, saved configurations and executions, over one database."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from orchestrator.engine.gateway import TemporalGateway
from orchestrator.services.jobs.controls import JobController
from orchestrator.services.jobs.reader import JobReader
from orchestrator.services.jobs.start import JobStarter
from orchestrator.services.user_agents.agents import UserAgents
from orchestrator.services.user_agents.configurations import Configurations
from orchestrator.services.user_agents.executions import Executions
from orchestrator.storage.configurations import ConfigurationRepository
from orchestrator.storage.database import Database
from orchestrator.storage.executions import ExecutionRepository
from orchestrator.storage.user_agents import UserAgentRepository


@dataclass(frozen=True, slots=True)
class OwnWork:
    """One of each."""

    agents: UserAgents
    configurations: Configurations
    executions: Executions


def own_work(
    database: Database,
    gateway: TemporalGateway,
    starter: JobStarter,
    reader: JobReader,
    controller: JobController,
    *,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
    most_rows: int,
) -> OwnWork:
    """Put them together; opens nothing by itself. An owner may have `most_rows` agents and as many configurations."""
    agents, executions = UserAgentRepository(database), ExecutionRepository(database)
    configurations = Configurations(ConfigurationRepository(database), clock=clock, new_id=new_id, most=most_rows)
    return OwnWork(
        agents=UserAgents(agents, executions, controller, clock=clock, new_id=new_id, most=most_rows),
        configurations=configurations,
        executions=Executions(
            agents,
            executions,
            gateway,
            configurations=configurations,
            starter=starter,
            reader=reader,
            controller=controller,
            clock=clock,
        ),
    )
