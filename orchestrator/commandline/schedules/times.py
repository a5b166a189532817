"""The times of a schedule, from the options of the command line."""

from collections.abc import Sequence
from typing import Any

from orchestrator.commandline.jobs.times import seconds_of
from orchestrator.commandline.terminal.exits import Refused


def times_of(
    cron: Sequence[str], every: str | None, time_zone: str | None, spec: dict[str, Any] | None
) -> dict[str, Any]:
    """The `spec` of the API. Raises `Refused` without any times, and for options beside `--spec`."""
    if spec is not None:
        if cron or every or time_zone:
            raise Refused("--spec has all times: leave out --cron, --every and --time-zone")
        return spec
    if not cron and every is None:
        raise Refused("a schedule needs times: pass --cron '0 6 * * MON-FRI', --every 6h, or --spec")
    return {
        **({"cron": list(cron)} if cron else {}),
        **({"intervals": [{"every_seconds": seconds_of(every, "--every")}]} if every else {}),
        **({"time_zone": time_zone} if time_zone else {}),
    }
