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
        previous = account.member_daily_limit_micros
        if previous == daily_limit_micros:
            return False
        account.member_daily_limit_micros = daily_limit_micros
        account.save(update_fields=["member_daily_limit_micros"])
        record(
            event=Event.ORG_SPENDING_LIMITED,
            account=account,
            actor=actor,
            target=account,
            origin=origin,
            changed=["member_daily_limit_micros"],
            details={
                "member_daily_limit_micros": daily_limit_micros,
                "previous_member_daily_limit_micros": previous,
            },
        )
        announce("account", str(account.pk))
    return True


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
        previous = membership.daily_limit_micros
        if previous == daily_limit_micros:
            return False
        membership.daily_limit_micros = daily_limit_micros
        membership.save(update_fields=["daily_limit_micros"])
        record(
            event=Event.MEMBER_SPENDING_LIMITED,
            account=account,
            actor=actor,
            target=membership,
            origin=origin,
            changed=["daily_limit_micros"],
            details={
                "daily_limit_micros": daily_limit_micros,
                "previous_daily_limit_micros": previous,
            },
        )
        announce("account", str(account.pk))
    return True


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
        previous = found.monthly_limit
        if previous == monthly_limit:
            return False
        found.monthly_limit = monthly_limit
        found.save(update_fields=["monthly_limit"])
        record(
            event=Event.TOKEN_LIMITED,
            account=account,
            actor=actor,
            target=found,
            origin=origin,
            changed=["monthly_limit"],
            details={"monthly_limit": monthly_limit, "previous_monthly_limit": previous},
        )
        announce("token", str(found.pk))
    return True
