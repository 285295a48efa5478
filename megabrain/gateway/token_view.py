"""The view of an API token for whoever has it: what it may do, and how much of that is used.

What may be spent and what was spent is read afresh, in a thread: it is what the next call is held
against.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from django.conf import settings

from billing.holds import Spender, counters_of
from billing.models import Wallet
from megabrain.gateway.callers import Caller
from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.request import Request
from megabrain.gateway.unpaid import manages_billing, renewal
from megabrain.gateway.views import answer_error, known_caller, look_up
from orgs.models import ApiToken

if TYPE_CHECKING:
    from megabrain.gateway.app import Gateway

Json = dict[str, Any]  # What is answered is JSON of many shapes.

_ENCODER = msgspec.json.Encoder()


async def token(gateway: "Gateway", request: Request) -> None:
    """GET /v1/key: the token's own limits and use, in the account that the request names."""
    call, reply, dialect = look_up(request)
    try:
        caller = await known_caller(gateway, request, call)
        async with gateway.limits.within(caller):
            found = await gateway.snapshot.run(_load, caller, datetime.now(UTC))
        if found is None:
            raise Problem(Code.INVALID_API_KEY, "The API token has just been deleted.")
        await reply.whole(200, _ENCODER.encode(found))
    except Exception as error:  # noqa: BLE001 -- whatever it is, the caller gets an answer.
        await answer_error(error, reply, dialect, call)


def _load(caller: Caller, now: datetime) -> Json | None:
    row = ApiToken.objects.filter(pk=caller.token_id).first()
    if row is None:
        return None
    of_token, of_member = caller.spenders
    organization = caller.organization
    requests = [settings.MEGABRAIN_REQUESTS_PER_MINUTE, *(each.requests for each in caller.limits)]
    allowed = caller.allowed_models
    found: Json = {
        "object": "api_token",
        "id": str(row.pk),
        "name": row.name,
        "prefix": row.prefix,
        "created_at": row.created_at.isoformat(),
        "expires_at": row.expires_at.isoformat() if row.expires_at else None,
        "account": {
            "id": str(caller.account_id),
            "kind": "personal" if organization is None else "organization",
            "name": organization.name if organization else None,
            "slug": organization.slug if organization else None,
        },
        "allowed_models": None if allowed is None else sorted(allowed),
        "requests_per_minute": min(requests),
        "spending": {"month": _spent(of_token, now), "day": _spent(of_member, now)},
    }
    if manages_billing(caller):
        found["balance"] = _balance(caller)
    return found


def _spent(spender: Spender, now: datetime) -> Json:
    """What was spent of a limit in the period of `now`, and what is set aside for calls that
    run."""
    counter = counters_of(spender, now).first()
    spent, held = (counter.spent_micros, counter.held_micros) if counter else (0, 0)
    limit = spender.limit_micros
    return {
        "limit_micros": limit,
        "spent_micros": spent,
        "held_micros": held,
        "left_micros": None if limit is None else max(0, limit - spent - held),
        "resets_at": renewal(spender.of, now).isoformat(),
    }


def _balance(caller: Caller) -> Json:
    wallet = Wallet.objects.filter(pk=caller.account_id).first() or Wallet()
    return {
        "posted_micros": wallet.posted_micros,
        "held_micros": wallet.held_micros,
        "available_micros": wallet.available_micros,
        "frozen": wallet.frozen_at is not None,
    }
