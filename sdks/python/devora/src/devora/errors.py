"""Every error that the library raises.

`DevoraError` is the root. An answer of the server that is an error is an `APIStatusError`, one class for each status;
no answer is an `APIConnectionError`. `JobFailed`, `JobCancelled` and `JobTimeoutError` are about a job that was
waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devora._retries import sound_seconds

if TYPE_CHECKING:
    from devora._responses import RawResponse
    from devora.models import JobDetail, JobError


class DevoraError(Exception):
    """Anything that goes wrong. Fields that do not apply are None."""

    default_code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        details: dict[str, Any] | None = None,
        body: Any = None,
        retry_after: float | None = None,
        job_id: str | None = None,
        response: RawResponse | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = _text(code) or self.default_code
        """A word for machines, such as `not_found`."""
        self.status = status
        """The HTTP status of the answer."""
        self.request_id = _text(request_id)
        self.details = details or {}
        self.body = body
        """The body of the answer: parsed JSON, or its text."""
        self.retry_after = retry_after
        """Seconds after which the server says to come back."""
        self.job_id = _text(job_id)
        """The job that goes on, or that has ended."""
        self.response = response

    def __reduce__(self) -> tuple[Any, ...]:
        # The arguments that are given by name would be lost on the way to another process.
        return _restored, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        parts = [f"HTTP {self.status}" if self.status else "", self.code or "", self.request_id or ""]
        context = ", ".join(filter(None, parts))
        return f"{self.message} ({context})" if context else self.message


def _text(value: Any) -> str | None:
    """A text that the server sent; None if it sent anything else."""
    return value if isinstance(value, str) else None


def _restored(kind: type[DevoraError], arguments: tuple[Any, ...], state: dict[str, Any]) -> DevoraError:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(state)
    return error


class ConfigurationError(DevoraError):
    """The client cannot be made: no API key, or a base URL that is none."""


class APIConnectionError(DevoraError):
    """The server did not answer, or its answer broke off."""

    default_code = "connection_error"
    retryable = True
    """Whether to try again may help; not with an unknown certificate, or a URL that is none."""
    sent = False
    """Whether the request may have reached the server."""


class APITimeoutError(APIConnectionError, TimeoutError):
    """The time of the call ran out before the server answered."""

    default_code = "timeout"


class APIStatusError(DevoraError):
    """The server answered with an error."""

    should_retry: bool | None = None
    """What the server says of another attempt (`x-should-retry`), if it says anything."""


class InvalidRequestError(APIStatusError):
    """The server refuses the request, or the state of the job forbids it. Nothing was changed."""

    @property
    def field(self) -> str | None:
        """The field that is wrong."""
        field = self.details.get("field")
        return field if isinstance(field, str) else None


class AuthenticationError(APIStatusError):
    """No API key, or not a valid one."""


class PermissionDeniedError(APIStatusError):
    """The key lacks a scope."""


class NotFoundError(APIStatusError):
    """There is no such thing for this caller."""


class ConflictError(APIStatusError):
    """Another request was faster."""


class RateLimitError(APIStatusError):
    """A limit of the key's tier is reached; `retry_after` says when to come back."""


class ServerError(APIStatusError):
    """A fault of the server, or an answer that is not one of the API; quote the request id."""


class ServiceUnavailableError(ServerError):
    """The server, or a part of it, is away."""


class JobFailed(DevoraError):
    """The job ended without a result. `job` is the job in full, `error` why; `code` is the error's type."""

    default_code = "job_failed"

    def __init__(self, message: str, *, job: JobDetail, error: JobError | None, **more: Any) -> None:
        super().__init__(message, code=error.type if error else None, job_id=job.job_id, **more)
        self.job = job
        self.error = error


class JobCancelled(JobFailed):
    """The job was cancelled."""

    default_code = "job_cancelled"


class JobTimeoutError(DevoraError, TimeoutError):
    """The time to wait for a job ran out. The job, `job_id`, goes on."""

    default_code = "timeout"


class WebhookVerificationError(DevoraError, ValueError):
    """A delivery is not genuine, or too old."""

    default_code = "webhook_verification_failed"


UNEXPECTED = "unexpected_response"
"""The code of an answer that is not one of the API."""
UNEXPECTED_REDIRECT = "unexpected_redirect"
# The words of streams and of the chat socket, which have no HTTP status.
_BY_CODE: dict[str, int] = {
    "invalid_request": 400,
    "authentication_failed": 401,
    "forbidden": 403,
    "not_found": 404,
    "rate_limit_exceeded": 429,
    "service_unavailable": 503,
    "VALIDATION_ERROR": 400,
    "AUTHENTICATION_ERROR": 401,
    "RATE_LIMIT_ERROR": 429,
    "INTERNAL_ERROR": 500,
    "SERVICE_UNAVAILABLE": 503,
    "TIMEOUT_ERROR": 504,
}
_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: NotFoundError,
    409: ConflictError,
    410: NotFoundError,
    413: InvalidRequestError,
    415: InvalidRequestError,
    422: InvalidRequestError,
    429: RateLimitError,
    503: ServiceUnavailableError,
}


def status_error(response: RawResponse) -> APIStatusError:
    """The error of an answer. A redirect is one as well: to follow it could carry the key elsewhere."""
    body = response.parsed_body()
    if response.status < 400:
        target = response.headers.get("location")
        return unexpected(
            f"The server redirects{f' to {target}' if target else ''}: use that address as the base URL",
            response,
            code=UNEXPECTED_REDIRECT,
        )
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        error = body if isinstance(body, dict) else {}
    code, message = error.get("code") or error.get("error"), error.get("message") or error.get("detail")
    details = error.get("details")
    details = details if isinstance(details, dict) else {}
    fallback = f"The server answered {response.status} {response.reason}".rstrip()
    fault = _BY_STATUS.get(response.status, ServerError)(
        message if isinstance(message, str) else fallback,
        code=code,
        status=response.status,
        request_id=_text(error.get("request_id")) or response.request_id,
        details=details,
        body=body,
        retry_after=response.retry_after(error.get("retry_after")),
        job_id=details.get("job_id"),
        response=response,
    )
    fault.should_retry = response.should_retry
    return fault


def unexpected(message: str, response: RawResponse, code: str = UNEXPECTED) -> ServerError:
    """The error of an answer that is not one of the API, such as the page of a proxy."""
    return ServerError(
        message,
        code=code,
        status=response.status,
        request_id=response.request_id,
        body=response.parsed_body(),
        response=response,
    )


def too_large(what: str) -> ServerError:
    """The error of an answer, or of a part of one, that no memory should hold."""
    return ServerError(f"{what} is larger than 64 MiB", code=UNEXPECTED)


def frame_error(error: dict[str, Any], request_id: str | None) -> APIStatusError:
    """The error of a frame of a stream or a socket."""
    code = error.get("code")
    status = _BY_CODE.get(str(code), 500)
    details = error.get("details")
    details = details if isinstance(details, dict) else {}
    return _BY_STATUS.get(status, ServerError)(
        str(error.get("message", "")),
        code=code,
        request_id=request_id,
        details=details,
        body=error,
        retry_after=sound_seconds(details.get("retry_after", error.get("retry_after"))),
        job_id=details.get("job_id"),
    )
