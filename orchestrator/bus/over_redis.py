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
MOST_UNSENT: Final = 10_000
_BATCH: Final = 100
_TIMEOUT: Final = 2.0  # Seconds that Redis has for one answer.
_WARN_EVERY: Final = 60.0
_LONGEST: Final = 300
_FAULTS: Final = (RedisError, OSError, TimeoutError)

log = structlog.get_logger(__name__)


def open_redis(url: str) -> Redis:
    """A client for the bus, which connects at first use. What fails is given up at once, not tried again."""
    return Redis.from_url(url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=Retry(NoBackoff(), 0))


def redis_fault(error: Exception) -> Unavailable:
    """What Redis says, for operators."""
    wrong_key = isinstance(error, AuthenticationError | NoPermissionError)
    remedy = "Correct the password in" if wrong_key else "Start that Redis, or correct the host and the port in"
    return Unavailable(
        "Redis does not answer",
        cause=str(error)[:_LONGEST] or type(error).__name__,
        remedy=f"{remedy} ORCHESTRATOR_REDIS_URL.",
    )


class RedisBus:
    """The `DeltaBus` port for many processes, over one connection to send and one to receive.

    Without Redis deltas are lost, which is logged once a minute, and everything else goes on; `pause` seconds later it
    is tried again. A receiving connection that says nothing is asked after `silence` seconds and replaced after two.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        most: int = MOST_UNSENT,
        pause: float = 1.0,
        silence: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._most = most
        self._pause = pause
        self._silence = silence
        self._clock = clock
        self._here = MemoryBus()
        self._unsent: deque[Delta] = deque()
        self._news = asyncio.Event()
        self._wanted: Counter[str] = Counter()
        self._tuned: set[str] = set()
        self._tuning = asyncio.Lock()
        self._pubsub: PubSub | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lost = 0
        self._warned = float("-inf")

    def publish(self, delta: Delta) -> None:
        """Queue a delta for every process that listens to its job; a full queue drops it."""
        if len(self._unsent) >= self._most:
            self._lost += 1
            return
        self._unsent.append(delta)
        self._news.set()
        self._run("send deltas", self._send)

    async def subscribe(self, job_id: str) -> AsyncGenerator[Delta]:
        """The job's deltas from about now on; close it when done."""
        channel = _channel(job_id)
        self._wanted[channel] += 1
        try:
            self._run("receive deltas", self._receive)
            self._run("tune to deltas", self._tune)
            async with aclosing(self._here.subscribe(job_id)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            self._wanted[channel] -= 1
            if not self._wanted[channel]:
                del self._wanted[channel]
            self._run("tune to deltas", self._tune)

    async def ping(self) -> None:
        """Raises `Unavailable` unless Redis answers."""
        try:
            await self._redis.ping()
        except _FAULTS as fault:
            raise redis_fault(fault) from fault

    async def aclose(self) -> None:
        """Stop, and let go of the connections; what is unsent is lost."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._redis.aclose()

    def _run(self, name: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Have that work done by one background task, unless it is being done.

        It is no job's or request's own, though one of them begins it: its log lines name none.
        """
        task = self._tasks.get(name)
        if task is None or task.done():
            self._tasks[name] = asyncio.create_task(work(), name=name, context=Context())

    async def _send(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                while self._unsent:
                    await self._send_some()
            except _FAULTS as fault:
                self._unsent.clear()
                self._warn(fault)
                await asyncio.sleep(self._pause)

    async def _send_some(self) -> None:
        some = [self._unsent.popleft() for _ in range(min(_BATCH, len(self._unsent)))]
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for delta in some:
                    pipe.publish(_channel(delta.job_id), delta.model_dump_json())
                await pipe.execute()
        except _FAULTS:
            self._lost += len(some)
            raise

    async def _receive(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    self._pubsub, self._tuned = pubsub, set()
                    await self._tune()
                    await self._listen(pubsub)
            except _FAULTS as fault:
                self._warn(fault)
            finally:
                self._pubsub = None
            await asyncio.sleep(self._pause)

    async def _tune(self) -> None:
        """Make the receiving connection hear what is wanted here, and nothing else but the common channel."""
        async with self._tuning:
            while (pubsub := self._pubsub) is not None:
                wanted = {CHANNEL, *self._wanted}
                new, old = wanted - self._tuned, self._tuned - wanted
                if not new and not old:
                    return
                self._tuned = wanted
                try:
                    if new:
                        await pubsub.subscribe(*new)
                    if old:
                        await pubsub.unsubscribe(*old)
                except _FAULTS as fault:
                    self._pubsub = None
                    self._warn(fault)

    async def _listen(self, pubsub: PubSub) -> None:
        asked = False
        while self._pubsub is pubsub:
            message = await pubsub.get_message(timeout=self._silence)
            if message is not None:
                asked = False
                if message["type"] == "message":
                    self._take(message["data"])
            elif asked:
                raise TimeoutError("Redis does not answer")
            else:
                await pubsub.ping()
                asked = True

    def _take(self, body: bytes) -> None:
        try:
            delta = Delta.model_validate_json(body)
        except ValidationError as fault:
            self._lost += 1
            self._warn(fault)
            return
        self._here.publish(delta)

    def _warn(self, fault: Exception) -> None:
        now = self._clock()
        if now - self._warned >= _WARN_EVERY:
            log.warning("deltas_lost", lost=self._lost, error=type(fault).__name__)
            self._warned, self._lost = now, 0


def _channel(job_id: str) -> str:
    return f"{CHANNEL}:{job_id}"
