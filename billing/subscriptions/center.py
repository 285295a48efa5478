"""What the Subscription Center tells of an account: plans, what it subscribes to, what it paid."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import Exists, OuterRef

from billing.models import Plan, PlanKey, Subscription, SubscriptionTerm, Wallet
from billing.subscriptions.actions import GRACE
from byok.models import ProviderKey
from orgs.models import Account

#: Of older periods the ledger tells.
TERMS_SHOWN = 50
ENDED_SHOWN = 10

State = Subscription.State


class Obstacle(StrEnum):
    """Why one cannot subscribe just now."""

    HAS_KEY = "has_key"
    OUT_OF_STOCK = "out_of_stock"
    FROZEN = "frozen"
    SHORT = "short"


@dataclass(frozen=True, slots=True)
class Standing:
    word: str
    tone: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan as the account sees it: what it subscribes to, or could."""

    plan: Plan
    subscription: Subscription | None
    #: The account's key of the plan's provider, whoever manages it.
    key: ProviderKey | None
    obstacle: Obstacle | None
    available_micros: int
    #: Whether nothing is paid from the balance until staff have looked at it.
    frozen: bool

    @property
    def missing_micros(self) -> int:
        """What the balance lacks for one period."""
        return max(0, self.plan.price_micros - self.available_micros)

    @property
    def left_micros(self) -> int:
        """What the balance has after one period is paid."""
        return self.available_micros - self.plan.price_micros

    @property
    def managed_key(self) -> ProviderKey | None:
        """The key that the subscription manages, unless it was deleted or is the account's own."""
        return self.key if self.subscription and self.subscription.manages(self.key) else None

    @property
    def was_replaced(self) -> bool:
        """Whether somebody put a secret of their own in the key's place."""
        return self.subscription is not None and self.subscription.provider_key_id is None

    @property
    def standing(self) -> Standing:
        subscription = self.subscription
        if subscription is None:
            return Standing("Not subscribed", "neutral")
        if subscription.state == State.PAST_DUE:
            return Standing("Past due", "danger")
        if subscription.cancel_at_period_end:
            return Standing("Cancelled, ends soon", "warning")
        return Standing("Active", "success")

    @property
    def ends_at(self) -> datetime | None:
        """Until when a renewal that could not be paid is tried again."""
        since = self.subscription.past_due_since if self.subscription else None
        return since + GRACE if since else None


@dataclass(frozen=True, slots=True)
class Center:
    offers: Sequence[Offer]
    terms: Sequence[SubscriptionTerm]
    ended: Sequence[Subscription]
    available_micros: int
    more_terms: bool


def center_of(account: Account) -> Center:
    """In as many queries however many plans, subscriptions and payments there are."""
    subscriptions = Subscription.objects.for_account(account).select_related("plan")
    ended = subscriptions.filter(state=State.ENDED).order_by("-started_at")
    terms = list(
        SubscriptionTerm.objects.filter(subscription__account_id=account.pk)
        .select_related("subscription__plan", "entry")
        .order_by("-entry__number")[: TERMS_SHOWN + 1]
    )
    wallet = Wallet.objects.filter(pk=account.pk).first() or Wallet(account_id=account.pk)
    return Center(
        offers=_offers(account, wallet),
        terms=terms[:TERMS_SHOWN],
        ended=list(ended[:ENDED_SHOWN]),
        available_micros=wallet.available_micros,
        more_terms=len(terms) > TERMS_SHOWN,
    )


def offer_of(account: Account, plan: Plan) -> Offer | None:
    """That plan; None where it is neither on sale nor subscribed to."""
    wallet = Wallet.objects.filter(pk=account.pk).first() or Wallet(account_id=account.pk)
    offers = _offers(account, wallet)
    return next((offer for offer in offers if offer.plan.pk == plan.pk), None)


def _offers(account: Account, wallet: Wallet) -> list[Offer]:
    """What is subscribed to or on sale, by name."""
    available = PlanKey.objects.available().filter(plan=OuterRef("pk"))
    in_stock = set(Plan.objects.filter(Exists(available)).values_list("pk", flat=True))
    live = {
        each.plan_id: each
        for each in Subscription.objects.for_account(account).live().select_related("plan")
    }
    keys = {key.provider: key for key in ProviderKey.objects.for_account(account)}
    return [
        Offer(
            plan=plan,
            subscription=live.get(plan.pk),
            key=keys.get(plan.provider),
            obstacle=_obstacle(plan, plan.pk in in_stock, plan.provider in keys, wallet),
            available_micros=wallet.available_micros,
            frozen=wallet.frozen_at is not None,
        )
        for plan in Plan.objects.order_by("name", "pk")
        if plan.active or plan.pk in live
    ]


def _obstacle(plan: Plan, in_stock: bool, has_key: bool, wallet: Wallet) -> Obstacle | None:
    """The one to be told first, as the action asks for them."""
    if has_key:
        return Obstacle.HAS_KEY
    if not in_stock:
        return Obstacle.OUT_OF_STOCK
    if wallet.frozen_at is not None:
        return Obstacle.FROZEN
    if wallet.available_micros < plan.price_micros:
        return Obstacle.SHORT
    return None
