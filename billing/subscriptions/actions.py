"""Subscribing to a plan, and what comes of it: renewed, cancelled, resumed, ended.

Whoever changes a subscription holds its account first, then the subscription and the keys, then the
wallet, and writes the audit event last: one for each change, which tells of the key, too. `now` is
the moment at which it happens.

`actor` is None for what the clock does.
"""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog
from django.db import transaction

from billing.ledger import Frozen, NotEnough, debit
from billing.models import LedgerEntry, Plan, PlanKey, Subscription, SubscriptionTerm, Wallet
from billing.subscriptions.stock import release
from byok.actions import AccountGone, KeyAlreadyExists, put_managed_key, take_managed_key
from byok.actions.holding import hold
from byok.models import ProviderKey
from byok.vault import Secret, Unsealable
from orgs.audit import Event, Fact, record
from orgs.models import Account, User
from orgs.origin import Origin
from orgs.permissions import Permission, those_who_may

State = Subscription.State
Why = Subscription.Why

#: So long a renewal that could not be paid is tried again before the subscription ends.
GRACE = timedelta(days=7)
RETRY = timedelta(days=1)

log = structlog.get_logger(__name__)


class NotOnSale(Exception):
    """One cannot subscribe to the plan any more."""


class AlreadySubscribed(Exception):
    """The account has a subscription to the plan that has not ended."""


class OutOfStock(Exception):
    """There is no key that could be handed out."""


class PlanChanged(Exception):
    """The plan has another price or period by now."""


class SubscriptionGone(Exception):
    """The subscription has ended meanwhile."""


def subscribe(
    *,
    actor: User,
    account: Account,
    plan: Plan,
    price_micros: int,
    period_days: int,
    origin: Origin,
    now: datetime,
) -> Subscription:
    """Pay for a first period, of the price and length that were agreed to, and put a key of the
    plan's stock among the account's.

    All of it or nothing. Raises `NotPermitted`, `AccountGone`, `NotOnSale`, `AlreadySubscribed`,
    `KeyAlreadyExists` (the account has a key of that provider), `OutOfStock`, `PlanChanged`,
    `NotEnough`, `Frozen`.
    """
    with transaction.atomic():
        account = hold(account, actor, Permission.MANAGE_BILLING)
        plan = Plan.objects.get(pk=plan.pk)
        _check_may_begin(account, plan)
        if (plan.price_micros, plan.period_days) != (price_micros, period_days):
            raise PlanChanged
        # Whoever cannot pay keeps the key from nobody.
        _check_can_pay(account, plan)
        id_ = uuid4()
        # To open the key and to seal it may take a while, and whoever holds the wallet keeps the
        # account's calls waiting: that comes last.
        plan_key, secret = _claim(plan, now)
        key = put_managed_key(
            account=account,
            provider=plan.provider,
            secret=secret,
            managed_by=plan.slug,
            created_by=actor,
        )
        entry = _paid(account.pk, id_, 1, plan, actor)
        ends_at = now + timedelta(days=plan.period_days)
        subscription = Subscription.objects.create(
            id=id_,
            account_id=account.pk,
            plan=plan,
            plan_key=plan_key,
            provider_key_id=key.pk,
            terms_paid=1,
            renews_at=ends_at,
            due_at=ends_at,
            started_by=actor.pk,
            started_at=now,
        )
        _add_term(subscription, entry, now)
        record(
            event=Event.SUBSCRIPTION_STARTED,
            account=account,
            actor=actor,
            target=subscription,
            origin=origin,
            details={"price_micros": plan.price_micros, "provider": plan.provider_name},
        )
    return subscription


def cancel(*, actor: User, subscription: Subscription, origin: Origin, now: datetime) -> bool:
    """Let it end with the period that is paid for; at once if none is. Says if that is news.

    Raises `NotPermitted`, `SubscriptionGone`.
    """
    with transaction.atomic():
        account, subscription = _held(subscription, actor, Permission.MANAGE_BILLING)
        if subscription.cancel_at_period_end:
            return False
        subscription.cancel_at_period_end = True
        subscription.save(update_fields=["cancel_at_period_end"])
        if subscription.is_unpaid:
            _end(account, subscription, Why.CANCELLED, now, actor=actor, origin=origin)
        else:
            _told(Event.SUBSCRIPTION_CANCELLED, account, subscription, actor, origin)
    return True


def resume(*, actor: User, subscription: Subscription, origin: Origin) -> bool:
    """Let a subscription that was cancelled go on. Says whether it was.

    Raises `NotPermitted`, `SubscriptionGone`.
    """
    with transaction.atomic():
        account, subscription = _held(subscription, actor, Permission.MANAGE_BILLING)
        if not subscription.cancel_at_period_end:
            return False
        subscription.cancel_at_period_end = False
        subscription.save(update_fields=["cancel_at_period_end"])
        _told(Event.SUBSCRIPTION_RESUMED, account, subscription, actor, origin)
    return True


def pay_now(*, actor: User, subscription: Subscription, origin: Origin, now: datetime) -> bool:
    """Try a renewal again that could not be paid. Says whether there was one to pay for.

    Raises `NotPermitted`, `SubscriptionGone`, `NotEnough`, `Frozen`.
    """
    with transaction.atomic():
        account, subscription = _held(subscription, actor, Permission.MANAGE_BILLING)
        if not subscription.is_unpaid:
            return False
        _renew(account, subscription, now, actor=actor, origin=origin)
    return True


def end(*, actor: User, subscription: Subscription, origin: Origin, now: datetime) -> None:
    """End it at once, as staff may; nothing of the period is paid back.

    Raises `NotPermitted`, `SubscriptionGone`.
    """
    with transaction.atomic():
        account, subscription = _held(subscription, actor, Permission.ASSIST)
        _end(account, subscription, Why.STAFF, now, actor=actor, origin=origin)


def come_due(*, subscription_id: UUID, now: datetime) -> None:
    """Do what the subscription is due for: renew it, have it past due, or end it.

    Nothing if that has been done, so it may be run twice or by several at once.
    """
    with transaction.atomic():
        found = Subscription.objects.filter(pk=subscription_id).first()
        if found is None:
            return
        try:
            account, subscription = _held(found, None, Permission.MANAGE_BILLING)
        except (AccountGone, SubscriptionGone):
            return
        if subscription.due_at is None or subscription.due_at > now:
            return
        if subscription.cancel_at_period_end:
            _end(account, subscription, Why.CANCELLED, now, actor=None, origin=Origin())
        elif not those_who_may(Permission.MANAGE_BILLING, account).exists():
            _end(account, subscription, Why.ABANDONED, now, actor=None, origin=Origin())
        else:
            try:
                _renew(account, subscription, now, actor=None, origin=Origin())
            except NotEnough:
                _fall_behind(account, subscription, now)
            except Frozen:
                # The money may be there: that it does not pay is MegaBrain's doing.
                subscription.due_at = now + RETRY
                subscription.save(update_fields=["due_at"])


def end_all(account: Account, now: datetime) -> int:
    """End every subscription of an account that is being deleted, and held; how many there were.

    The event of the deletion tells of it.
    """
    subscriptions = Subscription.objects.for_account(account).live().select_for_update(of=("self",))
    found = list(subscriptions.select_related("plan", "plan_key").order_by("pk"))
    for subscription in found:
        _over(account, subscription, Why.ABANDONED, now)
        subscription.untold = False
        subscription.save(update_fields=["untold"])
    return len(found)


def _check_may_begin(account: Account, plan: Plan) -> None:
    """Ask for everything before anything is taken, so that the first refusal is the one to mend."""
    if Subscription.objects.for_account(account).live().filter(plan=plan).exists():
        raise AlreadySubscribed
    if not plan.active:
        raise NotOnSale
    if ProviderKey.objects.for_account(account).filter(provider=plan.provider).exists():
        raise KeyAlreadyExists(plan.provider)
    if not PlanKey.objects.available().filter(plan=plan).exists():
        raise OutOfStock


def _check_can_pay(account: Account, plan: Plan) -> None:
    """Refuse whoever cannot, without holding the wallet; only to pay is to be sure."""
    wallet = Wallet.objects.filter(pk=account.pk).first()
    if wallet is not None and wallet.frozen_at is not None:
        raise Frozen(wallet.frozen_why)
    available = wallet.available_micros if wallet is not None else 0
    if available < plan.price_micros:
        raise NotEnough(max(0, available))


def _paid(
    account_id: UUID, subscription_id: UUID, number: int, plan: Plan, actor: User | None
) -> LedgerEntry:
    """The entry that pays for this term, made once however often it is asked for."""
    return debit(
        account_id=account_id,
        kind=LedgerEntry.Kind.SUBSCRIPTION,
        amount_micros=plan.price_micros,
        idempotency_key=f"subscription:{subscription_id}:{number}",
        note=plan.name,
        actor_id=actor.pk if actor else None,
    )


def _claim(plan: Plan, now: datetime) -> tuple[PlanKey, Secret]:
    """The longest in stock that opens, handed out now. Those that others are about to take are
    passed over, not waited for."""
    keys = PlanKey.objects.available().filter(plan=plan).order_by("added_at", "pk")
    closed: list[UUID] = []
    # One by one: a row that is looked at is locked, and so passed over by the others.
    while key := (
        keys.select_for_update(skip_locked=True, of=("self",)).exclude(pk__in=closed).first()
    ):
        try:
            secret: Secret = key.secret.unseal()
        except Unsealable as failure:
            log.error("billing.plan_key.closed", plan_key=str(key.pk), reason=failure.reason)
            closed.append(key.pk)
            continue
        key.state, key.claimed_at = PlanKey.State.CLAIMED, now
        key.save(update_fields=["state", "claimed_at"])
        return key, secret
    raise OutOfStock


def _held(
    subscription: Subscription, actor: User | None, permission: Permission
) -> tuple[Account, Subscription]:
    """The subscription as it is now, kept from others until the transaction ends, and its account.

    Raises `NotPermitted`, and `SubscriptionGone` if it has ended.
    """
    account = hold(Account(pk=subscription.account_id), actor, permission)
    rows = Subscription.objects.live().select_for_update(of=("self",))
    found = rows.select_related("plan", "plan_key").filter(pk=subscription.pk).first()
    if found is None:
        raise SubscriptionGone
    return account, found


def _renew(
    account: Account,
    subscription: Subscription,
    now: datetime,
    *,
    actor: User | None,
    origin: Origin,
) -> None:
    """Pay for the next period, at the price of now. Raises `NotEnough`, `Frozen`."""
    plan = subscription.plan
    number = subscription.terms_paid + 1
    entry = _paid(account.pk, subscription.pk, number, plan, actor)
    # The next period follows the last one, however late in the days of grace it is paid: the key
    # worked on. Only if it was MegaBrain that was late by so much, to try at all, it does not.
    first_try = subscription.past_due_since or now
    late = first_try - subscription.renews_at > GRACE
    begins_at = first_try if late else subscription.renews_at
    ends_at = begins_at + timedelta(days=plan.period_days)
    subscription.state = State.ACTIVE
    subscription.terms_paid = number
    subscription.renews_at = subscription.due_at = ends_at
    subscription.past_due_since = None
    subscription.untold = False
    subscription.save(
        update_fields=["state", "terms_paid", "renews_at", "due_at", "past_due_since", "untold"]
    )
    _add_term(subscription, entry, begins_at)
    _told(
        Event.SUBSCRIPTION_RENEWED,
        account,
        subscription,
        actor,
        origin,
        details={"price_micros": plan.price_micros},
    )


def _fall_behind(account: Account, subscription: Subscription, now: datetime) -> None:
    """The balance did not pay: try again every day, and end it when the days of grace are over."""
    since = subscription.past_due_since or now
    if now >= since + GRACE:
        _end(account, subscription, Why.UNPAID, now, actor=None, origin=Origin())
        return
    is_news = subscription.state != State.PAST_DUE
    subscription.state, subscription.past_due_since = State.PAST_DUE, since
    subscription.due_at = min(now + RETRY, since + GRACE)
    fields = ["state", "past_due_since", "due_at"]
    if is_news:
        subscription.untold, subscription.telling_at = True, None
        fields += ["untold", "telling_at"]
    subscription.save(update_fields=fields)
    if is_news:
        _told(Event.SUBSCRIPTION_PAST_DUE, account, subscription, None, Origin())


def _end(
    account: Account,
    subscription: Subscription,
    why: Subscription.Why,
    now: datetime,
    *,
    actor: User | None,
    origin: Origin,
) -> None:
    _over(account, subscription, why, now)
    _told(
        Event.SUBSCRIPTION_ENDED,
        account,
        subscription,
        actor,
        origin,
        details={"why": why.label},
    )


def _over(
    account: Account, subscription: Subscription, why: Subscription.Why, now: datetime
) -> None:
    """The managed key goes, if it is managed still, and the one in stock is to be revoked."""
    if subscription.plan_key.state == PlanKey.State.CLAIMED:
        release(subscription.plan_key, now)
    if subscription.provider_key_id is not None:
        subscription.took_key = take_managed_key(
            account=account,
            key_id=subscription.provider_key_id,
            managed_by=subscription.plan.slug,
        )
    subscription.state, subscription.ended_at, subscription.ended_why = State.ENDED, now, why
    subscription.due_at = subscription.past_due_since = None
    subscription.untold, subscription.telling_at = True, None
    subscription.save(
        update_fields=[
            "state",
            "ended_at",
            "ended_why",
            "due_at",
            "past_due_since",
            "untold",
            "telling_at",
            "took_key",
        ]
    )


def _add_term(subscription: Subscription, entry: LedgerEntry, begins_at: datetime) -> None:
    SubscriptionTerm.objects.create(
        subscription=subscription,
        number=subscription.terms_paid,
        starts_at=begins_at,
        ends_at=subscription.renews_at,
        price_micros=-entry.amount_micros,
        entry=entry,
    )


def _told(
    event: Event,
    account: Account,
    subscription: Subscription,
    actor: User | None,
    origin: Origin,
    details: dict[str, Fact | list[Fact]] | None = None,
) -> None:
    record(
        event=event,
        account=account,
        actor=actor,
        target=subscription,
        origin=origin,
        details=details,
    )
