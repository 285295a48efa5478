"""How much one token, and one account, may ask for: requests a minute and calls at a time.

Counted in this process. The minute is a sliding one, estimated from the counts of this clock
minute and the last, so that nobody gets twice the limit around the turn of a minute.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

from django.conf import settings

from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.snapshot import Caller

#: An account may do so many times what one of its tokens may.
TOKENS_AT_FULL_USE = 10


@dataclass(slots=True)
class Meter:
    """What one token or account is doing."""

    minute: int = 0
    count: int = 0
    before: int = 0
    running: int = 0

    def turn(self, minute: int) -> None:
        if minute != self.minute:
            self.before = self.count if minute == self.minute + 1 else 0
            self.minute, self.count = minute, 0


class Limits:
    """The meters of all callers of this process."""

    def __init__(self) -> None:
        self._meters: dict[UUID, Meter] = {}
        self._swept = 0

    def enter(self, caller: Caller) -> None:
        """Count a request that now begins; `leave` must follow. Raises Problem."""
        now = monotonic()
        minute, fraction = int(now // 60), now % 60 / 60
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

    @contextmanager
    def within(self, caller: Caller) -> Iterator[None]:
        """Count a request for as long as it runs. Raises Problem."""
        self.enter(caller)
        try:
            yield
        finally:
            self.leave(caller)

    def leave(self, caller: Caller) -> None:
        self._meters[caller.token_id].running -= 1
        self._meters[caller.account_id].running -= 1

    def _meter(self, id: UUID, minute: int) -> Meter:  # noqa: A002 -- "id" is the word for it.
        meter = self._meters.get(id)
        if meter is None:
            meter = self._meters[id] = Meter(minute)
        elif meter.minute != minute:
            meter.turn(minute)
        return meter

    def _sweep(self, minute: int) -> None:
        """Forget who has been away for two minutes, so that memory holds only the present."""
        self._swept = minute
        gone = [
            id_
            for id_, meter in self._meters.items()
            if not meter.running and meter.minute < minute - 1
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
    recent = meter.count + meter.before * (1 - fraction)
    if recent < limit:
        return
    if meter.count >= limit:
        # Not in this minute any more; in the next, when enough of this one has slid out of sight.
        wait = 60 * (1 - fraction + max(0.0, 1 - limit / (meter.count + 1)))
    else:
        wait = 60 * (recent - limit + 1) / meter.before
    raise Problem(
        Code.RATE_LIMIT_EXCEEDED,
        f"This {whose} may make {limit} requests a minute. Try again in {max(1, round(wait))} s.",
        retry_after=wait,
    )
