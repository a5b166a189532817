"""What the settings come to: shown without secrets (S-019), and judged for production (S-020)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from orchestrator.domain.findings import Finding
from orchestrator.domain.limits import SurfaceLimit
from orchestrator.services.access.rate_limits import RequestLimits
from orchestrator.services.reports.readiness import Readiness
from orchestrator.settings import Settings

SHORTEST_PASSWORD: Final = 12
_FEWEST_CHARACTERS: Final = 6
_COMMON: Final = ("password", "passw0rd", "123456", "qwerty", "letmein", "changeme", "change-me", "orchestrator")
_USER_INFO: Final = re.compile(r"(?<=://)\S*@")
_QUERY: Final = re.compile(r"\?[^\s,]*")
_REMEDY: Final = {
    "temporal": "Start Temporal, or set TEMPORAL_ADDRESS to where it answers",
    "database": "Start the index database, or correct ORCHESTRATOR_DATABASE_URL",
    "worker": "Start a worker: orchestrator worker",
}


@dataclass(frozen=True, slots=True)
class DeploymentReport:
    """All checks. `score` is the percent of them that passed, with one decimal."""

    findings: Sequence[Finding]

    @property
    def score(self) -> float:
        """Percent of checks that passed."""
        return round(100 * sum(finding.ok for finding in self.findings) / len(self.findings), 1)

    @property
    def recommendations(self) -> list[str]:
        """What to do for each check that did not pass."""
        return [finding.remedy for finding in self.findings if finding.remedy and not finding.ok]


class Deployment:
    """How this process was set up."""

    def __init__(self, settings: Settings, readiness: Readiness, limits: RequestLimits) -> None:
        self._settings = settings
        self._readiness = readiness
        self._limits = limits

    def configuration(self) -> dict[str, Any]:
        """Every setting by name. Of a secret only whether it is set; URLs come without user, password and query."""
        fields = Settings.model_fields
        secret = {name for name, field in fields.items() if is_secret(field)}
        plain = self._settings.model_dump(mode="json", exclude=secret)
        plain |= {
            "database_url": self._settings.index_url(),
            "tiers": {tier: one.model_dump() for tier, one in self._settings.tier_limits().items()},
            "surface_limits": {name: one.model_dump() for name, one in self._settings.surface_windows().items()},
        }
        shown = {name: shown_value(value) for name, value in plain.items()}
        given = {name: getattr(self._settings, name) is not None for name in sorted(secret)}
        return {"settings": shown, "secrets_configured": given}

    async def report(self, *, encrypted: bool) -> DeploymentReport:
        """Whether this can go into production. `encrypted` is whether the request for it came over TLS."""
        findings = await self._readiness.checks()
        return DeploymentReport(
            [
                *(_with_remedy(finding) for finding in findings),
                *self._durability(),
                await self._sharing(),
                *self._exposure(encrypted=encrypted),
                *self._work(),
            ]
        )

    def _durability(self) -> Iterator[Finding]:
        postgres = self._settings.index_url().startswith("postgresql")
        yield _finding(
            "postgresql",
            postgres,
            "the index is in PostgreSQL" if postgres else "the index is in SQLite, in one file of one machine",
            "Set ORCHESTRATOR_DATABASE_URL to a PostgreSQL database",
        )
        kept = self._settings.secret_key is not None
        yield _finding(
            "secret_key",
            kept,
            "a secret key is set" if kept else "the secret key was made here and lies in the data directory",
            "Set ORCHESTRATOR_SECRET_KEY, the same for every process, and keep a copy in a safe place",
        )

    async def _sharing(self) -> Finding:
        message = "no Redis: every process counts requests for itself"
        ok = False
        if self._settings.redis_url is not None:
            ok = (await self._limits.admit_surface(SurfaceLimit.ORCHESTRATION, "deployment readiness")).counted
            message = "Redis counts requests for all processes" if ok else "Redis does not answer"
        return _finding("redis", ok, message, "Set ORCHESTRATOR_REDIS_URL to a Redis that every process can reach")

    def _exposure(self, *, encrypted: bool) -> Iterator[Finding]:
        yield _finding(
            "tls",
            encrypted,
            "this request came over TLS" if encrypted else "this request came without TLS",
            "Put a load balancer with TLS in front, and let it set X-Forwarded-Proto",
        )
        hosts = self._settings.trusted_hosts.strip() != "*"
        yield _finding(
            "trusted_hosts",
            hosts,
            "only known host names are answered" if hosts else "any host name is answered",
            "Set ORCHESTRATOR_TRUSTED_HOSTS to the names of this API",
        )
        public = self._settings.public_sessions is True
        yield _finding(
            "public_sessions",
            not public,
            "sessions start without a credential" if public else "every session needs a credential",
            "Set ORCHESTRATOR_PUBLIC_SESSIONS to false: then /execute-workflow and its siblings take a key",
        )
        named = self._settings.cors_origins.strip()
        allowed = {"": "pages of this origin only may call", "*": "pages of any origin may call"}
        yield _finding(
            "cors_origins",
            named != "*",
            allowed.get(named, "pages of named origins only may call"),
            "Set ORCHESTRATOR_CORS_ORIGINS to the origins of your own pages",
        )
        given = self._settings.admin_password
        weakness = None if given is None else _weakness(given.get_secret_value(), self._settings.admin_username or "")
        yield _finding(
            "admin_password",
            weakness is None,
            f"the bootstrap user's password {weakness}" if weakness else "no weak bootstrap password is set",
            f"Set ORCHESTRATOR_ADMIN_PASSWORD to at least {SHORTEST_PASSWORD} characters that nobody guesses, "
            "or unset it and add users",
        )
        private = self._settings.webhook_allow_private
        yield _finding(
            "webhook_targets",
            not private,
            "webhooks may reach private addresses" if private else "webhooks reach public addresses only",
            "Unset ORCHESTRATOR_WEBHOOK_ALLOW_PRIVATE",
        )

    def _work(self) -> Iterator[Finding]:
        given = self._settings
        model = given.has_model_provider()
        yield _finding(
            "model_provider",
            model,
            "a model provider is configured" if model else "no model provider: answers are offline drafts",
            "Set OPENAI_API_KEY, ANTHROPIC_API_KEY or ORCHESTRATOR_LLM_BASE_URL",
        )
        bounded = given.job_timeout is not None
        yield _finding(
            "job_timeout",
            bounded,
            f"a job ends after {given.job_timeout:g} seconds" if bounded else "a job may run for ever",
            "Set ORCHESTRATOR_JOB_TIMEOUT to the longest time that a job may take, in seconds",
        )


def _weakness(password: str, username: str) -> str | None:
    """Why somebody might guess a password, or None."""
    lower = password.lower()
    if len(password) < SHORTEST_PASSWORD:
        return "is short"
    if len(set(lower)) < _FEWEST_CHARACTERS:
        return "repeats a few characters"
    if any(word in lower for word in (*_COMMON, *([username.lower()] if username else []))):
        return "holds the user's name or a word that everybody tries first"
    return None


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting's value must never be shown: its type says so."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def shown_value(value: Any) -> Any:
    """A setting as it may be seen: without what a URL carries beside its address."""
    return _QUERY.sub("", _USER_INFO.sub("", value)) if isinstance(value, str) and "://" in value else value


def _finding(check: str, ok: bool, message: str, remedy: str) -> Finding:
    return Finding.of(check, ok=ok, message=message, remedy=remedy)


def _with_remedy(finding: Finding) -> Finding:
    remedy = _REMEDY.get(finding.check, f"See why this does not answer: {finding.check}")
    return replace(finding, remedy=remedy)
