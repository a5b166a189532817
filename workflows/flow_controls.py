"""Pause, resume, approve and reject for workflow code: the same signals as those of a declared workflow."""

from collections.abc import Callable
from typing import Final

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from workflows.notes import note
from workflows.questions import Questions
from workflows.turns import loops

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain import names
    from orchestrator.domain.commands import Control, Decision
    from orchestrator.domain.notes import FlowBegun
    from orchestrator.domain.signals import SignalInput, read_control

_NO_INPUT: Final = RawValue(Payload(metadata={"encoding": b"binary/null"}))


class FlowControls:
    """Handles the controls of one run. It notes so, because the API refuses controls that nothing handles."""

    def __init__(self, questions: Questions) -> None:
        self._paused = False
        loops().is_paused = lambda: self._paused
        self._questions = questions
        note(FlowBegun())
        for name in (names.SIGNAL_PAUSE, names.SIGNAL_RESUME, names.SIGNAL_APPROVE, names.SIGNAL_REJECT):
            workflow.set_signal_handler(name, self._handler(name))

    async def running(self) -> None:
        """Wait until the job is not paused."""
        if self._paused:
            await workflow.wait_condition(lambda: not self._paused)

    def _handler(self, name: str) -> Callable[[RawValue], None]:
        # A raw value, so that no input can fail the workflow task.
        def handle(message: RawValue = _NO_INPUT) -> None:
            control = read_control(name, [SignalInput.of(message.payload.metadata, message.payload.data)])
            match control:
                case Control():
                    self._paused = name == names.SIGNAL_PAUSE
                case Decision():
                    self._questions.decide(control, approved=name == names.SIGNAL_APPROVE)
                case None:
                    workflow.logger.warning("signal_ignored", extra={"signal": name})

        return handle
