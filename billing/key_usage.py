"""What one provider key did lately, for the page of that key."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Q, Sum
from django.utils import timezone

from billing.models import UsageRecord


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """Calls that this key answered last, how many of them well, and their market cost."""

    requests: int
    succeeded: int
    market_micros: int


def usage_of_key(key_id: uuid.UUID, period: timedelta = timedelta(days=1)) -> KeyUsage:
    """The key's use in the period up to now, in one query."""
    sums = UsageRecord.objects.filter(
        provider_key_id=key_id, created_at__gt=timezone.now() - period
    ).aggregate(
        requests=Count("pk"),
        succeeded=Count("pk", filter=Q(outcome="ok")),
        market_micros=Sum("market_micros", default=0),
    )
    return KeyUsage(**sums)
