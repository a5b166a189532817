"""The one mapping from errors of model providers and the model layer to `AgentError`."""

from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError
from pydantic_ai.exceptions import (
    AgentRunError,
    ContentFilterError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelRequestTimeout,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
    OutputTokenLimitExceeded,
    RunTimedOut,
    UnexpectedModelBehavior,
    UserError,
)
from pydantic_ai.messages import ModelResponse

from orchestrator.domain.errors import AgentError
from orchestrator.domain.text import error_name
from orchestrator.domain.usage import Usage
from orchestrator.runtime.masking import scrub
from orchestrator.runtime.output_models import faults_of
from orchestrator.runtime.responses import says_nothing

STREAM_STOPPED: Final = "The provider's stream stopped before it said that the answer was complete."

TIMED_OUT: Final = "The model did not finish within the step's time."
TRUNCATED: Final = "The answer does not fit max_tokens; raise config.max_tokens."

_INVALID: Final = "The model's answer does not fit the agent's output model, even after a request to correct it"
_EMPTY: Final = "The model returned an empty answer twice. Try another model."
_UNKNOWN_MODEL: Final = (
    "The provider does not know this model; set another one in config.model or ORCHESTRATOR_DEFAULT_MODEL"
)

# The first match counts, so a class is listed before its base classes.
_RULES: Final[tuple[tuple[type[Exception], str, bool, str], ...]] = (
    (RunTimedOut, "provider_timeout", True, "The model did not finish within the step's time"),
    (ModelRequestTimeout, "provider_timeout", True, "The model provider did not answer in time"),
    (ModelTimeoutError, "provider_timeout", True, "The model provider did not answer in time"),
    (ModelQuotaExceededError, "quota_exhausted", False, "The provider account's quota is used up"),
    (ModelRateLimitError, "provider_rate_limited", True, "The model provider's rate limit was reached"),
    (ModelContextWindowExceededError, "context_overflow", False, "The prompt is longer than the model's context"),
    (ModelAuthenticationError, "provider_authentication", False, "The model provider refused the credentials"),
    (ModelNotFoundError, "provider_rejected", False, _UNKNOWN_MODEL),
    (ModelRequestRejectedError, "provider_rejected", False, "The model provider rejected the request"),
    (ModelUnavailableError, "provider_unavailable", True, "The model provider is not available"),
    (ModelServerError, "provider_unavailable", True, "The model provider failed"),
    (ModelConnectionError, "provider_unreachable", True, "The connection to the model provider failed"),
    (ContentFilterError, "content_filtered", False, "The provider's content filter stopped the answer"),
    (
        OutputTokenLimitExceeded,
        "output_truncated",
        False,
        "The answer does not fit max_tokens; raise config.max_tokens",
    ),
    # The call has used its one correction: another attempt would pay for two more such answers.
    (UnexpectedModelBehavior, "malformed_output", False, _INVALID),
    (UserError, "agent_misconfigured", False, "The agent's definition does not suit the model"),
)
_STATUS_RULES: Final[dict[int, tuple[str, bool]]] = {
    408: ("provider_timeout", True),
    409: ("provider_unavailable", True),
    425: ("provider_unavailable", True),
}
_FILTER_CODES: Final = frozenset({"content_filter", "content_policy_violation"})


def agent_error(
    error: Exception,
    *,
    answered: bool = False,
    secrets: Sequence[str] = (),
    usage: Usage | None = None,
) -> AgentError:
    """Convert an error of the model layer: its kind, whether to retry, and when.

    `answered` says that the model has responded. `secrets` are masked in the provider's message. `usage` is billed for
    the failed call.
    """
    if answered and not isinstance(error, (AgentRunError, UserError)):
        # The model has answered: another attempt would pay again.
        message = f"The model's answer cannot be read ({error_name(error)})."
        return AgentError(message, kind="malformed_output", retryable=False, usage=usage)
    kind, retryable, sentence = _classify(error)
    details = "" if kind == "provider_authentication" else _details(error)
    status = f" (HTTP {error.status_code})" if isinstance(error, ModelHTTPError) else ""
    return AgentError(
        scrub(f"{sentence}{status}{': ' if details else '.'}{details}", secrets),
        kind=kind,
        retryable=retryable,
        retry_after=error.retry_after if retryable and isinstance(error, ModelAPIError) else None,
        usage=usage,
    )


def misfit(last: ModelResponse, faults: str) -> AgentError:
    """The error for a call whose last answer does not fit the output model. `faults` says why."""
    sentence = _EMPTY if says_nothing(last) else f"{_INVALID}{': ' if faults else '.'}{faults}"
    return AgentError(scrub(sentence), kind="malformed_output", retryable=False)


def _classify(error: Exception) -> tuple[str, bool, str]:
    if isinstance(error, ModelAPIError) and {error.provider_error_code, error.provider_error_type} & _FILTER_CODES:
        return "content_filtered", False, "The provider's content filter refused the request"
    for category, kind, retryable, sentence in _RULES:
        if isinstance(error, category):
            return kind, retryable, sentence
    if isinstance(error, ModelHTTPError):
        kind, retryable = _STATUS_RULES.get(error.status_code, ("provider_rejected", False))
        return kind, retryable, "The model provider did not accept the request"
    if not isinstance(error, AgentRunError):
        # The provider's client could not read the response.
        return "provider_unavailable", True, f"The model provider's answer cannot be read ({error_name(error)})"
    # The remaining errors came over an open stream, and do not say that the request was at fault.
    return "provider_unreachable", True, "The model provider broke the stream off"


def _details(error: Exception) -> str:
    """The details of an error for a reader: the provider's own message, or the faulty fields."""
    if isinstance(error, ModelHTTPError):
        body = error.body
        if isinstance(body, dict):
            inner = body.get("error", body)
            message = inner.get("message") if isinstance(inner, dict) else inner
            return message if isinstance(message, str) else ""
        return ""
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        return faults_of(cause)
    if isinstance(error, (RunTimedOut, OutputTokenLimitExceeded, ContentFilterError, UnexpectedModelBehavior)):
        return ""
    return error.message if isinstance(error, (AgentRunError, UserError)) else ""
