"""What staff are told of balances by e-mail."""

from django.conf import settings
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from billing.models import Wallet
from orgs.letters import send_letters, unclaimed
from orgs.models import Account
from orgs.permissions import staff

#: One letter tells of so many; the others are in the admin.
AT_ONCE = 20


def tell_of_frozen_wallets() -> int:
    """Write to staff of the balances that MegaBrain froze by itself, once; say of how many.

    Safe to run twice at once: whoever claims them writes. Where no letter could be sent the next
    run tries again, and so does one after a process was killed over it: to be told twice is better
    than never.
    """
    now = timezone.now()
    ids = list(_untold().order_by("frozen_at").values_list("pk", flat=True)[:AT_ONCE])
    if not _untold().filter(pk__in=ids).update(frozen_claimed_at=now):
        return 0
    # One that is unfrozen meanwhile is no longer claimed.
    claimed = Wallet.objects.filter(pk__in=ids, frozen_claimed_at=now)
    wallets = list(claimed.order_by("frozen_at"))
    if not _write_of(wallets):
        claimed.update(frozen_claimed_at=None)
        return 0
    claimed.update(frozen_claimed_at=None, frozen_told_at=now)
    return len(wallets)


def _untold() -> QuerySet[Wallet]:
    frozen = Wallet.objects.filter(frozen_at__isnull=False, frozen_told_at=None)
    return frozen.filter(unclaimed("frozen_claimed_at"))


def _write_of(wallets: list[Wallet]) -> bool:
    accounts = Account.objects.select_related("user").in_bulk([wallet.pk for wallet in wallets])
    page = reverse("admin:billing_wallet_changelist", query={"q": "frozen"})
    context = {
        "frozen": [(_name(accounts.get(wallet.pk), wallet), wallet) for wallet in wallets],
        "link": settings.MEGABRAIN_BASE_URL + page,
    }
    return send_letters("billing/email/wallets_frozen", staff(), context, f"{len(wallets)} wallets")


def _name(account: Account | None, wallet: Wallet) -> str:
    """As staff look it up."""
    if account is None:
        return str(wallet.pk)
    return account.user.email if account.user else account.slug
