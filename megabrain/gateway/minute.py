"""A sliding minute of requests.

It is estimated from the counts of this clock minute and the last, so that nobody gets twice the
limit around the turn of a minute.
"""

from dataclasses import dataclass

from megabrain.gateway.errors import Code, Problem


@dataclass(slots=True)
class Minute:
    """How many requests there were in clock minute `number`, and in the one before."""

    number: int = 0
    count: int = 0
    before: int = 0

    def turn(self, number: int) -> None:
        """It is clock minute `number` now."""
        if number != self.number:
            self.before = self.count if number == self.number + 1 else 0
            self.number, self.count = number, 0

    def wait(self, limit: int, fraction: float) -> float:
        """Seconds until there is room for another request; `fraction` of the minute is over."""
        recent = self.count + self.before * (1 - fraction)
        if recent < limit:
            return 0.0
        if self.count >= limit:
            # Not in this minute any more; in the next, when enough of this one is out of sight.
            return 60 * (1 - fraction + max(0.0, 1 - limit / (self.count + 1)))
        return 60 * (recent - limit + 1) / self.before


def now_and_fraction(seconds: float) -> tuple[int, float]:
    """The clock minute of this moment, and how much of it is over."""
    return int(seconds // 60), seconds % 60 / 60


def too_many(whose: str, limit: int, wait: float) -> Problem:
    """`whose` begins the sentence that says who allows how many."""
    requests = "1 request" if limit == 1 else f"{limit} requests"
    return Problem(
        Code.RATE_LIMIT_EXCEEDED,
        f"{whose} {requests} a minute. Try again in {max(1, round(wait))} s.",
        retry_after=wait,
    )
