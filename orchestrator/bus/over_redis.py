"""Carries token deltas between processes over Redis pub/sub (A7): from any worker to the streams of any API."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from contextvars import Context
from typing import Final

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from orchestrator.bus.memory import MemoryBus
from orchestrator.domain.deltas import Delta
from orchestrator.domain.errors import Unavailable

CHANNEL: Final = "orchestrator:deltas"
CAPACITY: Final = 10_000
_BATCH: Final = 100
_TIMEOUT: Final = 2.0  # Seconds for one response of Redis.
_WARN_EVERY: Final = 60.0
_MAX_CAUSE_LENGTH: Final = 300
_LOOK_SECONDS: Final = 0.25  # For the number of readers. A call waits for it.
_FAULTS: Final = (RedisError, OSError, TimeoutError)

log = structlog.get_logger(__name__)


def open_redis(url: str) -> Redis:
    """A client that connects at first use. It does not repeat failed commands: the bus retries."""
    return Redis.from_url(url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=Retry(NoBackoff(), 0))


def redis_fault(error: Exception) -> Unavailable:
    """An error of Redis, for operators."""
    wrong_key = isinstance(error, AuthenticationError | NoPermissionError)
    remedy = "Correct the password in" if wrong_key else "Start that Redis, or correct the host and the port in"
    return Unavailable(
        "Redis does not answer",
        cause=str(error)[:_MAX_CAUSE_LENGTH] or type(error).__name__,
        remedy=f"{remedy} ORCHESTRATOR_REDIS_URL.",
    )


class RedisBus:
    """The `DeltaBus` port for many processes, with one connection to send and one to receive.

    If Redis fails, deltas are lost and a warning is logged once a minute; everything else continues, and the bus tries
    again after `pause` seconds. A receiving connection is pinged after `silence` seconds without a message, and
    replaced if another `silence` seconds bring no message.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        capacity: int = CAPACITY,
        pause: float = 1.0,
        silence: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._capacity = capacity
        self._pause = pause
        self._silence = silence
        self._clock = clock
        self._memory = MemoryBus()
        self._unsent: deque[Delta] = deque()
        self._new_delta = asyncio.Event()
        self._readers: Counter[str] = Counter()
        self._subscribed: set[str] = set()
        self._subscribing = asyncio.Lock()
        self._pubsub: PubSub | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lost = 0
        self._no_look_before = float("-inf")
        self._warned_at = float("-inf")

    def publish(self, delta: Delta) -> None:
        """Queue a delta for every process with a reader of its job. A full queue drops the delta."""
        if len(self._unsent) >= self._capacity:
            self._lost += 1
            return
        self._unsent.append(delta)
        self._new_delta.set()
        self._run("send deltas", self._send)

    async def has_readers(self, job_id: str) -> bool:
        """Whether a process has a reader of the job: one request to Redis, and none soon after one that failed."""
        if await self._memory.has_readers(job_id):
            return True
        if self._clock() < self._no_look_before:
            return False
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                counts = await self._redis.pubsub_numsub(_channel(job_id))
        except _FAULTS:  # Then no reader in another process would get the text either.
            self._no_look_before = self._clock() + self._silence
            return False
        return any(count for _, count in counts)

    async def subscribe(self, job_id: str) -> AsyncGenerator[Delta]:
        """New deltas of the job; deltas sent before the subscription is active are lost. Close the generator."""
        channel = _channel(job_id)
        self._readers[channel] += 1
        try:
            self._run("receive deltas", self._receive)
            self._run("subscribe to deltas", self._update_channels)
            async with aclosing(self._memory.subscribe(job_id)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            self._readers[channel] -= 1
            if not self._readers[channel]:
                del self._readers[channel]
            self._run("subscribe to deltas", self._update_channels)

    async def ping(self) -> None:
        """Raises `Unavailable` unless Redis answers."""
        try:
            await self._redis.ping()
        except _FAULTS as fault:
            raise redis_fault(fault) from fault

    async def aclose(self) -> None:
        """Stop and close the connections. Unsent deltas are lost."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._redis.aclose()

    def _run(self, name: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Start a background task, unless a task of this name is running."""
        # An empty context: the task outlives the job or request that starts it, so its log lines must not name that.
        task = self._tasks.get(name)
        if task is None or task.done():
            self._tasks[name] = asyncio.create_task(work(), name=name, context=Context())

    async def _send(self) -> None:
        while True:
            await self._new_delta.wait()
            self._new_delta.clear()
            try:
                while self._unsent:
                    await self._send_batch()
            except _FAULTS as fault:
                self._unsent.clear()
                self._warn(fault)
                await asyncio.sleep(self._pause)

    async def _send_batch(self) -> None:
        batch = [self._unsent.popleft() for _ in range(min(_BATCH, len(self._unsent)))]
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for delta in batch:
                    pipe.publish(_channel(delta.job_id), delta.model_dump_json())
                await pipe.execute()
        except _FAULTS:
            self._lost += len(batch)
            raise

    async def _receive(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    self._pubsub, self._subscribed = pubsub, set()
                    await self._update_channels()
                    await self._listen(pubsub)
            except _FAULTS as fault:
                self._warn(fault)
            finally:
                self._pubsub = None
            await asyncio.sleep(self._pause)

    async def _update_channels(self) -> None:
        """Subscribe the receiving connection to the channels of the current readers and the common channel only."""
        async with self._subscribing:
            while (pubsub := self._pubsub) is not None:
                channels = {CHANNEL, *self._readers}
                new, old = channels - self._subscribed, self._subscribed - channels
                if not new and not old:
                    return
                self._subscribed = channels
                try:
                    if new:
                        await pubsub.subscribe(*new)
                    if old:
                        await pubsub.unsubscribe(*old)
                except _FAULTS as fault:
                    self._pubsub = None
                    self._warn(fault)

    async def _listen(self, pubsub: PubSub) -> None:
        pinged = False
        while self._pubsub is pubsub:
            message = await pubsub.get_message(timeout=self._silence)
            if message is not None:
                pinged = False
                if message["type"] == "message":
                    self._receive_delta(message["data"])
            elif pinged:
                raise TimeoutError("Redis does not answer")
            else:
                await pubsub.ping()
                pinged = True

    def _receive_delta(self, body: bytes) -> None:
        try:
            delta = Delta.model_validate_json(body)
        except ValidationError as fault:
            self._lost += 1
            self._warn(fault)
            return
        self._memory.publish(delta)

    def _warn(self, fault: Exception) -> None:
        now = self._clock()
        if now - self._warned_at >= _WARN_EVERY:
            log.warning("deltas_lost", lost=self._lost, error=type(fault).__name__)
            self._warned_at, self._lost = now, 0


def _channel(job_id: str) -> str:
    return f"{CHANNEL}:{job_id}"
