"""What a single key covers: which models its provider lists for it.

A worker asks after a test of the key has passed, by a task of its own, so that nobody waits for it.
An answer that cannot be read or believed changes nothing. That a list lacks a model counts only
where it is known that lists show it: there are ids that work and are in nobody's list.

Whatever a customer's key is shown, no model is added to the catalogue for it, and none is retired.
All that others have of it is to know which ids lists show.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

from byok.catalogue.asking import NotRead, all_pages
from byok.models import Coverage, KeyTest, Offering, ProviderKey
from byok.providers import PROVIDERS
from byok.providers.base import Provider, UnusableSecret, UpstreamRequest
from byok.vault import Unsealable
from orgs.changes import announce

#: For all pages of a list together.
SECONDS = 20.0
#: So many lists of other keys tell which models lists show at all.
OTHERS = 50
#: A list that is shorter by this factor than the one before is not believed.
SHRUNK = 10

log = structlog.get_logger(__name__)


def learn(key_id: UUID, seconds: float = SECONDS) -> None:
    """Ask the provider which models this key may use, and store that.

    Does nothing if the key is gone, or was replaced meanwhile, or if no list comes that can be
    believed: what an earlier one told of the same secret stays. Never raises for what the provider
    answers.
    """
    key = ProviderKey.objects.filter(pk=key_id).first()
    provider = PROVIDERS.get(key.provider) if key is not None else None
    if key is None or provider is None:
        return
    asked_at = timezone.now()
    try:
        ids = _listed(key, provider, seconds)
    except (NotRead, UnusableSecret, Unsealable) as error:
        log.info("byok.key.not_listed", key=str(key_id), why=str(error))
        return
    stored = _store(key, provider, ids, asked_at)
    log.info("byok.key.listed", key=str(key_id), models=len(ids), stored=stored)


def _listed(key: ProviderKey, provider: Provider, seconds: float) -> set[str]:
    """All ids of all pages. Raises NotRead, UnusableSecret, Unsealable."""
    secret = key.secret.unseal()

    def asking(after: str | None) -> UpstreamRequest:
        return provider.list_models(secret, key.host, after)

    models = all_pages(provider, asking, lambda body: None, seconds)
    return {id_ for model in models for id_ in (model.id, *model.aliases)}


def _store(key: ProviderKey, provider: Provider, ids: set[str], asked_at: datetime) -> bool:
    """Store what was listed for the secret that `key` has in memory; says whether it was."""
    with transaction.atomic():
        locked = ProviderKey.objects.select_for_update().filter(pk=key.pk)
        if locked.values_list("secret_changed_at", flat=True).first() != key.secret_changed_at:
            return False
        # By the clock of whoever stored the secret, no list of it can be older than it is.
        listed_at = max(asked_at, key.secret_changed_at)
        before = Coverage.objects.filter(key=key).first()
        if before is not None and before.listed_at >= listed_at:
            return False
        lacking = _lacking(key, provider, ids, listed_at)
        answered = _answered(key)
        denies = bool(answered) and answered.issubset(lacking)
        if not ids or denies or _is_shrunk(ids, before):
            return False
        Coverage.objects.update_or_create(
            key=key,
            defaults={
                "listed_at": listed_at,
                "upstream_ids": sorted(ids),
                "lacking": sorted(lacking),
            },
        )
        announce("keys", str(key.account_id))
    return True


def _is_shrunk(ids: Collection[str], before: Coverage | None) -> bool:
    return before is not None and len(ids) * SHRUNK < len(before.upstream_ids)


def _answered(key: ProviderKey) -> set[str]:
    """The upstream ids of the model that has just answered in the test of the key."""
    test = key.tests.filter(state=KeyTest.State.PASSED).order_by("-created_at").first()
    model = test.model if test else ""
    known = Offering.objects.filter(provider=key.provider, model=model, retired_at=None)
    return set(known.values_list("upstream_id", flat=True))


def _lacking(
    key: ProviderKey, provider: Provider, ids: Collection[str], listed_at: datetime
) -> list[str]:
    """Upstream ids of offerings that some list had shown by then, and this key's does not.

    Which ones are shown is known from refreshes, and from what other keys of this kind were listed.
    """
    earlier = Coverage.objects.filter(
        key__provider=key.provider, key__host=key.host, listed_at__lt=listed_at
    )
    lists = earlier.order_by("-listed_at").values_list("upstream_ids", flat=True)[:OTHERS]
    shown = {id_ for listed in lists for id_ in listed}
    offerings = Offering.objects.filter(provider=key.provider)
    return [
        upstream_id
        for upstream_id, seen_at in offerings.values_list("upstream_id", "first_seen_at")
        if not provider.lists(upstream_id, ids)
        and ((seen_at is not None and seen_at < listed_at) or provider.lists(upstream_id, shown))
    ]
