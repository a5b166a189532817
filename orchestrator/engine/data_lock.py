"""Ensures one live Temporal server per data directory, even after the process that started the last one was killed."""

import asyncio
import os
import signal
from pathlib import Path

import structlog
from pydantic import BaseModel, ValidationError

from orchestrator.domain.errors import Unavailable
from orchestrator.engine.file_lock import FileLock

log = structlog.get_logger(__name__)

# Seconds. A server ends within milliseconds of its starter's death, and the kernel frees its lock a little later.
_WAIT_SECONDS = 2.0
_POLL_SECONDS = 0.05


class Holder(BaseModel):
    """The holder of a data directory: the process that started the server, the server, and its port."""

    starter: int
    server: int
    port: int


async def acquire(lock: FileLock, data_dir: Path) -> None:
    """Lock a data directory. A server that outlived its starter is killed first.

    Raises `Unavailable` if a live process uses the directory, or it cannot be written.
    """
    try:
        if await _acquire_with_retries(lock):
            return
    except OSError as fault:
        raise Unavailable(
            f"the data directory {data_dir} cannot be written ({fault.strerror}); choose another with --data-dir"
        ) from fault
    holder = _holder(lock)
    if holder is not None and not _is_alive(holder.starter):
        log.warning("leftover_temporal_server_killed", pid=holder.server, data_dir=str(data_dir))
        try:
            os.kill(holder.server, signal.SIGKILL)
        except ProcessLookupError:
            log.info("leftover_temporal_server_gone", pid=holder.server)
        if await _acquire_with_retries(lock):
            return
    user = f"process {holder.starter} (Temporal on port {holder.port})" if holder else "another process"
    raise Unavailable(
        f"the data directory {data_dir} is in use by {user}; stop it or choose another directory with --data-dir"
    )


def record(lock: FileLock, *, server: int, port: int) -> None:
    """Write the holder into the lock file, for the error message of another process."""
    lock.write(Holder(starter=os.getpid(), server=server, port=port).model_dump_json())


async def _acquire_with_retries(lock: FileLock) -> bool:
    deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
    while not lock.acquire():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


def _holder(lock: FileLock) -> Holder | None:
    try:
        return Holder.model_validate_json(lock.read())
    except ValidationError:  # The holder has not written it yet.
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
