"""The tables of the job index (A4); every change here comes with a migration."""

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
    text,
)

from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import FAILED_STATES, AttemptStatus, JobState, ReasonCode, StartState
from orchestrator.domain.limits import Tier
from orchestrator.domain.webhooks import DeliveryState
from orchestrator.storage.moments import UtcDateTime
from orchestrator.storage.packed import PackedJson


def _words(words: type[StrEnum], length: int = 16) -> Enum:
    return Enum(words, native_enum=False, length=length, values_callable=lambda each: [word.value for word in each])


def _some(name: str, where: TextClause, *columns: str) -> Index:
    """An index on the rows for which `where` holds."""
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


# JSON, not JSONB: nothing is searched inside, and JSONB reorders keys and refuses the NUL that a model may answer.
_JSON: Final = JSON(none_as_null=True)

# A row is finished once it holds the final snapshot; an outcome without one still has to be completed from history.
_UNFINISHED: Final = text("snapshot IS NULL")

# Few jobs are about something: executions of users' agents are about the agent.
_ABOUT: Final = text("subject IS NOT NULL")

# Lists of what needs attention say this word for word: then this index serves them, and none of the states.
_FAILED: Final = ", ".join(f"'{state}'" for state in sorted(FAILED_STATES))
IS_FAILED: Final = text(f"(jobs.state || '') IN ({_FAILED})")
_IS_FAILED: Final = text(f"(state || '') IN ({_FAILED})")
_HAS_REASON: Final = text("reason_code IS NOT NULL")

# Few jobs are retries.
_IS_RETRY: Final = text("retry_of IS NOT NULL")
_IN_LINE: Final = text("retry_root IS NOT NULL")

# Pruning removes the events of old jobs before the jobs themselves.
_WITH_EVENTS: Final = text("events IS NOT NULL")

# Metrics read what ended, from indices that hold all they need: written once per row, when it ends.
_CLOSED: Final = text("closed_at IS NOT NULL")
_COMPLETED: Final = text("completed_at IS NOT NULL")
_NOT_COMPLETED: Final = text("completed_at IS NULL")
_PENDING: Final = text("state = 'pending'")

metadata: Final = MetaData()

jobs: Final = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", _words(JobKind), nullable=False),
    Column("definition", String, nullable=False),
    Column("name", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("state", _words(JobState), nullable=False),
    Column("progress", Integer, nullable=False),
    Column("job_input", PackedJson, nullable=False),
    Column("webhook_url", String),
    Column("subject", String),
    Column("request_hash", String, nullable=False),
    Column("start_state", _words(StartState), nullable=False),
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
    # Since when the row tells of a course that replaced one that had ended, and whose end was told.
    Column("reopened_at", UtcDateTime),
    Column("checked_history", String),
    # The job that this one is to finish, the first job of that line, and how many finished calls it took over.
    Column("retry_of", String),
    Column("retry_root", String),
    Column("reused_calls", Integer, nullable=False, server_default="0"),
    # Of its owner's month, for its planned calls; what is not used is free again when the job ends.
    Column("reserved_tokens", BigInteger, nullable=False, server_default="0"),
    # Why an open job is where it is, as far as was seen: since when it is so, and when that was seen last.
    Column("reason_code", _words(ReasonCode, 32)),
    Column("reason_message", String),
    Column("reason_since", UtcDateTime),
    Column("reason_seen", UtcDateTime),
    # Every list is filtered, ordered and counted inside one of the next seven: rows are read for one page only.
    Index("ix_jobs_created", "created_at", "id"),
    Index("ix_jobs_state_created", "state", "created_at", "id"),
    Index("ix_jobs_owner_created", "owner", "created_at", "id"),
    Index("ix_jobs_owner_state_created", "owner", "state", "created_at", "id"),
    Index("ix_jobs_definition_created", "definition", "kind", "created_at", "id", "state"),
    Index("ix_jobs_owner_definition_created", "owner", "definition", "kind", "created_at", "id", "state"),
    _some("ix_jobs_subject_created", _ABOUT, "subject", "created_at", "id", "owner", "definition", "state"),
    _some("ix_jobs_owner_subject_created", _ABOUT, "owner", "created_at", "id", "subject", "definition", "state"),
    _some("ix_jobs_retry_of", _IS_RETRY, "retry_of"),
    _some("ix_jobs_retry_root", _IN_LINE, "retry_root", "state", "created_at"),
    _some("ix_jobs_failed", _IS_FAILED, "created_at", "id", "owner", "state", "retry_root", "kind", "definition"),
    _some("ix_jobs_reason", _HAS_REASON, "reason_code", "created_at", "id", "owner", "state", "kind", "definition"),
    _some("ix_jobs_unfinished", _UNFINISHED, "created_at"),
    _some("ix_jobs_events", _WITH_EVENTS, "closed_at"),
    _some(
        "ix_jobs_closed", _CLOSED, "closed_at", "kind", "definition", "state", "owner", "created_at", "started_at", "id"
    ),
    _some("ix_jobs_owner_closed", _CLOSED, "owner", "closed_at"),
)

# No foreign key to jobs, here and below: a missing index row must not fail the job that runs.
attempts: Final = Table(
    "attempts",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("step", String, primary_key=True),
    Column("agent", String, primary_key=True),
    Column("call", Integer, primary_key=True, server_default="1"),
    Column("run_id", String, primary_key=True, server_default=""),
    Column("attempt", Integer, primary_key=True),
    Column("status", _words(AttemptStatus), nullable=False),
    Column("started_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    Column("error", _JSON),
    Column("model", String),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("cost", Float),
    Column("provider_cost", Float),
    Column("owner", String),
    # What the attempt may use while it runs, and when its call's time is up.
    Column("claimed_tokens", BigInteger),
    Column("claimed_until", UtcDateTime),
    Index("ix_attempts_agent_started", "agent", "started_at"),
    Index("ix_attempts_owner_completed", "owner", "completed_at"),
    _some(
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
    _some("ix_attempts_completed", _COMPLETED, "completed_at"),
    _some("ix_attempts_lost", _NOT_COMPLETED, "started_at"),
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
    Column("tier", _words(Tier)),
    Column("created_by", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
)

# The secrets of a key: one and, until it expires, the one before it. `digest` is keyed; `prefix` finds the row.
api_key_secrets: Final = Table(
    "api_key_secrets",
    metadata,
    Column("prefix", String, primary_key=True),
    Column("key_id", String, nullable=False, index=True),
    Column("digest", String, nullable=False),
    Column("digest_key", String),  # check value of the secret key; null for the installation's first one
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
    Column("secret", String, nullable=False),  # sealed, like the one before it
    Column("previous_secret", String),
    Column("previous_until", UtcDateTime),
    Column("disabled_at", UtcDateTime),
    Column("disabled_reason", String),
    Column("key_id", String),  # the API key that answers for it; null for a user's, and for the admin's
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

# Written together with the end of its job: what has to be told survives whoever was to tell it.
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
    Column("state", _words(DeliveryState), nullable=False),
    Column("started", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("next_attempt_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    Index("ix_deliveries_webhook", "webhook_id", "created_at", "id", "state"),
    Index("ix_deliveries_job", "job_id"),
    _some("ix_deliveries_pending", _PENDING, "created_at"),
    _some("ix_deliveries_completed", _COMPLETED, "completed_at"),
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

# Each login begins a family; each token of it is used once.
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

# Agents that users made for themselves (O-016). A deleted one stays for the executions that name it.
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

# Saved configurations of such agents (O-035).
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

installation: Final = Table(
    "installation",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)
