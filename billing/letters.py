"""What those who manage billing are told by e-mail: that a balance runs low."""

from django.conf import settings

from billing.models import Wallet
from orgs.access import account_url
from orgs.letters import send_letters, tell_each
from orgs.models import Account
from orgs.permissions import Permission, those_who_may


def tell_of_low_balances() -> int:
    """Write of each balance that fell below its alert level, once; say of how many.

    Credit takes the claim away, and if the balance falls again, that is yet to be told.
    """
    low = Wallet.objects.filter(low_since__isnull=False, low_told_at=None).order_by("low_since")
    return tell_each(low, "low_claimed_at", _write_of, lambda now: {"low_told_at": now})


def _write_of(wallet: Wallet) -> bool:
    account = Account.objects.filter(pk=wallet.account_id).first()
    if account is None:
        return True
    context = {
        "wallet": wallet,
        "organization": account if account.is_organization else None,
        "link": settings.MEGABRAIN_BASE_URL + account_url("billing:balance", account),
    }
    people = those_who_may(Permission.MANAGE_BILLING, account)
    return send_letters("billing/email/balance_low", people, context, account.pk)
