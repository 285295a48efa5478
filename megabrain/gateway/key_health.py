"""From the outcome of attempts to what is remembered of keys, here and in the database."""

from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from uuid import UUID

from byok.health import UNREADABLE, Sighting
from byok.models import ProviderKey
from byok.providers.base import Outcome
from megabrain.gateway.attempts import TIMED_OUT, UNSEALABLE, Failed
from megabrain.gateway.cooling import Cooling
from megabrain.gateway.snapshot import Key, Model

#: A key whose answers vary from call to call is not written down with each of them.
AT_MOST_EVERY = 2.0
MAX_REMEMBERED = 20_000

Health = ProviderKey.Health


class KeyHealth:
    """Tells `cooling` at once, and `store` what the row of the key does not say yet."""

    def __init__(self, cooling: Cooling, store: Callable[[Sighting], None]) -> None:
        self.cooling = cooling
        self._store = store
        self._told: dict[UUID, tuple[Health, str, float]] = {}

    def worked(self, key: Key) -> None:
        self.cooling.worked(key.id)
        if key.health != Health.WORKS:
            self._see(key, Health.WORKS, "", "")

    def failed(self, failed: Failed, model: Model | None) -> None:
        key, name = failed.candidate.key, model.id if model else ""
        match failed.outcome:
            case Outcome.REJECTED | Outcome.NO_CREDIT:
                self._see(key, Health.FAILING, failed.outcome, name)
            case Outcome.NO_ACCESS:
                self.cooling.lacking(key.id, name)
                if key.health != Health.WORKS:
                    # A key that serves other models is not failing because of this one.
                    self._see(key, Health.FAILING, failed.outcome, name)
            case Outcome.RATE_LIMITED:
                self.cooling.limited(key.id, failed.retry_after)
                self._see(key, Health.COOLING, failed.outcome, name)
            case Outcome.MODEL_MISSING:
                self.cooling.lacking(key.id, name)
            case Outcome.OVERLOADED | Outcome.UNAVAILABLE | "timed_out":
                self.cooling.failed(key.id)
            case "unsealable":
                self._see(key, Health.FAILING, UNREADABLE, name)

    def _see(self, key: Key, health: Health, code: str, model: str) -> None:
        if key.health == health and key.health_code == code:
            return
        now = monotonic()
        told = self._told.get(key.id)
        if told is not None:
            same = told[:2] == (health, code)
            # The row will say it in a moment, and then so does the key.
            if now - told[2] < (5 * AT_MOST_EVERY if same else AT_MOST_EVERY):
                return
        self._told[key.id] = (health, code, now)
        if len(self._told) > MAX_REMEMBERED:
            del self._told[next(iter(self._told))]
        self._store(
            Sighting(
                key_id=key.id,
                account_id=key.account_id,
                provider=key.provider,
                secret_changed_at=key.secret_changed_at,
                health=health,
                code=code,
                model=model,
                at=datetime.now(UTC),
            )
        )


assert (TIMED_OUT, UNSEALABLE) == ("timed_out", "unsealable"), "The cases above name them."
