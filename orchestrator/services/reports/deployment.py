"""The settings of this deployment: shown without secrets (S-019), and checked for production (S-020)."""

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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Deployment:
    """Shows and checks the settings of this process."""

    settings: Settings
    readiness: Readiness
    limits: RequestLimits

    def configuration(self) -> dict[str, Any]:
        """Every setting by name. For a secret only whether it is set; a URL without user, password and query."""
        fields = Settings.model_fields
        secret = {name for name, field in fields.items() if is_secret(field)}
        values = self.settings.model_dump(mode="json", exclude=secret)
        values |= {
            "database_url": self.settings.index_url(),
            "tiers": {tier: limits.model_dump() for tier, limits in self.settings.tier_limits().items()},
            "surface_limits": {name: window.model_dump() for name, window in self.settings.surface_windows().items()},
        }
        visible = {name: shown_value(value) for name, value in values.items()}
        configured = {name: getattr(self.settings, name) is not None for name in sorted(secret)}
        return {"settings": visible, "secrets_configured": configured}

    async def report(self, *, encrypted: bool) -> DeploymentReport:
        """Whether this deployment is ready for production. `encrypted` is whether the present request came over TLS."""
        findings = await self.readiness.checks()
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
        postgres = self.settings.index_url().startswith("postgresql")
        yield _finding(
            "postgresql",
            postgres,
            "the index is in PostgreSQL" if postgres else "the index is in SQLite, in one file of one machine",
            "Set ORCHESTRATOR_DATABASE_URL to a PostgreSQL database",
        )
        configured = self.settings.secret_key is not None
        yield _finding(
            "secret_key",
            configured,
            "a secret key is set" if configured else "the secret key was generated and is in the data directory",
            "Set ORCHESTRATOR_SECRET_KEY, the same for every process, and keep a copy in a safe place",
        )

    async def _sharing(self) -> Finding:
        message = "no Redis: every process counts requests for itself"
        ok = False
        if self.settings.redis_url is not None:
            ok = (await self.limits.admit_surface(SurfaceLimit.ORCHESTRATION, "deployment readiness")).counted
            message = "Redis counts requests for all processes" if ok else "Redis does not answer"
        return _finding("redis", ok, message, "Set ORCHESTRATOR_REDIS_URL to a Redis that every process can reach")

    def _exposure(self, *, encrypted: bool) -> Iterator[Finding]:
        yield _finding(
            "tls",
            encrypted,
            "this request came over TLS" if encrypted else "this request came without TLS",
            "Put a load balancer with TLS in front, and let it set X-Forwarded-Proto",
        )
        hosts = self.settings.trusted_hosts.strip() != "*"
        yield _finding(
            "trusted_hosts",
            hosts,
            "only known host names are answered" if hosts else "any host name is answered",
            "Set ORCHESTRATOR_TRUSTED_HOSTS to the names of this API",
        )
        public = self.settings.public_sessions is True
        yield _finding(
            "public_sessions",
            not public,
            "sessions start without a credential" if public else "every session needs a credential",
            "Set ORCHESTRATOR_PUBLIC_SESSIONS to false: then /execute-workflow and its siblings take a key",
        )
        origins = self.settings.cors_origins.strip()
        allowed = {"": "pages of this origin only may call", "*": "pages of any origin may call"}
        yield _finding(
            "cors_origins",
            origins != "*",
            allowed.get(origins, "pages of named origins only may call"),
            "Set ORCHESTRATOR_CORS_ORIGINS to the origins of your own pages",
        )
        password = self.settings.admin_password
        weakness = (
            None if password is None else _weakness(password.get_secret_value(), self.settings.admin_username or "")
        )
        yield _finding(
            "admin_password",
            weakness is None,
            f"the bootstrap user's password {weakness}" if weakness else "no weak bootstrap password is set",
            f"Set ORCHESTRATOR_ADMIN_PASSWORD to at least {SHORTEST_PASSWORD} characters that nobody can guess, "
            "or unset it and add users",
        )
        private = self.settings.webhook_allow_private
        yield _finding(
            "webhook_targets",
            not private,
            "webhooks may reach private addresses" if private else "webhooks reach public addresses only",
            "Unset ORCHESTRATOR_WEBHOOK_ALLOW_PRIVATE",
        )

    def _work(self) -> Iterator[Finding]:
        model = not self.settings.model_providers().offline
        yield _finding(
            "model_provider",
            model,
            "a model provider is configured" if model else "no model provider: answers are offline drafts",
            "Set OPENAI_API_KEY, ANTHROPIC_API_KEY or ORCHESTRATOR_LLM_BASE_URL",
        )
        job_timeout = self.settings.job_timeout
        yield _finding(
            "job_timeout",
            job_timeout is not None,
            f"a job ends after {job_timeout:g} seconds" if job_timeout is not None else "a job may run for ever",
            "Set ORCHESTRATOR_JOB_TIMEOUT to the longest time that a job may take, in seconds",
        )


def _weakness(password: str, username: str) -> str | None:
    """Why a password is easy to guess, or None."""
    lower = password.lower()
    if len(password) < SHORTEST_PASSWORD:
        return "is short"
    if len(set(lower)) < _FEWEST_CHARACTERS:
        return "repeats a few characters"
    if any(word in lower for word in (*_COMMON, *([username.lower()] if username else []))):
        return "contains the user's name or a common word"
    return None


def is_secret(field: FieldInfo) -> bool:
    """Whether the type of a setting is secret: its value must never be shown."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def shown_value(value: Any) -> Any:
    """The visible value of a setting: a URL loses user, password and query."""
    return _QUERY.sub("", _USER_INFO.sub("", value)) if isinstance(value, str) and "://" in value else value


def _finding(check: str, ok: bool, message: str, remedy: str) -> Finding:
    return Finding.of(check, ok=ok, message=message, remedy=remedy)


def _with_remedy(finding: Finding) -> Finding:
    remedy = _REMEDY.get(finding.check, f"See why this does not answer: {finding.check}")
    return replace(finding, remedy=remedy)
