"""What a check of the installation found: `orchestrator doctor`, readiness and the deployment report speak of it."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `remedy` says what to do about it.

    `seconds` is how long the checked part took to answer, None if it was not asked. `operator_message` is the message
    for operators, where it says more.
    """

    check: str
    verdict: Verdict
    message: str
    remedy: str | None = None
    seconds: float | None = None
    operator_message: str | None = None

    @classmethod
    def of(
        cls,
        check: str,
        *,
        ok: bool,
        message: str,
        remedy: str | None = None,
        seconds: float | None = None,
        operator_message: str | None = None,
    ) -> "Finding":
        """The finding of a check that either passes or fails."""
        return cls(check, Verdict.OK if ok else Verdict.FAILED, message, remedy, seconds, operator_message)

    @property
    def ok(self) -> bool:
        """Whether the check passed."""
        return self.verdict is Verdict.OK
