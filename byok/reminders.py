"""Letters about provider keys that need attention, though calls with them may well succeed.

Each occasion is noted once for a key (`KeyNotice`), and those who manage the key are told of what
was noted. What is no longer so by then is forgotten instead.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from time import monotonic

import structlog
from django.db import IntegrityError, transaction
from django.db.models import F, Max, Min, QuerySet
from django.utils import timezone

from byok import attention
from byok.attention import Attention, Kind, attention_in
from byok.letters import holder_of
from byok.models import KeyNotice, ProviderKey
from byok.providers import name_of
from orgs.letters import SECONDS, send_letter, unclaimed
from orgs.models import Account
from orgs.permissions import Permission, those_who_may

log = structlog.get_logger(__name__)

#: In one run so many occasions are noted, and as many accounts written to, within so many seconds.
#: The next run takes the others.
AT_ONCE = 500


def tell_of_keys_that_need_attention() -> int:
    """Write to those who manage them, one letter an account and person; say of how many keys.

    Safe to run twice at once: whoever claims a notice writes of it, and of each occasion there is
    one. Where no letter could be sent a later run tries again, and so does one after a process was
    killed over it: to be told twice is better than never.
    """
    told, until = 0, monotonic() + SECONDS
    for key, kind, about in islice(_needing(timezone.now()), AT_ONCE):
        _note(key, kind, about)
    for account in _waiting():
        if monotonic() > until:
            break
        told += _tell(account, until)
    return told


def _needing(at: datetime) -> Iterator[tuple[ProviderKey, Kind, str]]:
    """Keys of all accounts that need attention for an occasion that was not noted, and for which.

    Beside it come others of the same key, which may have been noted.
    """
    for key in attention.without_notice(at).defer("secret")[:AT_ONCE]:
        for reason in attention.judge(key, (), at):
            yield key, reason.kind, reason.about
    for ending in attention.endings(at):
        for key in attention.served_without_notice(ending, at).defer("secret")[:AT_ONCE]:
            yield key, ending.kind, ending.about


def _note(key: ProviderKey, kind: Kind, about: str) -> None:
    try:
        with transaction.atomic():
            KeyNotice.objects.create(key=key, kind=kind, about=about)
    except IntegrityError:
        pass  # It is noted already, or the key was deleted meanwhile.


def _untold() -> QuerySet[KeyNotice]:
    """What nobody was told of, and nobody is just about to."""
    return KeyNotice.objects.filter(unclaimed("claimed_at"), told_at=None)


def _waiting() -> list[Account]:
    """Whom to write to. Those where that failed before come last, or all others waited for them."""
    notices = _untold().values("key__account")
    waiting = notices.annotate(tried=Max("claimed_at"), found=Min("found_at"))
    ordered = waiting.order_by(F("tried").asc(nulls_first=True), "found")
    ids = list(ordered.values_list("key__account", flat=True)[:AT_ONCE])
    accounts = Account.objects.in_bulk(ids)
    return [accounts[id_] for id_ in ids if id_ in accounts]


def _claim(account: Account, now: datetime) -> list[KeyNotice]:
    with transaction.atomic():
        free = _untold().filter(key__account=account).order_by("pk")
        claimed = list(free.select_for_update(of=("self",), no_key=True))
        KeyNotice.objects.filter(pk__in=[notice.pk for notice in claimed]).update(claimed_at=now)
    return claimed


def _tell(account: Account, until: float) -> int:
    """Write of what can be claimed in this account; say of how many keys people were told."""
    now = timezone.now()
    claimed = _claim(account, now)
    keys = ProviderKey.objects.filter(pk__in={notice.key_id for notice in claimed}).defer("secret")
    reasons = attention_in(account, keys, now)
    told: dict[ProviderKey, list[Attention]] = {}
    standing = []
    for key in sorted(keys, key=lambda key: name_of(key.provider).lower()):
        noted = {
            (notice.kind, notice.about): notice.pk for notice in claimed if notice.key_id == key.pk
        }
        if so := [reason for reason in reasons[key.pk] if (reason.kind, reason.about) in noted]:
            told[key] = so
            standing += [noted[reason.kind, reason.about] for reason in so]
    mine = KeyNotice.objects.filter(pk__in=[notice.pk for notice in claimed])
    mine.exclude(pk__in=standing).delete()
    # Where nobody could be told the claim stays, and runs out before the next run.
    if not told or not _write(account, told, until):
        return 0
    mine.update(claimed_at=None, told_at=timezone.now())
    return len(told)


def _write(account: Account, told: Mapping[ProviderKey, Sequence[Attention]], until: float) -> bool:
    """Whether anybody was told, or there is nobody to tell."""
    people = list(those_who_may(Permission.MANAGE_KEYS, account))
    context = {
        "keys": [(name_of(key.provider), reasons) for key, reasons in told.items()],
        **holder_of(account),
    }
    letters = 0
    for person in people:
        # While letters go out it is only a moment; a server that does not answer takes its time.
        if not letters and monotonic() > until:
            break
        letters += send_letter("byok/email/keys_need_attention", person.email, context)
    if letters:
        log.info("byok.keys.attention_told", account=str(account.pk), letters=letters)
    return bool(letters) or not people
