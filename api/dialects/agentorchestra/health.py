"""Health of the installation on this surface (O-044 to O-046, C-04, C-45)."""

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
    """Return the current health, with metrics of all owners if `figures`. Does not raise for a component that is down.

    `unhealthy` without database or Temporal; `degraded` if no worker polls or a configured Redis does not answer.
    """
    try:
        services = await source.services()
    except Unavailable as fault:
        return _status(_unopened(fault.message), "unhealthy", uptime=0, metrics={})
    needed, further = await services.readiness.checks(), await services.readiness.further()
    by_name = {finding.check: finding for finding in (*needed, *further)}
    checks = HealthChecks(
        database=_check(by_name["database"], "fail"),
        redis=_redis(services, by_name["cache"]),
        queues=_queues(by_name),
        email=HealthCheck(status="warn", message=_NO_MAIL),
        storage=HealthCheck(status="warn", message=_STORED),
        external_apis=_check(by_name["models"], "warn"),
    )
    down = "fail" in (checks.database.status, checks.queues.status)
    degraded = checks.queues.status == "warn" or checks.redis.status == "fail"
    state = "unhealthy" if down else "degraded" if degraded else "healthy"
    return _status(
        checks,
        state,
        uptime=services.resources.read().uptime_seconds,
        metrics=await _metrics(services) if figures else {},
    )


def _status(checks: HealthChecks, state: Any, *, uptime: float, metrics: dict[str, Any]) -> HealthStatus:
    return HealthStatus(
        status=state,
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


def _queues(checks: Mapping[str, Finding]) -> HealthCheck:
    """Return the state of the queue, which is Temporal. Without a worker its tasks wait."""
    temporal, worker = checks["temporal"], checks["worker"]
    if not temporal.ok:
        return _check(temporal, "fail")
    return _check(worker, "warn")


def _unopened(message: str) -> HealthChecks:
    """Return the checks while the services cannot be opened."""
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
    """Return the resources of this process, and the open jobs if the index answers."""
    usage, figures = services.resources.read(), await services.figures.read()
    values: dict[str, Any] = {"cpuSeconds": usage.cpu_seconds, "peakMemoryBytes": usage.peak_rss_bytes}
    if figures is not None:
        values |= {"openJobs": sum(figures.now.open.values()), "stalledJobs": figures.now.stalled}
    return values
