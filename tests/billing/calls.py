"""Records of calls that were never made, with figures of every kind."""

import random
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Sum

from billing.models import UsageDay, UsageRecord
from billing.models.rollup import Day
from billing.rollup import COMMON, SUMS

PAYERS = ("byok", "balance", "none")
ENDINGS = (
    (200, "ok"),
    (200, "ok"),
    (499, "client_closed"),
    (429, "byok_rate_limited"),
    (503, "upstream_unavailable"),
    (200, "upstream_unavailable"),  # A stream that broke.
    (404, "model_not_found"),
)
BEGINNING = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)


def record(**fields: Any) -> UsageRecord:
    values: dict[str, Any] = {
        "account_id": uuid.UUID(int=1),
        "endpoint": "messages",
        "model": "anthropic/claude-sonnet-5.5",
        "provider": "anthropic",
        "payer": "byok",
        "status": 200,
        "outcome": "ok",
        "latency_ms": 1234,
        "created_at": BEGINNING,
        **fields,
    }
    return UsageRecord(**values)


def any_call(chance: random.Random, **fields: Any) -> UsageRecord:
    """A call of one of a few people, tokens, models and keys, within three days."""
    status, outcome = chance.choice(ENDINGS)
    provider = chance.choice(("anthropic", "openai", ""))
    values: dict[str, Any] = {
        "account_id": uuid.UUID(int=chance.randint(1, 2)),
        "user_id": chance.choice((None, uuid.UUID(int=chance.randint(10, 12)))),
        "token_id": chance.choice((None, uuid.UUID(int=chance.randint(20, 22)))),
        "model": chance.choice(("a/one", "b/two", "no such model")),
        "provider": provider,
        "provider_key_id": uuid.UUID(int=chance.randint(30, 31)) if provider else None,
        "payer": chance.choice(PAYERS),
        "status": status,
        "outcome": outcome,
        "created_at": BEGINNING + timedelta(seconds=chance.randint(0, 2 * 86_400)),
        **{name: chance.choice((0, 1, chance.randint(0, 10**9))) for name in SUMS},
        **fields,
    }
    return record(**values)


def summed(records: Iterable[UsageRecord]) -> dict[tuple[object, ...], list[int]]:
    """What the sums by day have to be, added up one by one."""
    sums: dict[tuple[object, ...], list[int]] = {}
    for each in records:
        common = (
            each.created_at.astimezone(UTC).date(),
            each.account_id,
            "" if each.outcome == "model_not_found" and not each.provider else each.model,
            each.provider,
            each.provider_key_id,
            str(each.payer),
            _result(each),
            each.user_id,
            each.token_id,
        )
        row = sums.setdefault(common, [0] * (len(SUMS) + 1))
        for place, value in enumerate((1, *(getattr(each, name) for name in SUMS))):
            row[place] += value
    return sums


def of_everybody(sums: dict[tuple[object, ...], list[int]]) -> dict[tuple[object, ...], list[int]]:
    """The same whoever called, with whichever token."""
    folded: dict[tuple[object, ...], list[int]] = {}
    for (*common, _user, _token), row in sums.items():
        before = folded.get(tuple(common), [0] * len(row))
        folded[tuple(common)] = [had + more for had, more in zip(before, row, strict=True)]
    return folded


def kept(
    model: type[Day] = UsageDay, names: tuple[str, ...] = COMMON
) -> dict[tuple[object, ...], list[int]]:
    """What they are. There is one row of each kind of call."""
    sums: dict[tuple[object, ...], list[int]] = {}
    for day in model.objects.all():
        common = tuple(getattr(day, name) for name in names)
        assert common not in sums
        sums[common] = [day.requests, *(getattr(day, name) for name in SUMS)]
    return sums


def total() -> int:
    return int(UsageDay.objects.aggregate(all=Sum("requests", default=0))["all"])


def _result(each: UsageRecord) -> str:
    if each.outcome in {"ok", "client_closed"}:
        return {"ok": "ok", "client_closed": "closed"}[each.outcome]
    return "refused" if each.status // 100 == 4 else "failed"
