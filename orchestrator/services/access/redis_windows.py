"""Windows of the rate limiter in Redis. Imported only with a Redis: its client is slow to import."""

from typing import Final

from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

FAULTS: Final = (RedisError, OSError, TimeoutError)

SOCKET_TIMEOUT: Final = 0.25
_CONNECTIONS: Final = 50


def open_pool(url: str, *, patience: float) -> BlockingConnectionPool:
    """Connections with short timeouts and no retries: a slow Redis must not delay requests.

    A burst waits `patience` seconds for free connections. If the pool refused, the burst would be admitted uncounted.
    """
    return BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=patience,
        socket_timeout=SOCKET_TIMEOUT,
        socket_connect_timeout=SOCKET_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )


def windows(pool: BlockingConnectionPool) -> MovingWindowRateLimiter:
    """The windows in the Redis of the pool."""
    # The pool has the address; the library only reads the scheme.
    store = RedisStorage("async+redis://", implementation="redispy", connection_pool=pool)  # type: ignore[arg-type]
    return MovingWindowRateLimiter(store)
