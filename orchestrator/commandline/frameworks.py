"""The worker of one framework: the parts of any worker, with an adapter where the product's own runtime is."""

from temporalio.worker import Worker

from activities.agents import AgentActivities
from orchestrator.bootstrap import Parts, now
from orchestrator.engine.worker import build_framework_worker
from orchestrator.frameworks import FrameworkAdapter
from orchestrator.frameworks.runtime import FrameworkRuntime
from orchestrator.staffing import open_runtime


def framework_worker(parts: Parts, adapter: FrameworkAdapter) -> Worker:
    """A worker that takes the calls of this framework's agents alone. Not for a lazy client."""
    if parts.runtime is None:
        parts.runtime = open_runtime(parts.settings, now)
    runtime = FrameworkRuntime(adapter, parts.runtime.runner, now)
    agents = AgentActivities(
        parts.catalogue, runtime, parts.ground.attempts, parts.ground.artifacts, now, bus=parts.ground.bus
    )
    queue = parts.ground.gateway.framework_queue(adapter.name)
    return build_framework_worker(parts.ground.client, task_queue=queue, run_agent=agents.run_agent)
