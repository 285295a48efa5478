"""Who calls, and for which account: what an API token opens.

A token opens the account it was made for. A personal one also opens the organizations of its user,
each of which a request may name in a header. All of it is loaded at once, so that naming one costs
no question to the database, whether or not there is such an organization.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from orgs.models import Account, ApiToken, Membership
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


@dataclass(frozen=True, slots=True)
class Grant:
    """What one token opens: its own account, and organizations by id and by slug.

    `accounts` are all of these; it changes with any of them.
    """

    own: Caller
    organizations: Mapping[str, Caller]
    accounts: frozenset[UUID]


def load_grant(digest: str) -> Grant | None:
    """What the token of this digest opens, or None if it is nobody's. Asks the database."""
    token = ApiToken.objects.usable().select_related("account").filter(digest=digest).first()
    if token is None:
        return None
    memberships = Membership.objects.filter(user_id=token.user_id).select_related("account")
    if not token.account.is_personal:
        memberships = memberships.filter(account_id=token.account_id)
    callers = [(each.account, _caller(token, each)) for each in memberships]
    of = {account.pk: caller for account, caller in callers}
    if token.account_id not in of:  # The membership has ended in between.
        return None
    return Grant(of[token.account_id], _by_name(callers), frozenset(of))


def _by_name(callers: Iterable[tuple[Account, Caller]]) -> dict[str, Caller]:
    """No slug reads like an id, so no two organizations have a name in common."""
    return {
        name: caller
        for account, caller in callers
        if account.is_organization
        for name in (str(account.pk), account.slug)
    }


def _caller(token: ApiToken, membership: Membership) -> Caller:
    account = membership.account
    of_token, of_account = _models(token.allowed_models), _models(account.allowed_models)
    organization = None
    if account.is_organization:
        organization = Organization(account.name, account.slug, of_account)
    return Caller(
        token_id=token.pk,
        user_id=token.user_id,
        account_id=account.pk,
        allowed_models=_both(of_token, of_account),
        expires_at=token.expires_at,
        permissions=frozenset(granted_to(membership.role)),
        limits=tuple(_limits(token, membership)),
        organization=organization,
    )


def _models(ids: list[str] | None) -> Models:
    return None if ids is None else frozenset(ids)


def _both(one: Models, other: Models) -> Models:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _limits(token: ApiToken, membership: Membership) -> Iterable[Limit]:
    """All of them hold: a token's own limit lifts none that its organization sets."""
    account = membership.account
    if token.requests_per_minute is not None:
        yield Limit(f"token:{token.pk}", token.requests_per_minute, "This API token was made for")
    allows = f"The organization {account.name} allows"
    if account.token_requests_per_minute is not None:
        counter = f"token:{token.pk}:{account.pk}"
        yield Limit(counter, account.token_requests_per_minute, f"{allows} each API token")
    of_member = membership.requests_per_minute or account.member_requests_per_minute
    if of_member is not None:
        counter = f"member:{account.pk}:{token.user_id}"
        yield Limit(counter, of_member, f"{allows} all your API tokens together")
