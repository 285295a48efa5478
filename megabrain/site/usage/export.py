"""Requests as a CSV file, oldest first, made while it is sent."""

import uuid
from collections.abc import Iterable, Iterator
from itertools import islice

from billing.models import UsageRecord
from billing.selection import BATCH, Selection
from megabrain.site.usage.filters import Viewer
from megabrain.site.usage.rows import Token, tokens_named
from orgs.exports import csv_lines
from orgs.models import User
from orgs.money import dollars
from orgs.permissions import Permission, require

COLUMNS = (
    "time_utc",
    "request_id",
    "model",
    "upstream_model",
    "provider",
    "provider_key",
    "paid_by",
    "status",
    "outcome",
    "member",
    "api_token",
    "endpoint",
    "streamed",
    "attempts",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_long_tokens",
    "output_tokens",
    "reasoning_tokens",
    "tokens_from",
    "charged_usd",
    "market_usd",
    "latency_ms",
    "first_byte_ms",
    "client",
)

Payer = UsageRecord.Payer

#: After so many requests the right to read them is asked for again.
ASKED_AGAIN = 1000


def export(selection: Selection, viewer: Viewer) -> Iterator[str]:
    """The lines of the file. Raises `NotPermitted` between two of them when the right to read has
    been lost by then."""
    return csv_lines(COLUMNS, _rows(_readable(selection.read(), viewer)))


def _readable(records: Iterable[UsageRecord], viewer: Viewer) -> Iterator[UsageRecord]:
    """The requests for as long as the right to read them lasts; a long download outlives it."""
    right = Permission.SEE_ALL_USAGE if viewer.sees_all else Permission.USE_ACCOUNT
    for number, record in enumerate(records):
        if number and number % ASKED_AGAIN == 0:
            require(viewer.user, right, viewer.account)
        yield record


def _rows(records: Iterator[UsageRecord]) -> Iterator[list[object]]:
    tokens: dict[uuid.UUID, Token] = {}
    members: dict[uuid.UUID, str] = {}
    while batch := list(islice(records, BATCH)):
        # Only those of this batch: a file of any length takes no more memory.
        ids = {record.token_id for record in batch if record.token_id}
        if not ids <= tokens.keys():
            tokens = tokens_named(ids)
        people = {record.user_id for record in batch if record.user_id}
        if not people <= members.keys():
            members = dict(User.objects.filter(pk__in=people).values_list("pk", "email"))
        for record in batch:
            token = tokens.get(record.token_id) if record.token_id else None
            member = members.get(record.user_id) if record.user_id else None
            yield _row(record, member or (token.email if token else ""), token)


def _row(record: UsageRecord, member: str, token: Token | None) -> list[object]:
    """The request as COLUMNS name it; times as spreadsheets read them, dollars exactly."""
    return [
        f"{record.created_at:%Y-%m-%d %H:%M:%S}",
        record.request_id,
        record.model,
        record.upstream_model,
        record.provider,
        record.provider_key_id if record.payer == Payer.BYOK else "",
        record.payer,
        record.status,
        record.outcome,
        member,
        token.name if token else "",
        record.endpoint,
        "yes" if record.streamed else "no",
        len(record.attempts),
        record.input_tokens,
        record.cache_read_tokens,
        record.cache_write_tokens,
        record.cache_write_long_tokens,
        record.output_tokens,
        record.reasoning_tokens,
        record.usage_source,
        _plain(record.charged_micros),
        _plain(record.market_micros),
        record.latency_ms,
        "" if record.first_byte_ms is None else record.first_byte_ms,
        record.client,
    ]


def _plain(micros: int) -> str:
    """Dollars as a number for a spreadsheet."""
    return dollars(micros)[1:].replace(",", "")
