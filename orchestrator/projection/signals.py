"""Signals as the interpreter reads them: what it drops, such as a decision without a step, is not told as done."""

from typing import Final

from pydantic import ValidationError

from orchestrator.domain import names
from orchestrator.domain.commands import Control, Decision, JobInput
from orchestrator.domain.facts import SignalReceived

_CONTROLS: Final[dict[str, type[Control | Decision]]] = {
    names.SIGNAL_PAUSE: Control,
    names.SIGNAL_RESUME: Control,
    names.SIGNAL_APPROVE: Decision,
    names.SIGNAL_REJECT: Decision,
}


def is_control(job: JobInput | None, signal: SignalReceived) -> bool:
    """Whether a signal of that name controls the job. In a workflow written in code it is the author's own."""
    return job is not None and not job.code and signal.name in _CONTROLS


def control_of(job: JobInput | None, signal: SignalReceived) -> Control | Decision | None:
    """What a signal asks of the job; None when it controls nothing, or says nothing that the interpreter can read."""
    if not is_control(job, signal) or signal.payload is None:
        return None
    try:
        return _CONTROLS[signal.name].model_validate(signal.payload)
    except ValidationError:
        return None
