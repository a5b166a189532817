"""The worker of one framework: the parts of any worker, with an adapter where the product's own runtime is."""

from temporalio.worker import Worker

from orchestrator.bootstrap import Parts, now
from orchestrator.engine.worker import build_framework_worker
from orchestrator.frameworks import FrameworkAdapter
from orchestrator.frameworks.runtime import FrameworkRuntime


def framework_worker(parts: Parts, adapter: FrameworkAdapter) -> Worker:
    """A worker that takes the calls of this framework's agents alone. Not for a lazy client."""
    agents = parts.agents(FrameworkRuntime(adapter, parts.native_runtime(), now, parts.bulkhead))
    queue = parts.ground.gateway.framework_queue(adapter.name)
    return build_framework_worker(
        parts.ground.client,
        task_queue=queue,
        run_agent=agents.run_agent,
        drain=parts.settings.worker_drain_seconds,
    )
