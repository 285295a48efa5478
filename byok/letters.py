"""What people are told by e-mail of their provider keys."""

from datetime import timedelta
from time import monotonic

import structlog
from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from byok.models import ProviderKey
from byok.providers import name_of
from orgs.access import account_url
from orgs.letters import send_letter
from orgs.permissions import Permission, those_who_may

log = structlog.get_logger(__name__)

#: A key that fails, works and fails again within so long is told of once.
ONCE_IN = timedelta(days=1)
#: In one run, and so many seconds of it: a mail server that does not answer takes its time over
#: every letter. The next run takes the others.
AT_ONCE = 100
SECONDS = 60.0


def tell_of_failing_keys() -> int:
    """Write to those who manage a key that has started to fail, once; say of how many keys.

    Safe to run twice at once: whoever marks a key writes. Where no letter could be sent the mark is
    taken back, and the next run tries again; a process that is killed in between tells nobody of
    that one key, rather than somebody twice.
    """
    told, until = 0, monotonic() + SECONDS
    for key in _untold().select_related("account").order_by("health_at")[:AT_ONCE]:
        if monotonic() > until:
            break
        now = timezone.now()
        if not _untold().filter(pk=key.pk).update(failing_told_at=now):
            continue
        if _write_of(key):
            told += 1
        else:
            marked = ProviderKey.objects.filter(pk=key.pk, failing_told_at=now)
            marked.update(failing_told_at=key.failing_told_at)
    return told


def _untold() -> QuerySet[ProviderKey]:
    return ProviderKey.objects.enabled().filter(
        Q(failing_told_at=None) | Q(failing_told_at__lt=F("health_at") - ONCE_IN),
        health=ProviderKey.Health.FAILING,
    )


def _write_of(key: ProviderKey) -> bool:
    """Whether anybody was told, or there is nobody to tell."""
    people = list(those_who_may(Permission.MANAGE_KEYS, key.account))
    context = {
        "provider": name_of(key.provider),
        "key": key,
        "organization": key.account if key.account.is_organization else None,
        "link": settings.MEGABRAIN_BASE_URL + account_url("byok:keys", key.account),
    }
    sent = [send_letter("byok/email/key_failing", person.email, context) for person in people]
    if any(sent):
        log.info("byok.key.failing_told", key=str(key.pk), letters=sum(sent))
    return any(sent) or not people
