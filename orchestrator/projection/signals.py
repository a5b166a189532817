"""Which signals control a job: those that its workflow acts on, and no others, are reported as applied."""

from orchestrator.domain.commands import Control, Decision, JobInput
from orchestrator.domain.facts import SignalReceived
from orchestrator.domain.signals import names_control


def is_control(job: JobInput | None, signal: SignalReceived) -> bool:
    """Whether a signal of that name controls the job. In a workflow written in code it is the author's own."""
    return job is not None and not job.code and names_control(signal.name)


def control_of(job: JobInput | None, signal: SignalReceived) -> Control | Decision | None:
    """What a signal asks of the job; None if it controls nothing, or if the interpreter cannot read it."""
    return signal.control if is_control(job, signal) else None
