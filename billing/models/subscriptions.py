"""Plans, the keys in stock for them, and who subscribes to what.

A plan hands out a key that MegaBrain has bought at a provider. Whoever subscribes pays for a period
at a time from their balance, and has the key among their own while they do.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from billing.models.wallet import LedgerEntry
from byok.fields import EncryptedField
from byok.providers import name_of
from orgs.models import Account

if TYPE_CHECKING:
    from byok.models import ProviderKey


class PlanQuerySet(models.QuerySet["Plan"]):
    def on_sale(self) -> Self:
        return self.filter(active=True)


class Plan(models.Model):
    """What can be subscribed to. A change of it counts from the next period on."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(
        max_length=40, unique=True, help_text="By which the keys it hands out name it."
    )
    name = models.CharField(max_length=80)
    provider = models.CharField(max_length=40)
    summary = models.CharField(max_length=300, blank=True, help_text="What one gets, for its page.")
    price_micros = models.PositiveBigIntegerField(help_text="Of a period, in micro-dollars.")
    period_days = models.PositiveSmallIntegerField()
    active = models.BooleanField(
        default=True, help_text="Whether one can subscribe. Those who have go on."
    )
    created_at = models.DateTimeField(default=timezone.now)

    objects = PlanQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(price_micros__gt=0), name="billing_plan_costs_something"
            ),
            models.CheckConstraint(
                condition=Q(period_days__gt=0), name="billing_plan_lasts_some_days"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def audit_label(self) -> str:
        return self.name

    @property
    def provider_name(self) -> str:
        return name_of(self.provider)


class PlanKeyQuerySet(models.QuerySet["PlanKey"]):
    def available(self) -> Self:
        return self.filter(state=PlanKey.State.AVAILABLE)


class PlanKey(models.Model):
    """A key in stock, sealed. It is handed out once, and never comes back.

    Until then it is nobody's, so in an account's place it is bound to its provider. The secret is
    forgotten as soon as there is nobody left to have it.
    """

    class State(models.TextChoices):
        AVAILABLE = "available", "Available"
        CLAIMED = "claimed", "Handed out"
        TO_REVOKE = "to_revoke", "To be revoked at the provider"
        REVOKED = "revoked", "Revoked"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="keys")
    provider = models.CharField(max_length=40)
    secret = EncryptedField(account="provider", fingerprint="fingerprint", null=True)
    hint = models.CharField(max_length=40, blank=True)
    fingerprint = models.CharField(max_length=64)
    state = models.CharField(max_length=10, choices=State, default=State.AVAILABLE)
    added_by = models.UUIDField(null=True, blank=True)
    added_at = models.DateTimeField(default=timezone.now)
    claimed_at = models.DateTimeField(null=True, blank=True)
    released_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when it is no longer anybody's and to be revoked."
    )
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = PlanKeyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "fingerprint"], name="billing_plankey_in_stock_once"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["available", "claimed"], secret__isnull=False)
                | Q(state__in=["to_revoke", "revoked"], secret__isnull=True),
                name="billing_plankey_forgotten_when_over",
            ),
            models.CheckConstraint(
                condition=Q(state="available", claimed_at__isnull=True, released_at__isnull=True)
                | Q(state="claimed", claimed_at__isnull=False, released_at__isnull=True)
                | Q(state="to_revoke", released_at__isnull=False)
                | Q(state="revoked"),
                name="billing_plankey_claimed_before_released",
            ),
            models.CheckConstraint(
                condition=Q(state="revoked", revoked_at__isnull=False)
                | (~Q(state="revoked") & Q(revoked_at__isnull=True)),
                name="billing_plankey_revoked_at_some_time",
            ),
        ]
        indexes = [
            models.Index(fields=["plan", "state", "added_at"], name="billing_plankey_next"),
            models.Index(fields=["-added_at"], name="billing_plankey_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.provider} key {self.pk}"

    @property
    def audit_label(self) -> str:
        """The plan's name alone: the audit log holds no part of a secret, not even a hint."""
        return self.plan.name


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    def for_account(self, account: Account) -> Self:
        return self.filter(account_id=account.pk)

    def live(self) -> Self:
        return self.exclude(state=Subscription.State.ENDED)

    def due(self, now: datetime) -> Self:
        """Those that have to be renewed, tried again or ended by now."""
        return self.live().filter(due_at__lte=now)


class Subscription(models.Model):
    """An account's subscription to a plan, until it ends. Another one to the plan is another row.

    The account and the key are named by their ids: this row outlives them.
    """

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        PAST_DUE = "past_due", "Past due"
        ENDED = "ended", "Ended"

    class Why(models.TextChoices):
        CANCELLED = "cancelled", "Cancelled"
        UNPAID = "unpaid", "Not paid"
        STAFF = "staff", "Ended by MegaBrain"
        ABANDONED = "abandoned", "Nobody left to pay for it"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account_id = models.UUIDField()
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    plan_key = models.OneToOneField(PlanKey, on_delete=models.PROTECT, related_name="subscription")
    provider_key_id = models.UUIDField(
        null=True, blank=True, help_text="The key it manages; null since its secret was replaced."
    )
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    cancel_at_period_end = models.BooleanField(default=False)
    terms_paid = models.PositiveIntegerField(help_text="The number of its last term.")
    renews_at = models.DateTimeField(help_text="When the period ends that was paid for last.")
    due_at = models.DateTimeField(
        null=True, blank=True, help_text="When it is renewed, tried again or ended; null: never."
    )
    past_due_since = models.DateTimeField(null=True, blank=True)
    started_by = models.UUIDField(null=True, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_why = models.CharField(max_length=10, choices=Why, blank=True)
    took_key = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether the key that it managed was still there to go when it ended.",
    )
    untold = models.BooleanField(
        default=False, help_text="Whether its state is yet to be told by letter."
    )
    telling_at = models.DateTimeField(
        null=True, blank=True, help_text="When a worker began to tell of it, until it is done."
    )

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account_id", "plan"],
                condition=Q(state__in=["active", "past_due"]),
                name="billing_subscription_one_live",
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=["active", "past_due"],
                    due_at__isnull=False,
                    ended_at__isnull=True,
                    ended_why="",
                )
                | (
                    Q(state="ended", due_at__isnull=True, ended_at__isnull=False) & ~Q(ended_why="")
                ),
                name="billing_subscription_ended_for_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(state="past_due", past_due_since__isnull=False)
                | (~Q(state="past_due") & Q(past_due_since__isnull=True)),
                name="billing_subscription_past_due_since",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=Q(state__in=["active", "past_due"]),
                name="billing_subscription_due",
            ),
            models.Index(
                fields=["telling_at"], condition=Q(untold=True), name="billing_subscription_untold"
            ),
            models.Index(fields=["account_id", "-started_at"], name="billing_subscription_of"),
            models.Index(fields=["-started_at"], name="billing_subscription_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.plan_id} of {self.account_id}: {self.state}"

    @property
    def audit_label(self) -> str:
        return self.plan.name

    @property
    def is_live(self) -> bool:
        return self.state != self.State.ENDED

    @property
    def is_unpaid(self) -> bool:
        """Whether its last period is over, and the next one was not paid for when it was tried."""
        return self.due_at is not None and self.due_at > self.renews_at

    def manages(self, key: ProviderKey | None) -> bool:
        """Whether that is the key it handed out, still with its secret."""
        return (
            key is not None and key.pk == self.provider_key_id and key.managed_by == self.plan.slug
        )


class SubscriptionTerm(models.Model):
    """One period of a subscription, paid for at the price that the plan had then."""

    id = models.BigAutoField(primary_key=True)
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="terms")
    number = models.PositiveIntegerField(help_text="1, 2, 3 … within the subscription.")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    price_micros = models.PositiveBigIntegerField()
    entry = models.OneToOneField(LedgerEntry, on_delete=models.PROTECT, related_name="term")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "number"], name="billing_subscriptionterm_once"
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")),
                name="billing_subscriptionterm_lasts_some_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subscription_id}: {self.number}"
