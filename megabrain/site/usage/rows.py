"""Requests as the pages tell of them: lines of the list, and the page of one."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from billing.models import UsageRecord
from byok.models import ProviderKey
from byok.providers import name_of
from megabrain.site.error_codes import ERROR_CODES
from megabrain.site.usage.filters import Viewer
from orgs.access import account_url
from orgs.models import Account, ApiToken

Payer, Result, Source = UsageRecord.Payer, UsageRecord.Result, UsageRecord.UsageSource

_CODES = {entry.code for entry in ERROR_CODES}
_TONES = {
    Result.OK: "success",
    Result.CLOSED: "warning",
    Result.REFUSED: "danger",
    Result.FAILED: "danger",
}
_ICONS = {Result.OK: "check", Result.CLOSED: "warning", Result.REFUSED: "x", Result.FAILED: "x"}
#: What became of one try, in words; otherwise it ended as the request did.
_ATTEMPTS = {
    "ok": "Answered",
    "rejected": "Key rejected",
    "no_access": "No access to the model",
    "no_credit": "Out of credit",
    "rate_limited": "Rate limited",
    "model_missing": "Model not there",
    "overloaded": "Overloaded",
    "bad_request": "Request refused",
    "unavailable": "Unavailable",
    "client_closed": "Caller left",
}


@dataclass(frozen=True, slots=True)
class Token:
    """An API token that called, as people know it, and whose it is."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended, as a badge says it; `href` leads to what an error code means."""

    label: str
    tone: str
    icon: str
    href: str

    @classmethod
    def of(cls, record: UsageRecord) -> "Ending":
        known = record.outcome in _CODES
        label = record.result.label if not known else f"{record.status} {record.outcome}"
        href = f"{reverse('docs_page', args=['errors'])}#{record.outcome}" if known else ""
        return cls(label, _TONES[record.result], _ICONS[record.result], href)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list."""

    record: UsageRecord
    url: str
    token: Token | None
    served_by: str
    hint: str
    ending: Ending

    @property
    def input_tokens(self) -> int:
        record = self.record
        return record.input_tokens + record.cache_read_tokens + record.cache_write_tokens

    @property
    def cost(self) -> int:
        """What the balance was charged, or the market price of what one's own key served."""
        record = self.record
        return record.charged_micros if record.payer == Payer.BALANCE else record.market_micros

    @property
    def is_market(self) -> bool:
        return self.record.payer == Payer.BYOK


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a request; `key_url` is there if the key still is, and the viewer manages it."""

    number: int
    provider: str
    hint: str
    key_url: str
    outcome: str
    answered: bool
    status: int | None
    milliseconds: int | None


def rows_of(
    records: Iterable[UsageRecord],
    viewer: Viewer,
    tokens: Mapping[uuid.UUID, Token],
    keys: Mapping[uuid.UUID, ProviderKey],
) -> list[Row]:
    return [
        Row(
            record,
            url=account_url("usage_request", viewer.account, request_id=record.request_id),
            token=tokens.get(record.token_id) if record.token_id else None,
            served_by=name_of(record.provider) if record.provider else "",
            hint=_hint(keys, record.provider_key_id),
            ending=Ending.of(record),
        )
        for record in records
    ]


def _hint(keys: Mapping[uuid.UUID, ProviderKey], id_: uuid.UUID | None) -> str:
    key = keys.get(id_) if id_ else None
    return key.hint if key else ""


def tokens_named(ids: Iterable[uuid.UUID | None]) -> dict[uuid.UUID, Token]:
    """Those of these API tokens that are still known, in one query; some are of other accounts."""
    found = ApiToken.objects.filter(pk__in={id_ for id_ in ids if id_}).select_related("user")
    return {
        token.pk: Token(token.name, token.user.email) for token in found.only("name", "user__email")
    }


def keys_of(viewer: Viewer) -> dict[uuid.UUID, ProviderKey]:
    """The account's keys, for those who manage them; secrets are not even read."""
    if not viewer.manages_keys:
        return {}
    keys = ProviderKey.objects.for_account(viewer.account).defer("secret")
    return {key.pk: key for key in keys}


def attempts_of(record: UsageRecord, viewer: Viewer) -> list[Attempt]:
    keys = keys_of(viewer) if record.attempts else {}
    return [
        _attempt(number, tried, viewer, keys)
        for number, tried in enumerate(record.told_attempts, 1)
    ]


def _attempt(
    number: int,
    tried: Mapping[str, Any],  # Any: JSON.
    viewer: Viewer,
    keys: Mapping[uuid.UUID, ProviderKey],
) -> Attempt:
    key = keys.get(_uuid(tried.get("key")))
    outcome = str(tried.get("outcome") or "")
    return Attempt(
        number,
        provider=name_of(str(tried.get("provider", ""))),
        hint=key.hint if key else "",
        key_url=account_url("byok:details", viewer.account, key_id=key.pk) if key else "",
        outcome=_ATTEMPTS.get(outcome, outcome.replace("_", " ") or "No answer"),
        answered=outcome == "ok",
        status=tried.get("status"),
        milliseconds=tried.get("ms"),
    )


def _uuid(text: object) -> uuid.UUID:
    try:
        return uuid.UUID(str(text))
    except ValueError:
        return uuid.UUID(int=0)


def receipt_of(record: UsageRecord, account: Account) -> str:
    """The headers that the reply carried, as far as the record has them; the account's name in
    them is that of now."""
    headers: list[tuple[str, object]] = [
        ("x-request-id", record.request_id),
        ("x-megabrain-payer", record.payer),
        ("x-megabrain-attempts", len(record.attempts)),
    ]
    if account.is_organization:
        headers.append(("x-megabrain-organization", account.slug))
    if record.known_model:
        headers.append(("x-megabrain-model", record.model))
    if record.provider:
        headers.append(("x-megabrain-provider", record.provider))
    if record.provider_key_id:
        headers.append(("x-megabrain-key", str(record.provider_key_id)[:8]))
    if len(record.attempts) > 1:
        headers.append(("x-megabrain-tried", _tried(record)))
    if record.overhead_us is not None:
        headers.append(("x-megabrain-overhead-ms", f"{record.overhead_us / 1000:.1f}"))
    return "\n".join(f"{name}: {value}" for name, value in headers)


def _tried(record: UsageRecord) -> str:
    """Each attempt with what became of it, but that a stream begins before the last has ended."""
    attempts = record.told_attempts
    answering = attempts[-1] if record.streamed and record.status < 400 else None
    named = []
    for attempt in attempts:
        key, outcome = attempt.get("key"), attempt.get("outcome")
        place = f"{attempt.get('provider')}/{str(key)[:8]}" if key else str(attempt.get("provider"))
        named.append(f"{place}={outcome}" if outcome and attempt is not answering else place)
    return ", ".join(named)
