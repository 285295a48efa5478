"""What recent answers taught this process about keys: who is cooling, who lacks which model.

It decides only the order in which keys are tried, never whether: an only key is always tried.
"""

from time import monotonic
from typing import TypeVar
from uuid import UUID

from byok.models.keys import COOLING

#: However long a provider asks to wait, a key is not passed over for longer.
COOLING_SECONDS = COOLING.total_seconds()
#: A provider that fails is passed over for a moment, longer each time it fails again.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 8.0
LACKING_SECONDS = 300.0
MAX_ENTRIES = 20_000

K = TypeVar("K", UUID, tuple[UUID, str])
V = TypeVar("V", int, float)


class Cooling:
    """Short-lived memory of failures."""

    def __init__(self) -> None:
        self._until: dict[UUID, float] = {}
        self._failures: dict[UUID, int] = {}
        self._lacking: dict[tuple[UUID, str], float] = {}

    def cools(self, key: UUID) -> bool | None:
        """Whether the key is to pause, or None where this process knows nothing of it."""
        until = self._until.get(key)
        return None if until is None else monotonic() < until

    def lacks(self, key: UUID, model: str) -> bool:
        until = self._lacking.get((key, model)) if self._lacking else None
        return until is not None and monotonic() < until

    def limited(self, key: UUID, retry_after: float | None) -> None:
        """The provider wants calls with this key to pause."""
        seconds = 5.0 if retry_after is None else min(retry_after, COOLING_SECONDS)
        self._until[key] = monotonic() + seconds
        _bound(self._until)

    def failed(self, key: UUID) -> None:
        """The provider was out of order when called with this key."""
        times = self._failures[key] = self._failures.get(key, 0) + 1
        self._until[key] = monotonic() + min(FIRST_PAUSE * 2 ** (times - 1), LONGEST_PAUSE)
        _bound(self._until)
        _bound(self._failures)

    def lacking(self, key: UUID, model: str) -> None:
        """The provider does not serve this model to this key."""
        self._lacking[key, model] = monotonic() + LACKING_SECONDS
        _bound(self._lacking)

    def worked(self, key: UUID) -> None:
        if self._failures:
            self._failures.pop(key, None)
        if key in self._until:
            self._until[key] = 0.0


def _bound(memory: dict[K, V]) -> None:
    if len(memory) > MAX_ENTRIES:
        # The oldest entry; which of thousands is forgotten early makes no difference.
        del memory[next(iter(memory))]
