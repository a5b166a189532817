"""The readers of a `MemoryBus`, which the product itself never counts."""

from orchestrator.bus.memory import MemoryBus


def count_readers(bus: MemoryBus, job_id: str) -> int:
    """The number of open subscriptions to a job."""
    return len(bus._readers.get(job_id, ()))
