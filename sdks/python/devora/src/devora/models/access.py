"""Keys, users, limits, the audit trail, and whether the server is ready."""

from __future__ import annotations

from datetime import datetime

from devora._model import Model


class ApiKey(Model):
    """An API key, without its secret; `prefix` is how the secret begins."""

    id: str
    name: str
    scopes: list[str]
    tier: str | None
    owner: str
    created_at: datetime
    expires_at: datetime | None
    prefix: str
    state: str
    created_by: str
    last_used_at: datetime | None
    revoked_at: datetime | None


class IssuedKey(Model):
    """An API key with its secret, `api_key`, which is shown this once. `webhook_secret` signs its jobs' callbacks."""

    id: str
    name: str
    scopes: list[str]
    tier: str | None
    owner: str
    created_at: datetime
    expires_at: datetime | None
    api_key: str
    webhook_secret: str


class Me(Model):
    """The caller. A `tier` of None has no limits."""

    id: str
    key_id: str | None
    name: str | None
    scopes: list[str]
    tier: str | None
    expires_at: datetime | None


class RequestLimit(Model):
    """Requests in any minute; `reset` is a Unix time in seconds."""

    limit: int | None
    remaining: int | None
    reset: int | None


class JobLimit(Model):
    """Jobs that are open at once."""

    limit: int | None
    used: int


class TokenLimit(Model):
    """Tokens of the calendar month. Open jobs may still use those that are `reserved`."""

    limit: int | None
    used: int
    reserved: int
    reset: datetime


class Limits(Model):
    """Limits and usage of the caller. A `limit` of None means no limit."""

    tier: str | None
    requests_per_minute: RequestLimit
    concurrent_jobs: JobLimit
    monthly_tokens: TokenLimit


class User(Model):
    """A user, without the password."""

    id: str
    username: str
    roles: list[str]
    created_at: datetime


class AuditEntry(Model):
    """One call: caller, action, address and status."""

    id: int
    at: datetime
    principal: str
    key_id: str | None
    action: str
    path: str
    status: int
    address: str | None
    request_id: str
    surface: str | None
    calls: int


class Check(Model):
    """The state of one component of the server."""

    name: str
    ok: bool
    message: str


class Readiness(Model):
    """Whether the server can run jobs, part by part."""

    ready: bool
    checks: list[Check]
