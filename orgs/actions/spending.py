"""What members and API tokens may spend of a balance. What provider keys pay for is no spending."""

from django.db import transaction

from orgs.actions.members import current
from orgs.audit import Event, record
from orgs.changes import announce
from orgs.models import Account, ApiToken, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted, Permission, require


class TokenGone(Exception):
    """The API token is no more, or revoked."""


def limit_members_spending(
    *, actor: User, account: Account, daily_limit_micros: int | None, origin: Origin
) -> bool:
    """What each member of the organization may spend of its balance in a day; None lifts the limit.

    Says whether that changed anything. Raises `NotPermitted`.
    """
    with transaction.atomic():
        account = Account.objects.locked(account)
        require(actor, Permission.MANAGE_BILLING, account)
        if not account.is_organization:
            raise NotPermitted(f"{account} has no members.")
        changed = _limit(
            account,
            "member_daily_limit_micros",
            daily_limit_micros,
            Event.ORG_SPENDING_LIMITED,
            account=account,
            actor=actor,
            origin=origin,
        )
        if changed:
            announce("account", str(account.pk))
    return changed


def limit_member_spending(
    *, actor: User, membership: Membership, daily_limit_micros: int | None, origin: Origin
) -> bool:
    """What this member may spend in a day in place of what each may; None for as the others.

    Says whether that changed anything. Raises `NotPermitted`, `MemberGone`.
    """
    with transaction.atomic():
        account = Account.objects.locked(membership.account)
        require(actor, Permission.MANAGE_BILLING, account)
        membership = current(membership)
        changed = _limit(
            membership,
            "daily_limit_micros",
            daily_limit_micros,
            Event.MEMBER_SPENDING_LIMITED,
            account=account,
            actor=actor,
            origin=origin,
        )
        if changed:
            announce("account", str(account.pk))
    return changed


def limit_token_spending(
    *, actor: User, token: ApiToken, monthly_limit: int | None, origin: Origin
) -> bool:
    """What one's own API token may spend in a month, in micro-dollars; None lifts the limit.

    Says whether that changed anything. Raises `NotPermitted`, `TokenGone`.
    """
    with transaction.atomic():
        account = Account.objects.locked(token.account)
        require(actor, Permission.OWN_TOKENS, account)
        live = ApiToken.objects.select_for_update(of=("self",)).filter(revoked_at__isnull=True)
        found = live.filter(pk=token.pk).first()
        if found is None:
            raise TokenGone(str(token.pk))
        if found.user_id != actor.pk:
            raise NotPermitted(f"{actor} may not limit a token of others.")
        changed = _limit(
            found,
            "monthly_limit",
            monthly_limit,
            Event.TOKEN_LIMITED,
            account=account,
            actor=actor,
            origin=origin,
        )
        if changed:
            announce("token", str(found.pk))
    return changed


def _limit(
    target: Account | Membership | ApiToken,
    field: str,
    micros: int | None,
    event: Event,
    *,
    account: Account,
    actor: User,
    origin: Origin,
) -> bool:
    """Set it, with its event, for those who have asked for permission and hold the account.

    Says whether it was another before.
    """
    previous = getattr(target, field)
    if previous == micros:
        return False
    setattr(target, field, micros)
    target.save(update_fields=[field])
    record(
        event=event,
        account=account,
        actor=actor,
        target=target,
        origin=origin,
        changed=[field],
        details={field: micros, f"previous_{field}": previous},
    )
    return True
