"""Who calls, and for which account: what an API token opens.

A token opens the account it was made for. A personal one also opens the organizations of its user,
each of which a request may name in a header. All of it is loaded at once, so that naming one costs
no question to the database, whether or not there is such an organization.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from billing.holds import Of, Spender
from orgs.models import Account, ApiToken
from orgs.permissions import Permission, granted_to

#: Ids of the catalogue; None means all.
Models = frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Organization:
    """The organization that a call is made for."""

    name: str
    slug: str
    allowed_models: Models


@dataclass(frozen=True, slots=True)
class Limit:
    """Requests a minute. What has the same `counter` counts together; `whose` begins the
    sentence that says who allows them."""

    counter: str
    requests: int
    whose: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is, and what it may ask for.

    `allowed_models` are those that both token and organization allow.
    """

    token_id: UUID
    user_id: UUID
    account_id: UUID
    allowed_models: Models = None
    expires_at: datetime | None = None
    permissions: frozenset[Permission] = frozenset()
    limits: tuple[Limit, ...] = ()
    organization: Organization | None = None
    #: Whose spending a call counts towards that the account's balance pays.
    spenders: tuple[Spender, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """What one token opens: its own account, and organizations by id and by slug.

    It changes with the token and with all of these accounts, whose ids are in `depends_on`.
    """

    own: Caller
    organizations: Mapping[str, Caller]
    depends_on: frozenset[UUID]


#: Whatever may make a token known that was not.
UNKNOWN = "unknown"


def depends_on(grant: Grant | None) -> Iterable[Hashable]:
    return (UNKNOWN,) if grant is None else grant.depends_on


class _Row(NamedTuple):
    """A token, and one of the memberships of its user."""

    token_id: UUID
    user_id: UUID
    made_for: UUID
    token_models: list[str] | None
    token_limit: int | None
    token_monthly_micros: int | None
    expires_at: datetime | None
    role: str
    limit: int | None
    daily_micros: int | None
    account_id: UUID
    kind: str
    name: str
    slug: str
    models: list[str] | None
    member_limit: int | None
    each_token_limit: int | None
    member_daily_micros: int | None


_COLUMNS = (
    "id",
    "user_id",
    "account_id",
    "allowed_models",
    "requests_per_minute",
    "monthly_limit",
    "expires_at",
    "user__memberships__role",
    "user__memberships__requests_per_minute",
    "user__memberships__daily_limit_micros",
    "user__memberships__account_id",
    "user__memberships__account__kind",
    "user__memberships__account__name",
    "user__memberships__account__slug",
    "user__memberships__account__allowed_models",
    "user__memberships__account__member_requests_per_minute",
    "user__memberships__account__token_requests_per_minute",
    "user__memberships__account__member_daily_limit_micros",
)


def load_grant(digest: str) -> Grant | None:
    """What the token of this digest opens, or None if it is nobody's. Asks the database once."""
    # The same as `usable`, in a third of the time: that there is a membership is seen in the rows,
    # and whether the token has expired is looked at with every request.
    tokens = ApiToken.objects.filter(digest=digest, revoked_at=None, user__is_active=True)
    rows = [_Row(*values) for values in tokens.values_list(*_COLUMNS)]
    own = next((row for row in rows if row.account_id == row.made_for), None)
    if own is None:
        return None
    opened = rows if own.kind == Account.Kind.PERSONAL else [own]
    return Grant(
        own=_caller(own),
        organizations=_organizations(opened),
        depends_on=frozenset({own.token_id, *(row.account_id for row in opened)}),
    )


def _organizations(rows: Iterable[_Row]) -> dict[str, Caller]:
    """No slug reads like an id, so no two organizations have a name in common."""
    found: dict[str, Caller] = {}
    for row in rows:
        if row.kind == Account.Kind.ORGANIZATION:
            found[str(row.account_id)] = found[row.slug] = _caller(row)
    return found


def _caller(row: _Row) -> Caller:
    of_account, organization = _models(row.models), None
    if row.kind == Account.Kind.ORGANIZATION:
        organization = Organization(row.name, row.slug, of_account)
    return Caller(
        token_id=row.token_id,
        user_id=row.user_id,
        account_id=row.account_id,
        allowed_models=_both(_models(row.token_models), of_account),
        expires_at=row.expires_at,
        permissions=frozenset(granted_to(row.role)),
        limits=tuple(_limits(row)),
        organization=organization,
        spenders=_spenders(row),
    )


def _spenders(row: _Row) -> tuple[Spender, ...]:
    daily = row.member_daily_micros if row.daily_micros is None else row.daily_micros
    return (
        Spender(Of.TOKEN, None, row.token_id, row.token_monthly_micros),
        Spender(Of.MEMBER, row.account_id, row.user_id, daily),
    )


def _models(ids: list[str] | None) -> Models:
    return None if ids is None else frozenset(ids)


def _both(one: Models, other: Models) -> Models:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _limits(row: _Row) -> Iterable[Limit]:
    """All of them hold: a token's own limit lifts none that its organization sets."""
    if row.token_limit is not None:
        yield Limit(f"token:{row.token_id}", row.token_limit, "This API token was made for")
    allows = f"The organization {row.name} allows"
    if row.each_token_limit is not None:
        counter = f"token:{row.token_id}:{row.account_id}"
        yield Limit(counter, row.each_token_limit, f"{allows} each API token")
    of_member = row.limit or row.member_limit
    if of_member is not None:
        counter = f"member:{row.account_id}:{row.user_id}"
        yield Limit(counter, of_member, f"{allows} all your API tokens together")
