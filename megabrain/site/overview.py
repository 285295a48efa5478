"""An account's usage summed up for the dashboard and its chart: by day and by who paid."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db.models import Q, Sum

from billing.models import AccountDay, DayQuerySet, UsageDay, UsageRecord
from billing.models import UsageRecordQuerySet as Calls
from billing.models.rollup import Day
from byok.providers import name_of
from megabrain.site.charts import BarChart, bar_chart
from megabrain.site.error_codes import ERROR_CODES
from megabrain.site.provider_keys import KeyRow
from megabrain.site.templatetags.figures import compact, money, number, share
from orgs.access import account_url
from orgs.models import Account, User
from orgs.permissions import Permission
from orgs.requests import SignedInRequest

Payer = UsageRecord.Payer
CODES = {entry.code for entry in ERROR_CODES}

PERIODS = (7, 30)
LATEST = 8
#: Of more days than these a column of the chart is a week.
MOST_COLUMNS = 92


@dataclass(frozen=True, slots=True)
class DayUsage:
    """One payer's share of one day. `market` is the list price of whoever served the calls."""

    day: date
    payer: str
    requests: int
    succeeded: int
    uncached_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    charged: int
    market: int

    @property
    def input_tokens(self) -> int:
        return self.uncached_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def cost(self) -> int:
        """What the balance was charged, or the market price of what one's own keys served."""
        return self.charged if self.payer == Payer.BALANCE else self.market


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that the chart can show: what it is called, where it is found, how it reads."""

    label: str
    read: Callable[[DayUsage], int]
    form: Callable[[int], str]


METRICS = {
    "requests": Metric("Requests", lambda usage: usage.requests, number),
    "tokens": Metric("Tokens", lambda usage: usage.tokens, compact),
    "cost": Metric("Cost", lambda usage: usage.cost, money),
}


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a period. `market` is of what one's own keys paid for, `market_of_all` of all."""

    requests: int
    succeeded: int
    uncached_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    market: int
    market_of_all: int
    charged: int
    byok_requests: int
    balance_requests: int

    @property
    def input_tokens(self) -> int:
        return self.uncached_tokens + self.cache_read_tokens + self.cache_write_tokens

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
        return counted(self.balance_requests)

    @property
    def byok_note(self) -> str:
        return counted(self.byok_requests)


def counted(requests: int) -> str:
    return f"{number(requests)} request{'' if requests == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Call:
    """A line of the latest calls; `url` is its page."""

    url: str
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


def visible_days(request: SignedInRequest) -> DayQuerySet[Day]:
    """The sums of these calls."""
    if Permission.SEE_ALL_USAGE in request.permissions:
        return AccountDay.objects.for_account(request.account)
    return UsageDay.objects.for_account(request.account).filter(user_id=request.user.pk)


def usage_of(days: DayQuerySet[Day]) -> list[DayUsage]:
    """What was used on these days, in one query, by day and payer."""
    rows = (
        days.values_list("day", "payer")
        .annotate(
            sum_of_requests=Sum("requests"),
            succeeded=Sum("requests", filter=Q(result=UsageRecord.Result.OK), default=0),
            **{f"sum_of_{name}": Sum(name) for name in _SUMMED},
        )
        .order_by("day", "payer")
    )
    # PostgreSQL sums whole numbers to decimal ones.
    return [DayUsage(day, payer, *map(int, sums)) for day, payer, *sums in rows]


#: In the order in which `DayUsage` has them.
_SUMMED = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "charged_micros",
    "market_micros",
)


def totals(usage: Sequence[DayUsage]) -> Totals:
    """The sums over all of these days."""
    byok = [each for each in usage if each.payer == Payer.BYOK]
    balance = [each for each in usage if each.payer == Payer.BALANCE]
    return Totals(
        requests=sum(each.requests for each in usage),
        succeeded=sum(each.succeeded for each in usage),
        uncached_tokens=sum(each.uncached_tokens for each in usage),
        cache_read_tokens=sum(each.cache_read_tokens for each in usage),
        cache_write_tokens=sum(each.cache_write_tokens for each in usage),
        output_tokens=sum(each.output_tokens for each in usage),
        reasoning_tokens=sum(each.reasoning_tokens for each in usage),
        market=sum(each.market for each in byok),
        market_of_all=sum(each.market for each in usage),
        charged=sum(each.charged for each in usage),
        byok_requests=sum(each.requests for each in byok),
        balance_requests=sum(each.requests for each in balance),
    )


def usage_chart(
    account: Account, usage: Sequence[DayUsage], metric: Metric, *, first: date, last: date
) -> BarChart:
    """One column a day, in a long period a week, also where there was no call.

    A payer who never paid has no series.
    """
    whose = "Your" if account.is_personal else "The organization's"
    names = {
        Payer.BYOK: f"{whose} provider keys",
        Payer.BALANCE: "MegaBrain balance",
        Payer.NONE: "Nobody",
    }
    length = (last - first).days + 1
    step = 1 if length <= MOST_COLUMNS else 7
    values: Counter[tuple[int, str]] = Counter()
    for each in usage:
        values[(each.day - first).days // step, each.payer] += metric.read(each)
    paid = {payer for (_, payer), value in values.items() if value}
    payers = [payer for payer in names if payer in paid or payer == Payer.BYOK]
    columns = [
        (_label(first + timedelta(days=place * step)), [values[place, payer] for payer in payers])
        for place in range(-(-length // step))
    ]
    unit = "day" if step == 1 else "week"
    return bar_chart(
        f"{metric.label} a {unit}", [names[payer] for payer in payers], columns, metric.form
    )


def _label(day: date) -> str:
    return f"{day:%b} {day.day}"


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
            url=account_url("usage_request", request.account, request_id=record.request_id),
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
