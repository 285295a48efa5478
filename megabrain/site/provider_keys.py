"""An account's provider keys and their health, as the dashboard tells them."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from byok.models import ProviderKey
from byok.providers import name_of
from orgs.models import Account

Health = ProviderKey.Health
TONES = {
    Health.WORKS: "success",
    Health.COOLING: "warning",
    Health.FAILING: "danger",
    Health.UNTESTED: "neutral",
}


@dataclass(frozen=True, slots=True)
class KeyRow:
    id: uuid.UUID
    provider: str
    hint: str
    enabled: bool
    health: str
    tone: str
    reason: str
    last_used_at: datetime | None


def key_rows(account: Account) -> list[KeyRow]:
    """The account's keys by the name of their provider. Secrets are not even read."""
    keys = ProviderKey.objects.for_account(account).defer("secret")
    rows = [
        KeyRow(
            id=key.id,
            provider=name_of(key.provider),
            hint=key.hint,
            enabled=key.enabled,
            health=key.health_now.label if key.enabled else "Off",
            tone=TONES[key.health_now] if key.enabled else "neutral",
            reason=key.health_message if key.enabled and key.health_now != Health.WORKS else "",
            last_used_at=key.last_used_at,
        )
        for key in keys
    ]
    return sorted(rows, key=lambda row: row.provider.lower())


def provider_names(account: Account) -> list[str]:
    """The providers that the account has a key of in use, for those who may know no more."""
    keys = ProviderKey.objects.for_account(account).enabled()
    return sorted(map(name_of, keys.values_list("provider", flat=True)), key=str.lower)
