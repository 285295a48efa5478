"""Old usage records go; the sums by day stay."""

import time
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from billing.models import UsageRecord

#: Records removed in one statement, so that no transaction is long.
CHUNK = 2000


def kept_since() -> datetime | None:
    """The moment before which records may be gone; None while all are kept."""
    days = settings.MEGABRAIN_USAGE_DAYS
    return timezone.now() - timedelta(days=days) if days else None


def prune_usage(*, seconds: float, chunk: int = CHUNK) -> int:
    """Remove records that are older than the setting says; how many they were.

    The next call goes on where this one's time was over. What is in no sum yet stays.
    """
    before = kept_since()
    if before is None:
        return 0
    until = time.monotonic() + seconds
    removed, last = 0, 0
    # Records are written as calls end, so the old ones are where the table begins.
    while first := list(
        UsageRecord.objects.filter(pk__gt=last)
        .order_by("pk")
        .values_list("pk", "created_at", "counted")[:chunk]
    ):
        old = [pk for pk, created_at, counted in first if counted and created_at < before]
        if not old:
            break
        removed += UsageRecord.objects.filter(pk__in=old).delete()[0]
        last = first[-1][0]
        if time.monotonic() > until:
            break
    return removed
