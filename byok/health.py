"""What calls with a key showed of its health, stored for its page and for other processes.

The gateway sees it first and hands it over in batches. A sighting is of one secret: if the key has
been given another one since, it says nothing about that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q

from byok.models import ProviderKey
from byok.providers import PROVIDERS
from byok.providers.base import Outcome
from orgs.changes import announce

log = structlog.get_logger(__name__)

Health = ProviderKey.Health

UNREADABLE = "unreadable"
CANNOT_BE_OPENED = (
    "The stored {name} key can no longer be opened, so it cannot be used. "
    "Enter it again with Update."
)

SENTENCES: Mapping[str, str] = {
    Outcome.REJECTED: (
        "{name} rejected this key in a call: it is wrong, revoked or expired. "
        "Create a new one at {console_url} and update this key."
    ),
    Outcome.NO_ACCESS: (
        "{name} knows this key but did not let a call use {model}. "
        "Give it access to models at {console_url}."
    ),
    Outcome.NO_CREDIT: (
        "{name} refused a call: the account of this key is out of credit or at a spending limit. "
        "Add credit or raise the limit at {name}, then test the key."
    ),
    Outcome.RATE_LIMITED: "{name} is limiting the calls of this key. It is tried after others.",
    UNREADABLE: CANNOT_BE_OPENED,
}


@dataclass(frozen=True, slots=True)
class Sighting:
    """A call showed that the key works, fails or is to cool down. `code` says why, if not."""

    key_id: UUID
    account_id: UUID
    provider: str
    secret_changed_at: datetime
    health: ProviderKey.Health
    code: str
    model: str
    at: datetime


def store_sightings(sightings: Iterable[Sighting]) -> int:
    """Store each, and say how many rows changed. Those of a replaced secret change nothing."""
    changed = 0
    for seen in sightings:
        with transaction.atomic():
            rows = ProviderKey.objects.filter(
                Q(health_at__isnull=True) | Q(health_at__lt=seen.at),
                pk=seen.key_id,
                secret_changed_at=seen.secret_changed_at,
            ).update(
                health=seen.health,
                health_code=seen.code,
                health_message=_sentence(seen),
                health_at=seen.at,
            )
            if rows:
                announce("keys", str(seen.account_id))
        if rows:
            changed += 1
            log.info(
                "byok.key.health",
                key=str(seen.key_id),
                provider=seen.provider,
                health=str(seen.health),
                code=seen.code,
            )
    return changed


def store_last_use(used: Mapping[UUID, datetime]) -> None:
    """Remember when each of these keys was last used for a call."""
    by_moment: dict[datetime, list[UUID]] = {}
    for key_id, at in used.items():
        # Nobody needs it more exactly than this, and one statement then serves many keys.
        by_moment.setdefault(at.replace(microsecond=0), []).append(key_id)
    for at, ids in by_moment.items():
        ProviderKey.objects.filter(pk__in=ids).update(last_used_at=at)


def _sentence(seen: Sighting) -> str:
    provider = PROVIDERS.get(seen.provider)
    if not seen.code or provider is None:
        return ""
    return SENTENCES[seen.code].format(
        name=provider.name, console_url=provider.console_url, model=seen.model
    )[:300]
