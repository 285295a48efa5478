"""The cache when there is Redis: shared by all processes, and still there when Redis is not.

What counts attempts to sign in lives here. If Redis goes away, each process counts by itself
until it is back: guessing stays slow, and nobody is locked out by an error page.
"""

import time
from collections.abc import Callable
from typing import Any

import structlog
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

AWAY_SECONDS = 5.0

log = structlog.get_logger(__name__)


class RedisOrMemory(RedisCache):
    """Django's Redis cache, with this process's own memory in its place while it is away."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:  # Any: Django's.
        super().__init__(server, params)
        self._memory = LocMemCache("while-redis-is-away", params)
        self._away_until = 0.0

    def _either(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if time.monotonic() >= self._away_until:
            try:
                return getattr(super(), name)(*arguments, **options)
            except (RedisError, OSError) as error:
                self._away_until = time.monotonic() + AWAY_SECONDS
                log.warning("cache.redis_away", error=str(error))
        return getattr(self._memory, name)(*arguments, **options)


def _method(name: str) -> Callable[..., Any]:  # Any: whatever Django's own method takes.
    def method(self: RedisOrMemory, *arguments: Any, **options: Any) -> Any:
        return self._either(name, arguments, options)

    method.__name__ = name
    return method


for _name in (
    "add",
    "clear",
    "delete",
    "delete_many",
    "get",
    "get_many",
    "has_key",
    "incr",
    "set",
    "set_many",
    "touch",
):
    setattr(RedisOrMemory, _name, _method(_name))
