"""What one provider key, or one member, did lately, for their pages."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Q, Sum
from django.utils import timezone

from billing.models import UsageDay, UsageRecord

Payer = UsageRecord.Payer
DAYS = 30


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


@dataclass(frozen=True, slots=True)
class RecentUsage:
    """Calls of the last 30 days of UTC, today among them, and what they cost."""

    requests: int
    charged_micros: int
    market_micros: int  # Of what the account's own keys served.


def recent_usage_of_member(account_id: uuid.UUID, user_id: uuid.UUID) -> RecentUsage:
    """What the member called in the account, from the sums by day."""
    today = timezone.now().date()
    days = UsageDay.objects.filter(account_id=account_id, user_id=user_id)
    sums = days.between(today - timedelta(days=DAYS - 1), today).aggregate(
        calls=Sum("requests", default=0),
        charged=Sum("charged_micros", default=0),
        market=Sum("market_micros", filter=Q(payer=Payer.BYOK), default=0),
    )
    return RecentUsage(int(sums["calls"]), int(sums["charged"]), int(sums["market"]))
