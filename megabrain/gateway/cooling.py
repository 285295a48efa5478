"""What recent answers taught this process about keys: who is cooling, who lacks which model.

It decides only the order in which keys are tried, never whether: an only key is always tried.
"""

from time import monotonic
from typing import TypeVar
from uuid import UUID

from byok.models.keys import COOLING
from byok.providers import PROVIDERS
from byok.routing import Held

#: However long a provider asks to wait, a key is not passed over for longer.
COOLING_SECONDS = COOLING.total_seconds()
#: A provider that fails is passed over for a moment, longer each time it fails again.
PAUSES = (1.0, 2.0, 4.0, 8.0)
LACKING_SECONDS = 300.0
MAX_ENTRIES = 20_000
#: So many failures in a row, with whichever keys, and a provider is taken to be out of order until
#: it answers again or has been left alone for a while.
BREAKS_AFTER = 10
BROKEN_SECONDS = 30.0

K = TypeVar("K", UUID, tuple[UUID, str], tuple[str, str])
V = TypeVar("V", int, float, tuple[int, float])


class Cooling:
    """Short-lived memory of failures."""

    def __init__(self) -> None:
        self._until: dict[UUID, float] = {}
        self._failures: dict[UUID, int] = {}
        self._lacking: dict[tuple[UUID, str], float] = {}
        #: By provider and host: failures in a row, and when the last one was.
        self._breakers: dict[tuple[str, str], tuple[int, float]] = {}

    def clear(self) -> None:
        """Know nothing of anybody, as at the start."""
        for memory in (self._until, self._failures, self._lacking, self._breakers):
            memory.clear()

    def cools(self, key: UUID) -> bool | None:
        """Whether the key is to pause, or None where this process knows nothing of it."""
        until = self._until.get(key)
        return None if until is None else monotonic() < until

    def out_of_order(self, key: Held) -> bool:
        """Whether the provider that takes this key has been failing everybody."""
        times, last = self._breakers.get(_place(key), (0, 0.0)) if self._breakers else (0, 0.0)
        return times >= BREAKS_AFTER and monotonic() - last < BROKEN_SECONDS

    def lacks(self, key: UUID, model: str) -> bool:
        until = self._lacking.get((key, model)) if self._lacking else None
        return until is not None and monotonic() < until

    def limited(self, key: UUID, retry_after: float | None) -> None:
        """The provider wants calls with this key to pause."""
        seconds = 5.0 if retry_after is None else min(retry_after, COOLING_SECONDS)
        self._pause(key, seconds)

    def failed(self, key: Held, *, broken: bool = True) -> None:
        """The provider was out of order when called with this key; `broken` says that it did not
        merely take long, which may be the fault of what was asked."""
        times = self._failures[key.id] = self._failures.get(key.id, 0) + 1
        self._pause(key.id, PAUSES[min(times, len(PAUSES)) - 1])
        _bound(self._failures)
        if not broken:
            return
        place = _place(key)
        self._breakers[place] = (self._breakers.get(place, (0, 0.0))[0] + 1, monotonic())
        _bound(self._breakers)

    def _pause(self, key: UUID, seconds: float) -> None:
        """Pass the key over for so long; a longer pause that it is in already goes on."""
        self._until[key] = max(self._until.get(key, 0.0), monotonic() + seconds)
        _bound(self._until)

    def lacking(self, key: UUID, model: str) -> None:
        """The provider does not serve this model to this key."""
        self._lacking[key, model] = monotonic() + LACKING_SECONDS
        _bound(self._lacking)

    def worked(self, key: Held) -> None:
        if self._breakers:
            self._breakers.pop(_place(key), None)
        if self._failures:
            self._failures.pop(key.id, None)
        if key.id in self._until:
            self._until[key.id] = 0.0


def _place(key: Held) -> tuple[str, str]:
    """What is out of order together: a provider's host. Of custom endpoints each is its own."""
    custom = PROVIDERS[key.provider].kind == "endpoint"
    return key.provider, str(key.id) if custom else key.host


def _bound(memory: dict[K, V]) -> None:
    if len(memory) > MAX_ENTRIES:
        # The oldest entry; which of thousands is forgotten early makes no difference.
        del memory[next(iter(memory))]
