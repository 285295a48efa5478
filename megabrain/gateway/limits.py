"""How much one token, and one account, may ask for: requests a minute and calls at a time.

These limits are the installation's, and counted in this process. What tokens and organizations
allow besides is counted by `allowances`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

from django.conf import settings

from megabrain.gateway.allowances import Allowances
from megabrain.gateway.callers import Caller
from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.minute import Minute, now_and_fraction, too_many

#: An account may do so many times what one of its tokens may.
TOKENS_AT_FULL_USE = 10


@dataclass(slots=True)
class Meter(Minute):
    """What one token or account is doing."""

    running: int = 0


class Limits:
    """The meters of all callers of this process."""

    def __init__(self, redis_url: str = "") -> None:
        self._meters: dict[UUID, Meter] = {}
        self._swept = 0
        self._allowances = Allowances(redis_url)

    async def enter(self, caller: Caller) -> None:
        """Count a request that now begins; `leave` must follow. Raises Problem."""
        self._enter(caller)
        if caller.limits:
            try:
                await self._allowances.take(caller.limits)
            except BaseException:
                # It never began, so that one member's eagerness is not at the others' expense.
                for meter in self._meters_of(caller):
                    meter.count = max(0, meter.count - 1)
                self.leave(caller)
                raise

    @asynccontextmanager
    async def within(self, caller: Caller) -> AsyncIterator[None]:
        """Count a request for as long as it runs. Raises Problem."""
        await self.enter(caller)
        try:
            yield
        finally:
            self.leave(caller)

    def leave(self, caller: Caller) -> None:
        for meter in self._meters_of(caller):
            meter.running -= 1

    async def close(self) -> None:
        await self._allowances.close()

    def _enter(self, caller: Caller) -> None:
        minute, fraction = now_and_fraction(monotonic())
        if minute != self._swept:
            self._sweep(minute)
        token = self._meter(caller.token_id, minute)
        account = self._meter(caller.account_id, minute)
        requests: int = settings.MEGABRAIN_REQUESTS_PER_MINUTE
        calls: int = settings.MEGABRAIN_CONCURRENT_CALLS
        _check_running(token, calls, "API token")
        _check_running(account, calls * TOKENS_AT_FULL_USE, "account")
        _check_minute(token, fraction, requests, "API token")
        _check_minute(account, fraction, requests * TOKENS_AT_FULL_USE, "account")
        for meter in (token, account):
            meter.count += 1
            meter.running += 1

    def _meters_of(self, caller: Caller) -> tuple[Meter, Meter]:
        return self._meters[caller.token_id], self._meters[caller.account_id]

    def _meter(self, id: UUID, minute: int) -> Meter:  # noqa: A002 -- "id" is the word for it.
        meter = self._meters.get(id)
        if meter is None:
            meter = self._meters[id] = Meter(minute)
        elif meter.number != minute:
            meter.turn(minute)
        return meter

    def _sweep(self, minute: int) -> None:
        """Forget who has been away for two minutes, so that memory holds only the present."""
        self._swept = minute
        gone = [
            id_
            for id_, meter in self._meters.items()
            if not meter.running and meter.number < minute - 1
        ]
        for id_ in gone:
            del self._meters[id_]


def _check_running(meter: Meter, limit: int, whose: str) -> None:
    if meter.running >= limit:
        raise Problem(
            Code.RATE_LIMIT_EXCEEDED,
            f"This {whose} has {limit} calls under way, as many as it may at a time. "
            "Try again when one of them has ended.",
            retry_after=1,
        )


def _check_minute(meter: Meter, fraction: float, limit: int, whose: str) -> None:
    wait = meter.wait(limit, fraction)
    if wait:
        raise too_many(f"This {whose} may make", limit, wait)
