"""From the outcome of attempts to what is remembered of keys, here and in the database."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from uuid import UUID

from byok.catalogue.memory import Model
from byok.health import UNREADABLE, Sighting
from byok.models import ProviderKey
from byok.providers.base import Outcome
from megabrain.gateway import attempts
from megabrain.gateway.attempts import Failed
from megabrain.gateway.cooling import Cooling
from megabrain.gateway.snapshot import Key

#: A key whose answers vary from call to call is not written down with each of them.
AT_MOST_EVERY = 2.0
#: What was stored is in the row by then, and so in the key as routing sees it.
ARRIVED_AFTER = 10.0
MAX_REMEMBERED = 20_000

Health = ProviderKey.Health


class KeyHealth:
    """Tells `cooling` at once, and `store` what the row of the key does not say yet."""

    def __init__(self, cooling: Cooling, store: Callable[[Sighting], None]) -> None:
        self.cooling = cooling
        self._store = store
        self._told: dict[UUID, tuple[Sighting, float]] = {}
        #: Seen too soon after something else was told; the last one is told when its time comes.
        self._waiting: dict[UUID, Sighting] = {}

    def worked(self, key: Key) -> None:
        self.cooling.worked(key)
        if key.health != Health.WORKS or key.id in self._told:
            self._see(key, Health.WORKS, "", "")

    def failed(self, failed: Failed, model: Model | None) -> None:
        key, name = failed.candidate.key, model.id if model else ""
        match failed.outcome:
            case Outcome.REJECTED | Outcome.NO_CREDIT:
                self._see(key, Health.FAILING, failed.outcome, name)
            case Outcome.NO_ACCESS:
                self.cooling.lacking(key.id, name)
                if self._known(key)[0] != Health.WORKS:
                    # A key that serves other models is not failing because of this one.
                    self._see(key, Health.FAILING, failed.outcome, name)
            case Outcome.RATE_LIMITED:
                self.cooling.limited(key.id, failed.retry_after)
                self._see(key, Health.COOLING, failed.outcome, name)
            case Outcome.MODEL_MISSING:
                self.cooling.lacking(key.id, name)
            case Outcome.OVERLOADED | Outcome.UNAVAILABLE | attempts.TIMED_OUT:
                self.cooling.failed(key, broken=failed.outcome != attempts.TIMED_OUT)
            case attempts.UNSEALABLE:
                self._see(key, Health.FAILING, UNREADABLE, name)

    def _known(self, key: Key) -> tuple[str, str]:
        """What is known of the key already: what was told last, or else what its row says."""
        told = self._told.get(key.id)
        if told is not None and told[0].secret_changed_at == key.secret_changed_at:
            if monotonic() - told[1] < ARRIVED_AFTER:
                return told[0].health, told[0].code
            del self._told[key.id]
        return key.health, key.health_code

    def _see(self, key: Key, health: Health, code: str, model: str) -> None:
        if self._known(key) == (health, code):
            self._waiting.pop(key.id, None)
            return
        seen = Sighting(
            key_id=key.id,
            account_id=key.account_id,
            provider=key.provider,
            secret_changed_at=key.secret_changed_at,
            health=health,
            code=code,
            model=model,
            at=datetime.now(UTC),
        )
        told = self._told.get(key.id)
        early = told[1] + AT_MOST_EVERY - monotonic() if told is not None else 0
        if early > 0:
            if key.id not in self._waiting:
                asyncio.get_running_loop().call_later(early, self._tell_waiting, key.id)
            self._waiting[key.id] = seen
        else:
            self._tell(seen)

    def _tell_waiting(self, key_id: UUID) -> None:
        seen = self._waiting.pop(key_id, None)
        if seen is not None:
            self._tell(seen)

    def _tell(self, seen: Sighting) -> None:
        self._told[seen.key_id] = seen, monotonic()
        if len(self._told) > MAX_REMEMBERED:
            del self._told[next(iter(self._told))]
        self._store(seen)
