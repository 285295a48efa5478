"""An account's usage summed up for the dashboard: by day and by who paid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from billing.models import UsageRecord
from billing.models import UsageRecordQuerySet as Calls
from byok.providers import name_of
from megabrain.site.charts import BarChart, bar_chart
from megabrain.site.error_codes import ERROR_CODES
from megabrain.site.provider_keys import KeyRow
from megabrain.site.templatetags.figures import compact, money, number, share
from orgs.models import Account, User
from orgs.permissions import Permission
from orgs.requests import SignedInRequest

Payer = UsageRecord.Payer
CODES = {entry.code for entry in ERROR_CODES}

PERIODS = (7, 30)
LATEST = 8


@dataclass(frozen=True, slots=True)
class DayUsage:
    """One payer's share of one day. Cost is the market price of what ran on one's own keys."""

    day: date
    payer: str
    requests: int
    succeeded: int
    input_tokens: int
    output_tokens: int
    charged: int
    market: int

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def cost(self) -> int:
        return self.charged if self.payer == Payer.BALANCE else self.market


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that the chart can show: what it is called, where it is found, how it reads."""

    label: str
    title: str
    read: Callable[[DayUsage], int]
    form: Callable[[int], str]


METRICS = {
    "requests": Metric("Requests", "Requests a day", lambda usage: usage.requests, number),
    "tokens": Metric("Tokens", "Tokens a day", lambda usage: usage.tokens, compact),
    "cost": Metric("Cost", "Cost a day", lambda usage: usage.cost, money),
}


@dataclass(frozen=True, slots=True)
class Totals:
    requests: int
    succeeded: int
    input_tokens: int
    output_tokens: int
    market: int
    charged: int
    byok_requests: int
    balance_requests: int

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def success(self) -> str:
        if not self.requests:
            return "none in this period"
        return f"{share(self.succeeded, self.requests)}% succeeded"

    @property
    def token_split(self) -> str:
        return f"{compact(self.input_tokens)} in, {compact(self.output_tokens)} out"

    @property
    def balance_note(self) -> str:
        return f"{number(self.balance_requests)} requests"


@dataclass(frozen=True, slots=True)
class Call:
    """A line of the latest calls."""

    model: str
    caller: str
    served_by: str
    hint: str
    input_tokens: int
    output_tokens: int
    cost: int
    payer: str
    latency_ms: int
    ok: bool
    outcome: str
    status: int
    created_at: datetime

    @property
    def is_documented(self) -> bool:
        """Whether the outcome is an error code with an entry in the documentation."""
        return self.outcome in CODES


def visible_calls(request: SignedInRequest) -> Calls:
    """The account's calls, or only the visitor's own where they may not see everyone's."""
    calls = UsageRecord.objects.for_account(request.account)
    if Permission.SEE_ALL_USAGE in request.permissions:
        return calls
    return calls.filter(user_id=request.user.pk)


def usage_of(calls: Calls, *, days: int, today: date) -> list[DayUsage]:
    """What these calls used on each of the last `days` days, in one query, by day and payer."""
    start = datetime.combine(today - timedelta(days=days - 1), time(), UTC)
    rows = (
        calls.filter(created_at__gte=start)
        .annotate(day=TruncDate("created_at", tzinfo=UTC))
        .values("day", "payer")
        .annotate(
            requests=Count("pk"),
            succeeded=Count("pk", filter=Q(outcome="ok")),
            input=Sum(F("input_tokens") + F("cache_read_tokens") + F("cache_write_tokens")),
            output=Sum("output_tokens"),
            charged=Sum("charged_micros"),
            market=Sum("market_micros"),
        )
        .order_by("day", "payer")
    )
    return [
        DayUsage(
            row["day"],
            row["payer"],
            row["requests"],
            row["succeeded"],
            row["input"],
            row["output"],
            row["charged"],
            row["market"],
        )
        for row in rows
    ]


def totals(usage: Sequence[DayUsage]) -> Totals:
    """The sums over the period; market cost counts only what one's own keys paid for."""
    byok = [each for each in usage if each.payer == Payer.BYOK]
    balance = [each for each in usage if each.payer == Payer.BALANCE]
    return Totals(
        requests=sum(each.requests for each in usage),
        succeeded=sum(each.succeeded for each in usage),
        input_tokens=sum(each.input_tokens for each in usage),
        output_tokens=sum(each.output_tokens for each in usage),
        market=sum(each.market for each in byok),
        charged=sum(each.charged for each in balance),
        byok_requests=sum(each.requests for each in byok),
        balance_requests=sum(each.requests for each in balance),
    )


def usage_chart(
    account: Account, usage: Sequence[DayUsage], metric: Metric, *, days: int
) -> BarChart:
    """One column a day, also for days without a call; a payer who never paid has no series."""
    whose = "Your" if account.is_personal else "The organization's"
    names = {
        Payer.BYOK: f"{whose} provider keys",
        Payer.BALANCE: "MegaBrain balance",
        Payer.NONE: "Nobody",
    }
    today = timezone.now().date()
    values = {(each.day, each.payer): metric.read(each) for each in usage}
    paid = {payer for (_, payer), value in values.items() if value}
    payers = [payer for payer in names if payer in paid or payer == Payer.BYOK]
    dates = [today - timedelta(days=ago) for ago in reversed(range(days))]
    return bar_chart(
        metric.title,
        [names[payer] for payer in payers],
        [
            (f"{day:%b} {day.day}", [values.get((day, payer), 0) for payer in payers])
            for day in dates
        ],
        metric.form,
    )


def latest_calls(request: SignedInRequest, keys: Sequence[KeyRow]) -> list[Call]:
    """The last few calls, each with the one of these keys that served it.

    An organization's also say whose they are.
    """
    hints = {key.id: key.hint for key in keys}
    records = list(visible_calls(request).order_by("-created_at", "-pk")[:LATEST])
    callers: dict[UUID, str] = {}
    if request.account.is_organization:
        ids = {record.user_id for record in records if record.user_id}
        callers = dict(User.objects.filter(pk__in=ids).values_list("pk", "email"))
    return [
        Call(
            model=record.model,
            caller=callers.get(record.user_id, "") if record.user_id else "",
            served_by=name_of(record.provider) if record.provider else "",
            hint=hints.get(record.provider_key_id, "") if record.provider_key_id else "",
            input_tokens=record.input_tokens + record.cache_read_tokens + record.cache_write_tokens,
            output_tokens=record.output_tokens,
            cost=record.charged_micros if record.payer == Payer.BALANCE else record.market_micros,
            payer=record.payer,
            latency_ms=record.latency_ms,
            ok=record.outcome == "ok",
            outcome=record.outcome,
            status=record.status,
            created_at=record.created_at,
        )
        for record in records
    ]
