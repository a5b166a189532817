"""One live Temporal server per data directory, whatever became of the process that started the last one."""

import asyncio
import os
import signal
from pathlib import Path

import structlog
from pydantic import BaseModel, ValidationError

from orchestrator.domain.errors import Unavailable
from orchestrator.engine.file_lock import FileLock

log = structlog.get_logger(__name__)

# A server whose starter was killed dies with it within milliseconds; the kernel frees its lock a little later.
_GRACE = 2.0
_POLL = 0.05


class Holder(BaseModel):
    """Who holds a data directory: the process that started the server, the server, and its port."""

    starter: int
    server: int
    port: int


async def acquire(lock: FileLock, data_dir: Path) -> None:
    """Take a data directory's lock; a server that outlived its starter is killed first.

    Raises `Unavailable` when a live process uses the directory, or nothing can be written there.
    """
    try:
        if await _patiently(lock):
            return
    except OSError as fault:
        raise Unavailable(
            f"the data directory {data_dir} cannot be written ({fault.strerror}); choose another with --data-dir"
        ) from fault
    holder = _holder(lock)
    if holder is not None and not _alive(holder.starter):
        log.warning("leftover_temporal_server_killed", pid=holder.server, data_dir=str(data_dir))
        try:
            os.kill(holder.server, signal.SIGKILL)
        except ProcessLookupError:
            log.info("leftover_temporal_server_gone", pid=holder.server)
        if await _patiently(lock):
            return
    who = f"process {holder.starter} (Temporal on port {holder.port})" if holder else "another process"
    raise Unavailable(
        f"the data directory {data_dir} is in use by {who}; stop it or choose another directory with --data-dir"
    )


def record(lock: FileLock, *, server: int, port: int) -> None:
    """Note who holds the directory, for the one who finds it locked."""
    lock.write(Holder(starter=os.getpid(), server=server, port=port).model_dump_json())


async def _patiently(lock: FileLock) -> bool:
    deadline = asyncio.get_running_loop().time() + _GRACE
    while not lock.acquire():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(_POLL)
    return True


def _holder(lock: FileLock) -> Holder | None:
    try:
        return Holder.model_validate_json(lock.read())
    except ValidationError:  # the holder has not got that far
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
