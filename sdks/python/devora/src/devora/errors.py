"""Every error that the library raises.

`DevoraError` is the root. An answer of the server that is an error is an `APIStatusError`, one class for each status;
no answer is an `APIConnectionError`. `JobFailed`, `JobCancelled` and `JobTimeoutError` are about a job that was
waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devora._responses import RawResponse
    from devora.models import JobDetail, JobError


class DevoraError(Exception):
    """Anything that goes wrong. Fields that do not apply are None."""

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
        self.code = code
        """A word for machines, such as `not_found`."""
        self.status = status
        """The HTTP status of the answer."""
        self.request_id = request_id
        self.details = details or {}
        self.body = body
        """The body of the answer: parsed JSON, or its text."""
        self.retry_after = retry_after
        """Seconds after which the server says to come back."""
        self.job_id = job_id
        """The job that goes on, or that has ended."""
        self.response = response

    def __reduce__(self) -> tuple[Any, ...]:
        # The arguments that are given by name would be lost on the way to another process.
        return _restored, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        parts = [f"HTTP {self.status}" if self.status else "", self.code or "", self.request_id or ""]
        context = ", ".join(filter(None, parts))
        return f"{self.message} ({context})" if context else self.message


def _restored(kind: type[DevoraError], arguments: tuple[Any, ...], state: dict[str, Any]) -> DevoraError:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(state)
    return error


class ConfigurationError(DevoraError):
    """The client cannot be made: no API key, or a base URL that is none."""


class APIConnectionError(DevoraError):
    """The server did not answer, or its answer broke off."""

    retryable = True
    """Whether to try again may help; not with an unknown certificate, or a URL that is none."""


class APITimeoutError(APIConnectionError, TimeoutError):
    """The time of the call ran out before the server answered."""


class APIStatusError(DevoraError):
    """The server answered with an error."""


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
    """A fault of the server; quote the request id."""


class ServiceUnavailableError(ServerError):
    """The server, or a part of it, is away."""


class JobFailed(DevoraError):
    """The job ended without a result. `job` is the job in full, `error` why; `code` is the error's type."""

    def __init__(self, message: str, *, job: JobDetail, error: JobError | None, **more: Any) -> None:
        super().__init__(message, code=error.type if error else None, job_id=job.job_id, **more)
        self.job = job
        self.error = error


class JobCancelled(JobFailed):
    """The job was cancelled."""


class JobTimeoutError(DevoraError, TimeoutError):
    """The time to wait for a job ran out. The job, `job_id`, goes on."""


class WebhookVerificationError(DevoraError, ValueError):
    """A delivery is not genuine, or too old."""


# The words of the chat socket, which has no HTTP status.
_BY_CODE: dict[str, int] = {
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
    """The error of an answer."""
    body = response.parsed_body()
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        error = body if isinstance(body, dict) else {}
    code, message = error.get("code") or error.get("error"), error.get("message") or error.get("detail")
    details = error.get("details")
    details = details if isinstance(details, dict) else {}
    job_id = details.get("job_id")
    fallback = f"The server answered {response.status} {response.reason}".rstrip()
    return _BY_STATUS.get(response.status, ServerError)(
        message if isinstance(message, str) else fallback,
        code=code if isinstance(code, str) else None,
        status=response.status,
        request_id=error.get("request_id") or response.request_id,
        details=details,
        body=body,
        retry_after=response.retry_after(error.get("retry_after")),
        job_id=job_id if isinstance(job_id, str) else None,
        response=response,
    )


def frame_error(error: dict[str, Any], request_id: str | None) -> APIStatusError:
    """The error of a socket's frame."""
    status = _BY_CODE.get(str(error.get("code")), 500)
    details = error.get("details")
    details = details if isinstance(details, dict) else {}
    retry_after = details.get("retry_after")
    return _BY_STATUS.get(status, ServerError)(
        str(error.get("message", "")),
        code=error.get("code"),
        request_id=request_id,
        details=details,
        body=error,
        retry_after=retry_after if isinstance(retry_after, int | float) else None,
        job_id=details.get("job_id"),
    )
