"""The requests a minute that organizations allow their members, and people their tokens.

Counted exactly by all processes together when there is Redis, in one question to it for all limits
of a call. Each process counts what it lets through as well: that is what holds without Redis, and
while it is away. No call fails, or waits for long, because of it.
"""

import asyncio
from collections.abc import Sequence
from time import monotonic, time

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from megabrain.gateway.callers import Limit
from megabrain.gateway.errors import Problem
from megabrain.gateway.minute import Minute, now_and_fraction, too_many

#: How long a call waits for Redis, and how long a Redis that failed is left alone.
PATIENCE_SECONDS = 1.0
AWAY_SECONDS = 5.0
#: A question takes it a fraction of a millisecond.
CONNECTIONS = 4

log = structlog.get_logger(__name__)

Limits = Sequence[Limit]


class Allowances:
    """What is left to those who call this process."""

    def __init__(self, redis_url: str = "") -> None:
        self._shared = Shared(redis_url) if redis_url else None
        self._minutes: dict[str, Minute] = {}
        self._swept = 0

    async def take(self, limits: Limits) -> None:
        """Count a request against all of these limits, or against none. Raises Problem."""
        # Here first: whoever has used up their part here has done so everywhere, and those who
        # wait for Redis at the same moment have been counted should it turn out to be away.
        refused = self._take(limits)
        if refused is None and self._shared is not None:
            try:
                refused = await self._shared.take(limits)
            except asyncio.CancelledError:
                self._give_back(limits)
                raise
            if refused is not None:
                self._give_back(limits)
        if refused is not None:
            raise refused

    async def close(self) -> None:
        if self._shared is not None:
            await self._shared.close()

    def _take(self, limits: Limits) -> Problem | None:
        # The clock on the wall, for that is how Redis counts.
        number, fraction = now_and_fraction(time())
        if number != self._swept:
            self._sweep(number)
        minutes = [self._minute(limit, number) for limit in limits]
        for limit, minute in zip(limits, minutes, strict=True):
            wait = minute.wait(limit.requests, fraction)
            if wait:
                return too_many(limit.whose, limit.requests, wait)
        for minute in minutes:
            minute.count += 1
        return None

    def _give_back(self, limits: Limits) -> None:
        for limit in limits:
            minute = self._minutes.get(limit.counter)
            if minute is not None:
                minute.count = max(0, minute.count - 1)

    def _minute(self, limit: Limit, number: int) -> Minute:
        minute = self._minutes.setdefault(limit.counter, Minute(number))
        minute.turn(number)
        return minute

    def _sweep(self, number: int) -> None:
        """Forget who has been away for two minutes."""
        self._swept = number
        here = self._minutes.items()
        self._minutes = {
            counter: minute for counter, minute in here if minute.number in {number - 1, number}
        }


#: KEYS are counters, ARGV their limits. Counts a request against all of them and answers nothing,
#: or says which counter is full, what it holds, and how much of the minute is over.
_TAKE = """
local clock = redis.call('TIME')
local seconds = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local number, fraction = math.floor(seconds / 60), seconds % 60 / 60
local minutes = {}
for i, key in ipairs(KEYS) do
    local kept = redis.call('HMGET', key, 'number', 'count', 'before')
    local count, before = tonumber(kept[2] or 0), tonumber(kept[3] or 0)
    if tonumber(kept[1] or 0) ~= number then
        before = tonumber(kept[1] or 0) == number - 1 and count or 0
        count = 0
    end
    if count + before * (1 - fraction) >= tonumber(ARGV[i]) then
        return {i, count, before, tostring(fraction)}
    end
    minutes[i] = {count + 1, before}
end
for i, key in ipairs(KEYS) do
    redis.call('HSET', key, 'number', number, 'count', minutes[i][1], 'before', minutes[i][2])
    redis.call('EXPIRE', key, 120)
end
return {}
"""


class Shared:
    """The counters of all processes, in Redis."""

    def __init__(self, url: str) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=PATIENCE_SECONDS,
            socket_timeout=PATIENCE_SECONDS,
            socket_connect_timeout=PATIENCE_SECONDS,
            # Once more, at once: a kept connection may have been closed by a restart.
            retry=Retry(NoBackoff(), 1),
        )
        self._client = Redis.from_pool(pool)
        self._take = self._client.register_script(_TAKE)
        self._away_until = 0.0

    async def take(self, limits: Limits) -> Problem | None:
        """Count a request, or say why not. Without Redis nothing is counted, and nobody refused."""
        if monotonic() < self._away_until:
            return None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                full = await self._take(
                    keys=[f"megabrain:allowance:{limit.counter}" for limit in limits],
                    args=[limit.requests for limit in limits],
                )
        except (RedisError, OSError, TimeoutError) as error:
            if monotonic() >= self._away_until:  # Of those who waited together, one says so.
                log.warning("allowances.redis_away", error=type(error).__name__)
            self._away_until = monotonic() + AWAY_SECONDS
            return None
        if not full:
            return None
        which, count, before, fraction = full
        limit = limits[which - 1]
        wait = Minute(count=count, before=before).wait(limit.requests, float(fraction))
        return too_many(limit.whose, limit.requests, wait)

    async def close(self) -> None:
        await self._client.aclose()
