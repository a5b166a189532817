"""The tables of the job index. Every change here needs a migration."""

from enum import StrEnum
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Enum,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TextClause,
    func,
    literal_column,
    text,
)

from orchestrator.domain.ids import ID_END_LENGTH, JobKind
from orchestrator.domain.jobs import FAILED_STATES, AttemptStatus, JobState, ReasonCode, StartState
from orchestrator.domain.limits import Tier
from orchestrator.domain.webhooks import DeliveryState
from orchestrator.storage.moments import UtcDateTime
from orchestrator.storage.packed import PackedJson


def _enum(values: type[StrEnum], length: int = 16) -> Enum:
    return Enum(
        values, native_enum=False, length=length, values_callable=lambda members: [member.value for member in members]
    )


def _partial(name: str, where: TextClause, *columns: str) -> Index:
    """A partial index on the rows that match `where`."""
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


# JSON, not JSONB: no query looks inside, and JSONB reorders keys and refuses the NUL that a model may write.
_JSON: Final = JSON(none_as_null=True)

# A row is finished once it has the final snapshot. The reconciler completes an outcome without one from history.
_UNFINISHED: Final = text("snapshot IS NULL")

# Few jobs have a subject: the agent that a user's execution runs, or the conversation of a turn.
_HAS_SUBJECT: Final = text("subject IS NOT NULL")

# The list of jobs that need attention repeats this text exactly, so that it uses this partial index.
_FAILED: Final = ", ".join(f"'{state}'" for state in sorted(FAILED_STATES))
IS_FAILED: Final = text(f"(jobs.state || '') IN ({_FAILED})")
_IS_FAILED: Final = text(f"(state || '') IN ({_FAILED})")
_HAS_REASON: Final = text("reason_code IS NOT NULL")
_ASKS_SOME: Final = text("reason_people IS NOT NULL")

# Few jobs are retries.
_IS_RETRY: Final = text("retry_of IS NOT NULL")
_IN_LINE: Final = text("retry_root IS NOT NULL")

# Pruning removes the events of old jobs before the jobs.
_HAS_EVENTS: Final = text("events IS NOT NULL")

# Metrics read ended rows from covering indices, which are written once per row, at its end.
_CLOSED: Final = text("closed_at IS NOT NULL")
_COMPLETED: Final = text("completed_at IS NOT NULL")
_HAS_COST: Final = text("cost IS NOT NULL")
_NOT_COMPLETED: Final = text("completed_at IS NULL")
_PENDING: Final = text("state = 'pending'")

metadata: Final = MetaData()

jobs: Final = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", _enum(JobKind), nullable=False),
    Column("definition", String, nullable=False),
    Column("name", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("state", _enum(JobState), nullable=False),
    Column("progress", Integer, nullable=False),
    Column("job_input", PackedJson, nullable=False),
    Column("webhook_url", String),
    Column("subject", String),
    Column("request_hash", String, nullable=False),
    Column("start_state", _enum(StartState), nullable=False),
    Column("run_id", String),
    Column("namespace_id", String),
    Column("total_calls", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("closed_at", UtcDateTime),
    Column("error", _JSON),
    Column("result", PackedJson),
    Column("snapshot", PackedJson),
    Column("events", PackedJson),
    Column("checked_at", UtcDateTime),
    # When the job ran again after an end that webhooks were notified of.
    Column("reopened_at", UtcDateTime),
    Column("checked_history", String),
    # The job that this one retries, the first job of that line of retries, and the number of reused calls.
    Column("retry_of", String),
    Column("retry_root", String),
    Column("reused_calls", Integer, nullable=False, server_default="0"),
    # Reserved from the owner's month for the planned calls. The end of the job frees the unused rest.
    Column("reserved_tokens", BigInteger, nullable=False, server_default="0"),
    # Why an open job waits, since when, and when that was seen last.
    Column("reason_code", _enum(ReasonCode, 32)),
    Column("reason_message", String),
    Column("reason_since", UtcDateTime),
    Column("reason_seen", UtcDateTime),
    # Whom its open questions are restricted to, one a line.
    Column("reason_people", String),
    Column("labels", String),  # one line each
    Column("cost", Float),  # of all attempts, once the job has ended
    # Lists are filtered, ordered and counted in one of these indices. Rows are read for one page only.
    Index("ix_jobs_created", "created_at", "id"),
    Index("ix_jobs_state_created", "state", "created_at", "id"),
    Index("ix_jobs_owner_created", "owner", "created_at", "id"),
    Index("ix_jobs_owner_state_created", "owner", "state", "created_at", "id"),
    Index("ix_jobs_definition_created", "definition", "kind", "created_at", "id", "state"),
    Index("ix_jobs_owner_definition_created", "owner", "definition", "kind", "created_at", "id", "state"),
    _partial("ix_jobs_subject_created", _HAS_SUBJECT, "subject", "created_at", "id", "owner", "definition", "state"),
    _partial(
        "ix_jobs_owner_subject_created", _HAS_SUBJECT, "owner", "created_at", "id", "subject", "definition", "state"
    ),
    _partial("ix_jobs_retry_of", _IS_RETRY, "retry_of"),
    _partial("ix_jobs_retry_root", _IN_LINE, "retry_root", "state", "created_at"),
    _partial("ix_jobs_failed", _IS_FAILED, "created_at", "id", "owner", "state", "retry_root", "kind", "definition"),
    _partial("ix_jobs_reason", _HAS_REASON, "reason_code", "created_at", "id", "owner", "state", "kind", "definition"),
    _partial("ix_jobs_reason_people", _ASKS_SOME, "created_at", "id"),
    _partial("ix_jobs_unfinished", _UNFINISHED, "created_at"),
    _partial("ix_jobs_events", _HAS_EVENTS, "closed_at"),
    _partial(
        "ix_jobs_closed", _CLOSED, "closed_at", "kind", "definition", "state", "owner", "created_at", "started_at", "id"
    ),
    _partial("ix_jobs_owner_closed", _CLOSED, "owner", "closed_at"),
    _partial("ix_jobs_cost", _HAS_COST, "state", "cost", "id", "owner", "kind", "definition", "created_at"),
    _partial("ix_jobs_owner_cost", _HAS_COST, "owner", "state", "cost", "id", "kind", "definition", "created_at"),
    _partial("ix_jobs_definition_cost", _HAS_COST, "definition", "state", "cost", "id", "owner", "kind", "created_at"),
)

# A query repeats this expression, with its numbers as literals, so that it uses the index.
id_end: Final = func.substr(jobs.c.id, func.length(jobs.c.id) - literal_column(str(ID_END_LENGTH - 1)))
Index("ix_jobs_id_end", id_end)

# No foreign key to jobs, here and below: a missing row must not fail a running job.
attempts: Final = Table(
    "attempts",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("step", String, primary_key=True),
    Column("agent", String, primary_key=True),
    Column("call", Integer, primary_key=True, server_default="1"),
    Column("run_id", String, primary_key=True, server_default=""),
    Column("attempt", Integer, primary_key=True),
    Column("status", _enum(AttemptStatus), nullable=False),
    Column("started_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    Column("error", _JSON),
    Column("model", String),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("cost", Float),
    Column("provider_cost", Float),
    Column("owner", String),
    # The tokens that the attempt may use while it runs, and the deadline of its call.
    Column("claimed_tokens", BigInteger),
    Column("claimed_until", UtcDateTime),
    Index("ix_attempts_agent_started", "agent", "started_at"),
    Index("ix_attempts_owner_completed", "owner", "completed_at"),
    _partial(
        "ix_attempts_agent_completed",
        _COMPLETED,
        "agent",
        "completed_at",
        "status",
        "owner",
        "started_at",
        "prompt_tokens",
        "completion_tokens",
        "cost",
    ),
    _partial("ix_attempts_completed", _COMPLETED, "completed_at"),
    _partial("ix_attempts_lost", _NOT_COMPLETED, "started_at"),
)

artifacts: Final = Table(
    "artifacts",
    metadata,
    Column("id", String, primary_key=True),
    Column("job_id", String, nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("body", PackedJson, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
)

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String, nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("scopes", _JSON, nullable=False),
    Column("tier", _enum(Tier)),
    Column("created_by", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
)

# The secrets of a key: the current one and, until it expires, the previous one. `digest` is keyed.
api_key_secrets: Final = Table(
    "api_key_secrets",
    metadata,
    Column("prefix", String, primary_key=True),
    Column("key_id", String, nullable=False, index=True),
    Column("digest", String, nullable=False),
    Column("digest_key", String),  # Check value of the secret key; null for the first key of the installation.
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
)

webhooks: Final = Table(
    "webhooks",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String, nullable=False, index=True),
    Column("url", String, nullable=False),
    Column("events", _JSON, nullable=False),
    Column("secret", String, nullable=False),  # Sealed, like the previous one.
    Column("previous_secret", String),
    Column("previous_until", UtcDateTime),
    Column("disabled_at", UtcDateTime),
    Column("disabled_reason", String),
    Column("key_id", String),  # The API key that registered it; null for users and the administrator.
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

# Written in the same transaction as their cause, so that a crash loses none.
deliveries: Final = Table(
    "deliveries",
    metadata,
    Column("id", String, primary_key=True),
    Column("webhook_id", String),
    Column("owner", String, nullable=False),
    Column("job_id", String),
    Column("event", String, nullable=False),
    Column("url", String, nullable=False),
    Column("message_id", String, nullable=False),
    Column("data", _JSON),
    Column("state", _enum(DeliveryState), nullable=False),
    Column("started", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("next_attempt_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    Index("ix_deliveries_webhook", "webhook_id", "created_at", "id", "state"),
    Index("ix_deliveries_job", "job_id"),
    _partial("ix_deliveries_pending", _PENDING, "created_at"),
    _partial("ix_deliveries_completed", _COMPLETED, "completed_at"),
    Index("ix_deliveries_event", "event", "state"),
)

delivery_attempts: Final = Table(
    "delivery_attempts",
    metadata,
    Column("delivery_id", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("verdict", String, nullable=False, index=True),
    Column("status", Integer),
    Column("error", String),
    Column("duration", Float, nullable=False),
)

users: Final = Table(
    "users",
    metadata,
    Column("username", String, primary_key=True),
    Column("id", String, nullable=False, unique=True, index=True),
    Column("password_hash", String, nullable=False),
    Column("roles", _JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# Each sign-in begins a family. Each token of a family can be used once.
refresh_tokens: Final = Table(
    "refresh_tokens",
    metadata,
    Column("id", String, primary_key=True),
    Column("family", String, nullable=False, index=True),
    Column("subject", String, nullable=False, index=True),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

# Agents of users (O-016). A deleted agent stays for the executions that name it.
user_agents: Final = Table(
    "user_agents",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("name", String, nullable=False),
    Column("description", String),
    Column("framework", String, nullable=False),
    Column("configuration", _JSON, nullable=False),
    Column("tags", _JSON, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
    Index("ix_user_agents_owner", "owner", "created_at", "id"),
)

# Saved configurations of users' agents (O-035).
configurations: Final = Table(
    "configurations",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("name", String, nullable=False),
    Column("description", String),
    Column("framework", String, nullable=False),
    Column("configuration", _JSON, nullable=False),
    Column("template", Boolean, nullable=False),
    Column("public", Boolean, nullable=False),
    Column("usage_count", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_configurations_owner", "owner", "created_at", "id"),
)

# Requests with an idempotency key: claimed while they run, then with their sealed answer. A refused one leaves no row.
# The key is stored as a digest, the request as a keyed one: its body may have a password.
idempotency_keys: Final = Table(
    "idempotency_keys",
    metadata,
    Column("owner", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("request_digest", String, nullable=False),
    Column("claim", String, nullable=False),
    Column("claimed_until", UtcDateTime, nullable=False),
    Column("answer", String),
    Column("created_at", UtcDateTime, nullable=False, index=True),
)

# Who owns a schedule. Temporal has its times and the start of its runs.
schedules: Final = Table(
    "schedules",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("kind", _enum(JobKind), nullable=False),
    Column("name", String, nullable=False),
    Column("key_id", String),
    Column("tier", _enum(Tier)),
    Column("request_hash", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_schedules_owner", "owner", "created_at", "id"),
    Index("ix_schedules_created_at", "created_at", "id"),
)

installation: Final = Table(
    "installation",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)
