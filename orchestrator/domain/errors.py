"""The error tree. `api` chooses HTTP statuses and dialect codes.

OrchestratorError
├── InvalidInput          the caller's data is wrong; `field`, `provided` and `expected` name the fault
│   ├── PayloadTooLarge   the input is over the size limit
│   ├── IdempotencyReuse  an idempotency key was reused with another body
│   └── ModelNotConfigured  no provider is configured for a model; `model` is its name
├── Unauthenticated
├── Forbidden
├── NotFound
│   └── UnknownWorkflow   a worker lacks the type of a workflow that was started in Temporal; another may have it
├── WrongState            the job cannot do this now (cancel a finished job, approve a step that does not wait)
│   └── Conflict          another answer to the question stands, or the job ended without one
├── RequestInProgress     the first request with this idempotency key still runs; `retry_after` seconds
├── LimitExceeded         a limit of the caller's tier is reached; `retry_after` seconds
├── Unavailable           a required part does not answer; `retry_after` seconds
│   └── Misconfigured     a setting is wrong: a retry cannot help, the process refuses to start
├── DeadlineExceeded      the caller's wait ended; the job continues
├── CatalogueError        an agent or workflow definition is invalid; names the file and the fault
├── AgentError            one agent call failed; `kind` is stable, `retryable` says whether to retry
└── StepFailed            a plan stopped at a failed step
"""

from typing import Any, Final

from orchestrator.domain.usage import Usage


class OrchestratorError(Exception):
    """Base class of the errors that the product raises."""

    code = "internal"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    @property
    def for_operators(self) -> str:
        """The message with details for operators. Never part of a response to a caller."""
        return self.message


class InvalidInput(OrchestratorError):
    """The caller's data is wrong. `field`, `provided` and `expected` name the fault (D-096)."""

    code = "invalid_input"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        provided: Any = None,
        expected: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message, field=field, provided=provided, expected=expected, **more)


class PayloadTooLarge(InvalidInput):
    """The input is larger than the limit; nothing was started."""

    code = "payload_too_large"


class IdempotencyReuse(InvalidInput):
    """An idempotency key was used with another request body; nothing was started."""

    code = "idempotency_reuse"


class ModelNotConfigured(InvalidInput):
    """No provider is configured for the model of a call; nothing was started. `model` is its name."""

    code = "model_not_configured"

    def __init__(self, model: str, fault: str, *, field: str | None = None, agent: str | None = None) -> None:
        super().__init__(
            f"The model {model!r} cannot be used. {fault}",
            field=field,
            provided=model,
            expected="a model of a configured provider",
            reason=self.code,
            **({} if agent is None else {"agent": agent}),
        )
        self.model = model
        self.fault = fault


class Unauthenticated(OrchestratorError):
    """No credential, or one that is not valid (D-010)."""

    code = "unauthenticated"


class Forbidden(OrchestratorError):
    """The credential is valid but lacks the scope (D-015)."""

    code = "forbidden"


class NotFound(OrchestratorError):
    """The agent, workflow or job does not exist, or the caller may not see it."""

    code = "not_found"


class UnknownWorkflow(NotFound):
    """The worker's plugins lack the type of a workflow, which waits for a worker that has it."""

    code = "unknown_workflow"


class WrongState(OrchestratorError):
    """The state of the job does not allow the operation."""

    code = "wrong_state"


class Conflict(WrongState):
    """Something else came first: another answer to the question, or the end of the job."""

    code = "conflict"


class RequestInProgress(OrchestratorError):
    """The first request with this idempotency key still runs; try again after `retry_after` seconds."""

    code = "request_in_progress"

    def __init__(self, message: str, *, retry_after: float, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class LimitExceeded(OrchestratorError):
    """A limit of the caller's tier is reached; nothing was started. Try again after `retry_after` seconds.

    `limit` names which: `requests_per_minute`, `concurrent_jobs` or `monthly_tokens` (D-067, D-068).
    """

    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, limit: str, retry_after: float, **details: Any) -> None:
        super().__init__(message, limit=limit, **details)
        self.retry_after = retry_after


# Value of the detail `fault` of an `Unavailable` part that answers too late.
SLOW: Final = "slow"


class Unavailable(OrchestratorError):
    """A part that the request needs does not answer; try again after `retry_after` seconds.

    `cause` is the message of that part and `remedy` what to do; both are for operators only.
    """

    code = "unavailable"

    def __init__(
        self,
        message: str,
        *,
        retry_after: float = 2.0,
        cause: str | None = None,
        remedy: str | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after
        self.cause = cause
        self.remedy = remedy

    @property
    def slow(self) -> bool:
        """Whether the part answers, but too late: it is overloaded."""
        return self.details.get("fault") == SLOW

    @property
    def for_operators(self) -> str:
        """The message and its cause."""
        return self.message if self.cause is None else f"{self.message.rstrip('.')}: {self.cause}"


class Misconfigured(Unavailable):
    """The setup of this process is wrong, so it must not run. `cause` and `remedy` are sentences for its operator."""

    def __init__(self, cause: str, *, remedy: str) -> None:
        super().__init__(
            "This server is not set up correctly; its log says why.", retry_after=60.0, cause=cause, remedy=remedy
        )

    @property
    def for_operators(self) -> str:
        """The cause and the remedy."""
        return f"{self.cause} {self.remedy}"


class DeadlineExceeded(Unavailable):
    """The wait for a result ended; the job continues (D-044)."""

    code = "timeout"


class CatalogueError(OrchestratorError):
    """An agent or workflow definition is invalid. `source` names the file, the message the fault."""

    code = "invalid_catalogue"

    def __init__(self, source: str, fault: str) -> None:
        super().__init__(f"{source}: {fault}", source=source, fault=fault)


class AgentError(OrchestratorError):
    """One agent call failed.

    `kind` is a stable machine word (`provider_rate_limited`, `content_filtered`, …), `retryable` says whether
    another attempt can help, `retry_after` is the provider's requested wait in seconds, `usage` the billed usage of
    the failed call if it is known.
    """

    code = "agent_failed"

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        retryable: bool,
        retry_after: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        # Authors raise it with any values. The call must fail with their error, not with a `TypeError` of ours.
        kind = kind if isinstance(kind, str) and kind else "error"
        super().__init__(message if isinstance(message, str) else str(message), kind=kind)
        self.kind = kind
        self.retryable = bool(retryable)
        self.retry_after = retry_after if isinstance(retry_after, int | float) else None
        self.usage = usage if isinstance(usage, Usage) else None


class StepFailed(OrchestratorError):
    """A plan stopped because a step failed, was rejected, or its approval ran out of time."""

    code = "step_failed"
