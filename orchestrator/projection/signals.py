"""Signals that control a job. Signals that the workflow ignores are not reported as applied."""

from orchestrator.domain.commands import Control, Decision, JobInput
from orchestrator.domain.facts import SignalReceived
from orchestrator.domain.signals import names_control


def is_control(job: JobInput | None, signal: SignalReceived, *, flow: bool) -> bool:
    """Whether a signal of that name controls the job. In workflow code without `Flow`, it belongs to its author."""
    return job is not None and (flow or not job.code) and names_control(signal.name)


def control_of(job: JobInput | None, signal: SignalReceived, *, flow: bool) -> Control | Decision | None:
    """The control or decision of a signal; None if it is not a control, or if the workflow cannot read it."""
    return signal.control if is_control(job, signal, flow=flow) else None
