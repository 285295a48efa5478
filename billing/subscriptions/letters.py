"""What those who manage billing are told of a subscription: that it is past due, or has ended."""

from django.conf import settings

from billing.models import Subscription, Wallet
from billing.subscriptions.actions import GRACE
from byok.models import ProviderKey
from orgs.access import account_url
from orgs.letters import send_letters, tell_each
from orgs.models import Account
from orgs.permissions import Permission, those_who_may


def tell_of_subscriptions() -> int:
    """Write of each subscription that fell past due or ended, once; say of how many."""
    untold = Subscription.objects.filter(untold=True).order_by("telling_at")
    return tell_each(untold, "telling_at", _write_of, lambda now: {"untold": False})


def _write_of(subscription: Subscription) -> bool:
    account = Account.objects.filter(pk=subscription.account_id).first()
    if account is None:
        return True
    since = subscription.past_due_since
    keys = ProviderKey.objects.for_account(account).filter(provider=subscription.plan.provider)
    key = keys.first()
    wallet = Wallet.objects.filter(pk=account.pk).first()
    context = {
        "subscription": subscription,
        "plan": subscription.plan,
        "organization": account if account.is_organization else None,
        "has_key": key is not None,
        "manages_key": subscription.manages(key),
        "ends_at": since + GRACE if since else None,
        "available_micros": wallet.available_micros if wallet else 0,
        "frozen": wallet is not None and wallet.frozen_at is not None,
        "link": settings.MEGABRAIN_BASE_URL + account_url("billing:subscriptions", account),
    }
    ended = subscription.state == Subscription.State.ENDED
    template = f"billing/email/subscription_{'ended' if ended else 'past_due'}"
    people = those_who_may(Permission.MANAGE_BILLING, account)
    return send_letters(template, people, context, subscription.pk)
