"""What the deletion of an organization learns of its money, and what it ends."""

from collections.abc import Mapping

from django.utils import timezone

from billing.models import AutoTopUp, Subscription, Wallet
from billing.payments import cards
from billing.subscriptions.actions import end_all
from orgs.models import Account
from orgs.money import dollars


class EndingWithOrganization:
    def losses(self, account: Account) -> list[str]:
        live = Subscription.objects.for_account(account).live().select_related("plan")
        lost = [
            f"Its subscription to {each.plan.name} ends; nothing is paid back."
            for each in live.order_by("started_at")
        ]
        if balance := _balance(account):
            lost.append(f"Its balance of {dollars(balance)} is lost.")
        kept = AutoTopUp.objects.filter(pk=account.pk).exclude(card="").first()
        if kept is not None:
            lost.append(f"Its card, {kept.card_label}, is removed and charged no more.")
        return lost

    def end(self, account: Account) -> Mapping[str, int]:
        told = {
            "subscriptions": end_all(account, timezone.now()),
            "cards": int(cards.close(account)),
            "balance_micros": _balance(account),
        }
        return {name: value for name, value in told.items() if value}


def _balance(account: Account) -> int:
    """What is lost; the ledger keeps it, for whoever asks afterwards."""
    wallet = Wallet.objects.filter(pk=account.pk).first()
    return max(0, wallet.posted_micros) if wallet else 0
