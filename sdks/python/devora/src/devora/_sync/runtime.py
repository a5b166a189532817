"""What threads give: sleeping and locks. Nothing can interrupt a read, so that limits are those of the socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

sleep = time.sleep
Lock = threading.Lock


@contextmanager
def limit(seconds: float | None) -> Iterator[None]:
    """Do nothing: each read of the transport has a time-out of its own."""
    yield
