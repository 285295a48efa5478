"""What people are told by e-mail: of their provider keys, and staff of the catalogue."""

from datetime import timedelta

from django.conf import settings
from django.db.models import F, Q
from django.urls import reverse

from byok.models import CatalogueSource, ChangeSet, ProviderKey
from byok.providers import name_of
from orgs.access import account_url
from orgs.letters import send_letters, tell_each
from orgs.models import Account
from orgs.permissions import Permission, staff, those_who_may

#: A key that fails, works and fails again within so long is told of once.
ONCE_IN = timedelta(days=1)
#: Staff hear of a source that is away when it was so as often as this in a row.
AWAY_AT_LEAST = 3


def tell_of_failing_keys() -> int:
    """Write to those who manage a key that has started to fail, once; say of how many keys."""
    failing = ProviderKey.objects.enabled().filter(
        Q(failing_told_at=None) | Q(failing_told_at__lt=F("health_at") - ONCE_IN),
        health=ProviderKey.Health.FAILING,
    )
    return tell_each(
        failing.order_by("health_at"),
        "failing_claimed_at",
        _write_of,
        lambda now: {"failing_told_at": now},
    )


def holder_of(account: Account) -> dict[str, object]:
    """Whose keys a letter is about, and where they are: `organization` None for the reader's own.

    Those of the platform account are on no page but the admin's.
    """
    path = account_url("byok:keys", account)
    if account.kind == Account.Kind.PLATFORM:
        path = reverse("admin:byok_providerkey_changelist")
    personal = account.kind == Account.Kind.PERSONAL
    return {
        "organization": None if personal else account,
        "link": settings.MEGABRAIN_BASE_URL + path,
    }


def _write_of(key: ProviderKey) -> bool:
    people = those_who_may(Permission.MANAGE_KEYS, key.account)
    context = {"provider": name_of(key.provider), "key": key, **holder_of(key.account)}
    return send_letters("byok/email/key_failing", people, context, key.pk)


def tell_of_catalogue() -> int:
    """Write to staff of each source of the catalogue that is in trouble, or whose changes wait for
    them, once; say of how many. One that is only away has some time to come back.
    """
    sources = CatalogueSource.objects.exclude(trouble="").filter(
        Q(away=0) | Q(away__gte=AWAY_AT_LEAST), told_at=None
    )
    return tell_each(
        sources.order_by("asked_at"), "claimed_at", _write_of_source, lambda now: {"told_at": now}
    )


def _write_of_source(source: CatalogueSource) -> bool:
    waiting = ChangeSet.objects.filter(source=source.name, state=ChangeSet.State.WAITING).first()
    page = "changeset" if waiting else "cataloguesource"
    context = {
        "source": "the feed" if source.name == CatalogueSource.FEED else name_of(source.name),
        "trouble": source.trouble,
        "waiting": waiting,
        "changes": len(waiting.changes) if waiting else 0,
        "link": settings.MEGABRAIN_BASE_URL + reverse(f"admin:byok_{page}_changelist"),
    }
    return send_letters("byok/email/catalogue_trouble", staff(), context, source.name)
