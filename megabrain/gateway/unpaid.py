"""Why a balance does not pay for a call, and what to do about it."""

from datetime import UTC, datetime, timedelta

from billing.holds import LimitReached, Of, period
from megabrain.gateway.callers import Caller
from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.keyholder import Keyholder, billing_page, keyholder
from orgs.money import dollars
from orgs.permissions import Permission


def not_enough(caller: Caller, available_micros: int, needed_micros: int) -> Problem:
    balance = _balance(keyholder(caller))
    if manages_billing(caller):
        balance += f" of {dollars(available_micros)}"
    return Problem(
        Code.INSUFFICIENT_BALANCE,
        f"{balance} does not cover this call, which may cost up to {dollars(needed_micros)}. "
        f"{_top_up(caller)}, or lower the limit of output tokens.",
    )


def limit_reached(
    caller: Caller, reached: LimitReached, needed_micros: int, at: datetime
) -> Problem:
    """Whose limit it was, what is left of it, and when it begins anew."""
    of, limit = reached.spender.of, dollars(reached.spender.limit_micros or 0)
    if of == Of.TOKEN:
        whose = f"This API token may spend {limit} a month from balances"
    elif caller.organization is not None:
        whose = f"{caller.organization.name} lets you spend {limit} a day from its balance"
    else:
        whose = f"You may spend {limit} a day from your balance"
    return Problem(
        Code.SPEND_LIMIT_REACHED,
        f"{whose}. {dollars(reached.left_micros)} of it are left, and this call may cost up to "
        f"{dollars(needed_micros)}. The limit begins anew on {renewal(of, at):%-d %B %Y} at "
        "00:00 UTC. Calls that provider keys of the account serve are not limited by it.",
    )


def frozen(caller: Caller) -> Problem:
    return Problem(
        Code.BALANCE_FROZEN,
        f"{_balance(keyholder(caller))} is frozen while MegaBrain's operator looks into it, so "
        "nothing is paid from it. Ask the operator. Calls that provider keys of the account serve "
        "go on.",
    )


def _balance(holder: Keyholder) -> str:
    return f"The balance of {holder.organization.name}" if holder.organization else "Your balance"


def manages_billing(caller: Caller) -> bool:
    """Whether they add credit themselves; what an organization has is for these alone to know."""
    return caller.organization is None or Permission.MANAGE_BILLING in caller.permissions


def _top_up(caller: Caller) -> str:
    organization = caller.organization
    if organization is None or manages_billing(caller):
        return f"Add credit at {billing_page(organization)}"
    return f"Ask an owner or billing manager of {organization.name} to add credit"


def renewal(of: str, at: datetime) -> datetime:
    """When the period of `at` is over."""
    first = period(of, at)
    after = first + timedelta(days=1)
    if of == Of.TOKEN:
        after = (first + timedelta(days=32)).replace(day=1)
    return datetime(after.year, after.month, after.day, tzinfo=UTC)
