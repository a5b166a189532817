"""Texts and names of the native OpenAPI document that are not in its routes: introduction, tags, headers, schemas."""

from typing import Any, Final

INTRODUCTION: Final = """\
Start jobs of agents and workflows, follow them, and get their output. A job survives restarts of every process.

## Authentication
Send an API key as `Authorization: Bearer YOUR_API_KEY`. Each operation needs one scope, which is in its `security`;
`admin:*` includes all scopes. An operation without a scope takes any valid key.

## Errors
Every error is `{"error": {"code", "message", "details", "request_id", "timestamp"}}`. `code` is for programs, `message`
for people. `x-should-retry` says whether the same request may succeed later, and `Retry-After` after how many seconds.
New codes may be added: treat an unknown code by its status.

## Idempotency
Send `Idempotency-Key` with a POST, and repeat the request with the same key if its answer is lost. The repeated request
gets the first answer, with `Idempotency-Replayed: true`, for at least 24 hours. Another request with the same key is
refused with 422.

## Limits
Every answer has `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`. A caller over a limit gets 429
with `Retry-After`. `GET /v1/limits` returns the caller's limits and usage.

## Lists
Lists return `next` and `has_more`. Pass `next` as `after` to get the next page. No row is skipped or repeated
when rows are added meanwhile.

## Streams
`GET /v1/jobs/{job_id}/events` with `Accept: text/event-stream` streams the events of a job until it ends. After a
disconnect, send the last `id` as `Last-Event-ID` or `after`. `WS /v1/ws` has the events of many jobs on one connection.

## Webhooks
A webhook receives a signed POST when a job ends. Verify `webhook-signature` as Standard Webhooks describes it.

Clients must ignore fields that they do not know: new fields are added without a new version.
"""

TAGS: Final = [
    {"name": "agents", "description": "The agents of this installation, and jobs of one agent."},
    {"name": "workflows", "description": "The workflows of this installation, and jobs of one workflow."},
    {"name": "jobs", "description": "State, output, events, controls and questions of jobs."},
    {"name": "metrics", "description": "Jobs, tokens, costs and times over a period."},
    {"name": "schedules", "description": "Schedules, which start jobs at their times."},
    {"name": "webhooks", "description": "Webhooks and their deliveries."},
    {"name": "limits", "description": "The caller's limits and usage."},
    {"name": "auth", "description": "API keys, and the caller."},
    {"name": "users", "description": "Users that sign in with a name and a password."},
    {"name": "audit", "description": "Changes that callers made."},
    {"name": "operations", "description": "Probes and metrics of the process."},
]

_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "X-Request-ID": {"description": "Id of the request. Quote it when you report a fault.", "schema": _TEXT},
    "X-RateLimit-Limit": {"description": "Requests that the window allows.", "schema": {"type": "integer"}},
    "X-RateLimit-Remaining": {"description": "Requests that remain in the window.", "schema": {"type": "integer"}},
    "X-RateLimit-Reset": {"description": "End of the window, in Unix seconds.", "schema": _COUNT},
    "RateLimit": {"description": "Policy, remaining requests (`r`) and seconds until reset (`t`).", "schema": _TEXT},
    "RateLimit-Policy": {"description": "Policy, quota (`q`) and window in seconds (`w`).", "schema": _TEXT},
    "Retry-After": {"description": "Seconds to wait before another try.", "schema": {"type": "integer", "minimum": 1}},
    "x-should-retry": {
        "description": "Whether the same request may succeed later. Absent if that is not known.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
    "Idempotency-Replayed": {
        "description": "Present if this is the answer to an earlier request with the same `Idempotency-Key`.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Location": {"description": "Path of what was created.", "schema": {"type": "string", "format": "uri-reference"}},
}
LOCATED: Final = frozenset({"execute_agent", "run_workflow", "retry_job", "register_webhook"})
"""Operations whose answer has a `Location`."""

EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "execute_agent": {"input": {"task_type": "prd", "context": "A shop for tea"}, "async": True},
    "run_workflow": {"input": {"topic": "A shop for tea"}, "config": {"stop_on_error": False}, "async": True},
    "cancel_job": {"reason": "No longer needed"},
    "approve_step": {"step": "review", "note": "Looks good"},
    "answer_question": {"step": "address", "values": {"street": "Long Street 5"}, "note": "Ring twice"},
    "signal_job": {"input": {"text": "fragile"}},
    "create_schedule": {
        "workflow_id": "market_research",
        "input": {"topic": "A shop for tea"},
        "spec": {"cron": ["0 6 * * MON-FRI"], "time_zone": "Europe/Paris"},
    },
    "backfill_schedule": {"start_at": "2026-11-25T00:00:00Z", "end_at": "2026-11-26T00:00:00Z"},
    "register_webhook": {"url": "https://example.com/hook", "events": ["job.completed", "job.failed"]},
    "issue_key": {"name": "Newsroom", "scopes": ["workflows:run", "jobs:read"], "tier": "free"},
}
"""Request bodies, by operation."""

_OF_ERRORS: Final = {"request_id": "req_8a8992788a975a2ac98a", "timestamp": "2024-12-09T10:30:00Z"}
ERROR_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "401": {
        "error": {
            "code": "authentication_failed",
            "message": "The API key is not valid",
            "details": {},
            **_OF_ERRORS,
        }
    },
    "429": {
        "error": {
            "code": "rate_limit_exceeded",
            "message": "Rate limit exceeded. Retry after 12 seconds.",
            "retry_after": 12,
            "details": {"limit": "requests_per_minute", "retry_after": 12, "allowed": 60},
            **_OF_ERRORS,
        }
    },
}
"""Errors, by status."""

ANSWER_EXAMPLES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("get_output", "200"): {
        "status": "success",
        "output": "# A shop for tea",
        "deliverables": [
            {
                "path": "prd.md",
                "media_type": "text/markdown",
                "content": "# A shop for tea",
                "step": "product_manager",
                "agent": "product_manager",
                "artifact": None,
            }
        ],
        "metadata": {"model": "openai:gpt-5-mini", "agent": "product_manager"},
    },
    ("execute_agent", "202"): {
        "job_id": "job_1234567890",
        "status": "queued",
        "agent_id": "product_manager",
        "created_at": "2024-12-09T10:30:00Z",
        "eta_seconds": 30,
        "webhook_url": None,
        "links": {
            "self": "/v1/jobs/job_1234567890",
            "events": "/v1/jobs/job_1234567890/events",
            "output": "/v1/jobs/job_1234567890/output",
            "cancel": "/v1/jobs/job_1234567890/cancel",
        },
    },
}
"""Answers, by operation and status."""

SCHEMA_NAMES: Final = {
    "AgentHealthBody": "AgentHealth",
    "AgentMetricsBody": "AgentMetrics",
    "Alive": "Liveness",
    "AnswerAccepted": "AnswerResult",
    "AnswerBody": "AnswerRequest",
    "AnswerDetail": "Answer",
    "AttemptBody": "Attempt",
    "AuditBody": "AuditEntry",
    "BackfillBody": "BackfillRequest",
    "BackfilledBody": "BackfillResult",
    "CalendarBody": "CalendarRequest",
    "CalendarView": "ScheduleCalendar",
    "Auth": "SocketAuth",
    "AuthOk": "SocketAuthOk",
    "Averages": "AgentAverages",
    "CallBody": "AgentCall",
    "ToolCallBody": "ToolCall",
    "CancelBody": "CancelRequest",
    "Cancelled": "CancelResult",
    "ChangeBody": "KeyChange",
    "ChangeScheduleBody": "ScheduleChange",
    "ChangeWebhookBody": "WebhookChange",
    "ConfigBody": "JobConfig",
    "CheckBody": "Check",
    "ControlBody": "ControlRequest",
    "Controlled": "ControlResult",
    "DecisionBody": "DecisionRequest",
    "DeliveryAttemptBody": "DeliveryAttempt",
    "DeliveryBody": "Delivery",
    "DeltaBody": "TextDelta",
    "DeltaData": "TextDeltaData",
    "ErrorBody": "ErrorDetail",
    "ErrorEnvelope": "Error",
    "ErrorFrame": "SocketError",
    "EventFrame": "SocketEvent",
    "EventBody": "JobEvent",
    "Finished": "AgentFinished",
    "IntervalBody": "IntervalRequest",
    "IntervalView": "ScheduleInterval",
    "IssueBody": "KeyRequest",
    "Jobs": "JobLimit",
    "JobUpdate": "SocketJobUpdate",
    "KeyBody": "ApiKey",
    "KeyIssued": "IssuedKey",
    "LimitsBody": "Limits",
    "MetricsBody": "MetricsOverview",
    "Metrics": "JobMetrics",
    "NewScheduleBody": "ScheduleRequest",
    "NoteBody": "NoteRequest",
    "Overlap": "OverlapPolicy",
    "Ping": "SocketPing",
    "Pong": "SocketPong",
    "RangeBody": "RangeRequest",
    "RangeView": "ScheduleRange",
    "Ready": "Readiness",
    "QuestionBody": "Question",
    "ReasonBody": "Reason",
    "RunConfigView": "RunConfig",
    "RunCounts": "ScheduleCounts",
    "ScheduleBody": "Schedule",
    "ScheduledRunBody": "ScheduledRun",
    "SpecBody": "SpecRequest",
    "SpecView": "ScheduleSpec",
    "TriggerBody": "TriggerRequest",
    "TriggeredBody": "TriggerResult",
    "RegisterBody": "WebhookRequest",
    "Requests": "RequestLimit",
    "RetryBody": "RetryRequest",
    "RotateBody": "KeyRotation",
    "RotateSecretBody": "SecretRotation",
    "SignalBody": "SignalRequest",
    "StartBody": "StartRequest",
    "StepBody": "WorkflowStep",
    "Subscribe": "SocketSubscribe",
    "Subscribed": "SocketSubscribed",
    "Summary": "MetricsSummary",
    "Tokens": "TokenLimit",
    "Unsubscribe": "SocketUnsubscribe",
    "Unsubscribed": "SocketUnsubscribed",
    "UserBody": "UserRequest",
    "UserShown": "User",
    "WebhookBody": "Webhook",
    "WebhookRegistered": "RegisteredWebhook",
    "WebhookRotated": "RotatedWebhook",
}
"""Public names of schemas, by class."""
