"""The parts of the installation as this surface tells them (O-044 to O-046, C-04, C-45)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from api.deps import ServiceSource
from api.dialects.agentorchestra.dashboard_models import HealthCheck, HealthChecks, HealthStatus
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.findings import Finding
from orchestrator.services.container import Services

VERSION: Final = "1.0.0"
_NO_MAIL: Final = "This product sends no email"
_NO_REDIS: Final = "No Redis is configured: every process counts requests for itself"
_STORED: Final = "Large results are stored in the job index, in no store of their own"


async def status(source: ServiceSource, *, figures: bool) -> HealthStatus:
    """How everything fares now, with everybody's `figures` or without; never raises for what is down.

    Without database or Temporal it is `unhealthy`; `degraded` when no worker polls, or a configured Redis is silent.
    """
    try:
        services = await source.services()
    except Unavailable as fault:
        return _status(_unopened(fault.message), "unhealthy", uptime=0, metrics={})
    needed, further = await services.readiness.checks(), await services.readiness.further()
    found = {finding.check: finding for finding in (*needed, *further)}
    checks = HealthChecks(
        database=_check(found["database"], "fail"),
        redis=_redis(services, found["cache"]),
        queues=_queues(found),
        email=HealthCheck(status="warn", message=_NO_MAIL),
        storage=HealthCheck(status="warn", message=_STORED),
        external_apis=_check(found["models"], "warn"),
    )
    down = "fail" in (checks.database.status, checks.queues.status)
    lame = checks.queues.status == "warn" or checks.redis.status == "fail"
    word = "unhealthy" if down else "degraded" if lame else "healthy"
    return _status(
        checks,
        word,
        uptime=services.resources.read().uptime_seconds,
        metrics=await _metrics(services) if figures else {},
    )


def _status(checks: HealthChecks, word: Any, *, uptime: float, metrics: dict[str, Any]) -> HealthStatus:
    return HealthStatus(
        status=word,
        timestamp=datetime.now(UTC),
        version=VERSION,
        uptime=round(uptime * 1000),
        checks=checks,
        metrics=metrics,
    )


def _check(check: Finding, when_not: Any) -> HealthCheck:
    return HealthCheck(
        status="pass" if check.ok else when_not,
        response_time=None if check.seconds is None else round(check.seconds * 1000, 2),
        message=check.message,
    )


def _redis(services: Services, check: Finding) -> HealthCheck:
    configured = services.deployment.configuration()["secrets_configured"]["redis_url"]
    return _check(check, "fail") if configured else HealthCheck(status="warn", message=_NO_REDIS)


def _queues(found: Mapping[str, Finding]) -> HealthCheck:
    """Temporal is the queue; without a worker what is in it waits."""
    temporal, worker = found["temporal"], found["worker"]
    if not temporal.ok:
        return _check(temporal, "fail")
    return _check(worker, "warn")


def _unopened(message: str) -> HealthChecks:
    """What can be said before the services could be opened."""
    unknown = HealthCheck(status="fail", message=message)
    return HealthChecks(
        database=unknown,
        redis=unknown,
        queues=unknown,
        email=HealthCheck(status="warn", message=_NO_MAIL),
        storage=HealthCheck(status="warn", message=_STORED),
        external_apis=HealthCheck(status="warn", message=message),
    )


async def _metrics(services: Services) -> dict[str, Any]:
    """What this process uses, and the open jobs of the index as far as it answers."""
    used, figures = services.resources.read(), await services.figures.read()
    told: dict[str, Any] = {"cpuSeconds": used.cpu_seconds, "peakMemoryBytes": used.peak_rss_bytes}
    if figures is not None:
        told |= {"openJobs": sum(figures.now.open.values()), "stalledJobs": figures.now.stalled}
    return told
