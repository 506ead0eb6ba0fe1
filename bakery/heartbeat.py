"""Signs of life of the processes that answer no request: workers, beat, collector.

Each writes a Redis key that expires, and takes it away when it ends: what has no key is down. Nothing is written to
the database for it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cache

import redis
from django.conf import settings

EVERY = 4.0  # seconds
EXPIRES = 15
PROCESSES = ("worker-deploys", "worker-housekeeping", "beat", "collector")

_last: dict[str, float] = {}


@cache
def connection() -> redis.Redis:
    return redis.Redis.from_url(settings.BAKERY.redis_url, socket_timeout=2, socket_connect_timeout=2)


def key(name: str) -> str:
    return f"bakery:alive:{name}"


def alive(name: str) -> None:
    """Call as often as you like from a process's main loop. Redis being away is not the caller's trouble."""
    now = time.monotonic()
    if now - _last.get(name, -EVERY) < EVERY:
        return
    _last[name] = now
    try:
        connection().set(key(name), int(time.time()), ex=EXPIRES)
    except redis.RedisError:
        _last.pop(name)  # at once again when it is back


def gone(name: str) -> None:
    """Call as the process ends: until its successor is there it is not called alive."""
    _last.pop(name, None)
    with suppress(redis.RedisError):
        connection().delete(key(name))


def seen() -> dict[str, bool]:
    """Which processes gave a sign of life lately. Raises ``redis.RedisError``."""
    values = connection().mget([key(name) for name in PROCESSES])
    return {name: value is not None for name, value in zip(PROCESSES, values, strict=True)}
