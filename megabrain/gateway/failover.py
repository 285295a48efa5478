"""Which attempt comes next, given how the ones before it went.

Failing over ends where a request is refused for its own sake, after MAX_ATTEMPTS, or with the last
candidate. Nothing here is asked once a byte of an answer has reached the caller.
"""

from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID

from megabrain.gateway.attempts import Failed
from megabrain.gateway.errors import Problem
from megabrain.gateway.exchange import Strip
from megabrain.gateway.routing import Candidate
from megabrain.gateway.snapshot import Key

MAX_ATTEMPTS = 8


class Failover:
    """The candidates of one call that are still to be tried, best first."""

    def __init__(
        self, candidates: Sequence[Candidate], out_of_order: Callable[[Key], bool]
    ) -> None:
        """`out_of_order` says whether a key's provider has been failing everybody."""
        self._waiting = deque(candidates)
        self._out_of_order = out_of_order
        #: Reasoning in the conversation is signed for the key that it was with.
        self._signer = candidates[0].key.id
        self._most = MAX_ATTEMPTS
        self._tried_twice: set[UUID] = set()
        self._without_reasoning: set[UUID] = set()
        self.failures: list[Failed] = []

    def next(self) -> Candidate | None:
        """The candidate to try now, or None when there is none left."""
        if not self._waiting or len(self.failures) >= self._most:
            return None
        return self._waiting.popleft()

    @property
    def waiting(self) -> bool:
        """Whether there are candidates left that will not be tried any more."""
        return bool(self._waiting)

    def go_on(self, candidates: Sequence[Candidate]) -> None:
        """Try these now, as if none had been tried yet."""
        self._waiting = deque(candidates)
        self._most = len(self.failures) + MAX_ATTEMPTS

    def strips(self, candidate: Candidate) -> Strip:
        """What it gets the conversation without."""
        key = candidate.key.id
        if key in self._without_reasoning:
            return Strip.EVERYTHING
        return Strip.NOTHING if key == self._signer else Strip.UNNAMED

    @property
    def refusal(self) -> Problem | None:
        """What the caller is told when nobody is left to be tried, unless a key failed otherwise:
        that may pass, and then the request can be served."""
        if all(failed.refusal is not None for failed in self.failures):
            return self.failures[-1].refusal
        return None

    def failed(self, candidate: Candidate, failed: Failed) -> Problem | None:
        """Take note of a failure. Returns the refusal that is the caller's answer, if it is one."""
        self.failures.append(failed)
        if failed.reasoning_refused and candidate.key.id not in self._without_reasoning:
            # Its secret was replaced, or another key served the turns before.
            self._without_reasoning.add(candidate.key.id)
            self._waiting.appendleft(candidate)
            return None
        if failed.inexpressible:
            # Another provider's dialect may have a word for it.
            return None
        if failed.refusal is not None:
            return failed.refusal
        key = candidate.key.id
        if failed.again and key not in self._tried_twice and not self._out_of_order(candidate.key):
            self._tried_twice.add(key)
            self._waiting.appendleft(candidate)
        return None
