"""Resources that this process uses (S-018). Figures that only `/proc` has are null without it."""

import os
import resource
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")
_OPEN_FILES: Final = Path("/proc/self/fd")
_KIBIBYTE: Final = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """Bytes and seconds of this process. `cpu_percent` is of one core, since the meter was made."""

    rss_bytes: int | None
    peak_rss_bytes: int
    cpu_seconds: float
    cpu_percent: float
    open_files: int | None
    open_files_limit: int
    threads: int
    uptime_seconds: float
    load_average: float


class ResourceMeter:
    """Measures this process. Holds the times at which it began."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._cpu_before = time.process_time()

    def read(self) -> ResourceUsage:
        """The usage now."""
        up = time.monotonic() - self._began
        cpu = time.process_time()
        return ResourceUsage(
            rss_bytes=_rss(),
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBIBYTE,
            cpu_seconds=round(cpu, 2),
            cpu_percent=round(100 * (cpu - self._cpu_before) / up, 1) if up else 0.0,
            open_files=len(os.listdir(_OPEN_FILES)) if _OPEN_FILES.exists() else None,
            open_files_limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            threads=threading.active_count(),
            uptime_seconds=round(up, 1),
            load_average=round(os.getloadavg()[0], 2),
        )


def _rss() -> int | None:
    if not _STATM.exists():
        return None
    return int(_STATM.read_text().split()[1]) * resource.getpagesize()
