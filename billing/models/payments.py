"""What people pay in, what the payment provider told of it, and what is charged by itself.

All money is a whole number of micro-dollars, and of cents. Accounts and people are named by their
ids and not referenced: these rows outlive them.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from orgs.models import Account
from orgs.money import dollars

#: Micro-dollars of a cent, the least that a payment provider knows.
CENT = 10_000


class PaymentQuerySet(models.QuerySet["Payment"]):
    def for_account(self, account: Account) -> Self:
        return self.filter(account_id=account.pk)

    def locked(self, pk: uuid.UUID) -> Payment | None:
        """As it is now, held until the transaction ends. Before the wallet, whoever needs both."""
        return self.select_for_update().filter(pk=pk).first()

    def locked_to_charge(self, account_id: uuid.UUID) -> Payment | None:
        """The one that is open of those that MegaBrain charges by itself, held likewise."""
        return (
            self.select_for_update()
            .filter(
                account_id=account_id,
                kind=Payment.Kind.AUTOMATIC,
                state=Payment.State.PENDING,
            )
            .first()
        )

    def automatic_since(self, account_id: uuid.UUID, begin: datetime) -> Self:
        """Those that MegaBrain charged by itself, or is about to."""
        return self.filter(
            account_id=account_id,
            kind=Payment.Kind.AUTOMATIC,
            state__in=[Payment.State.PENDING, Payment.State.PAID],
            created_at__gte=begin,
        )


class Payment(models.Model):
    """Money on its way into a balance. Its id is what makes it happen once, here and there."""

    class Kind(models.TextChoices):
        CHECKOUT = "checkout", "Checkout"
        AUTOMATIC = "automatic", "Automatic top-up"

    class State(models.TextChoices):
        PENDING = "pending", "Waiting for payment"
        PAID = "paid", "Paid"
        FAILED = "failed", "Failed"
        EXPIRED = "expired", "Expired"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account_id = models.UUIDField()
    user_id = models.UUIDField(
        null=True, blank=True, help_text="Who pays, or agreed that it is charged by itself."
    )
    kind = models.CharField(max_length=10, choices=Kind)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    amount_micros = models.PositiveBigIntegerField()
    reference = models.CharField(
        max_length=255,
        blank=True,
        help_text="The provider's id: of the checkout, or of the charge.",
    )
    intent = models.CharField(
        max_length=255, blank=True, help_text="The provider's id of the charge, once there is one."
    )
    checkout_url = models.TextField(blank=True, help_text="Where it is paid.")
    saves_card = models.BooleanField(
        default=False, help_text="The card is to be kept for automatic top-ups."
    )
    card_saved_at = models.DateTimeField(null=True, blank=True)
    failure = models.CharField(max_length=300, blank=True, help_text="Why it failed, for people.")
    refunded_micros = models.PositiveBigIntegerField(default=0)
    taken_back_micros = models.PositiveBigIntegerField(
        default=0, help_text="Of what was refunded, as much as the balance had so far."
    )
    disputed_at = models.DateTimeField(null=True, blank=True)
    charging_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When a worker last began to charge it, or to ask for its card.",
    )
    attention = models.CharField(max_length=300, blank=True, help_text="What staff have to see to.")
    attention_claimed_at = models.DateTimeField(null=True, blank=True)
    attention_told_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = PaymentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(amount_micros__gt=0), name="billing_payment_of_something"
            ),
            models.CheckConstraint(
                condition=Q(state="pending", ended_at__isnull=True)
                | (~Q(state="pending") & Q(ended_at__isnull=False)),
                name="billing_payment_pending_until_it_ends",
            ),
            models.CheckConstraint(
                condition=Q(taken_back_micros__lte=F("refunded_micros")),
                name="billing_payment_takes_back_what_was_refunded",
            ),
            models.UniqueConstraint(
                fields=["reference"], condition=~Q(reference=""), name="billing_payment_reference"
            ),
            models.UniqueConstraint(
                fields=["account_id"],
                condition=Q(kind="automatic", state="pending"),
                name="billing_payment_one_automatic_at_a_time",
            ),
        ]
        indexes = [
            models.Index(fields=["account_id", "-created_at"], name="billing_payment_by_account"),
            models.Index(fields=["-created_at"], name="billing_payment_newest"),
            models.Index(
                fields=["intent"], condition=~Q(intent=""), name="billing_payment_by_intent"
            ),
            models.Index(
                fields=["created_at"],
                condition=~Q(attention="") & Q(attention_told_at__isnull=True),
                name="billing_payment_untold",
            ),
            models.Index(
                fields=["created_at"],
                condition=Q(kind="automatic", state="pending"),
                name="billing_payment_to_charge",
            ),
            models.Index(
                fields=["created_at"],
                condition=Q(saves_card=True, card_saved_at__isnull=True, state="paid"),
                name="billing_payment_card_to_save",
            ),
            models.Index(
                fields=["account_id"],
                condition=Q(state="paid", taken_back_micros__lt=F("refunded_micros")),
                name="billing_payment_to_take_back",
            ),
        ]

    def __str__(self) -> str:
        return f"{dollars(self.amount_micros)} {self.state}"

    @property
    def audit_label(self) -> str:
        return dollars(self.amount_micros)

    @property
    def is_pending(self) -> bool:
        return self.state == self.State.PENDING


class PaymentEvent(models.Model):
    """A word of the payment provider that was acted upon. It is not listened to twice."""

    id = models.CharField(primary_key=True, max_length=255, help_text="The provider's id of it.")
    kind = models.CharField(max_length=100)
    payment_id = models.UUIDField(null=True, blank=True)
    intent = models.CharField(max_length=255, blank=True)
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            # A dispute may be told before the payment that it is about.
            models.Index(
                fields=["intent"],
                condition=Q(payment_id__isnull=True),
                name="billing_paymentevent_early",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id}: {self.kind}"


class AutoTopUpQuerySet(models.QuerySet["AutoTopUp"]):
    def locked(self, account_id: uuid.UUID) -> AutoTopUp | None:
        """As it is now, held until the transaction ends. After the account and the payment."""
        return self.select_for_update().filter(pk=account_id).first()


class AutoTopUp(models.Model):
    """A card that an account keeps at the payment provider, and when it may be charged."""

    account_id = models.UUIDField(primary_key=True)
    enabled = models.BooleanField(default=False)
    below_micros = models.PositiveBigIntegerField(default=0, help_text="Top up below this.")
    amount_micros = models.PositiveBigIntegerField(default=0)
    monthly_cap_micros = models.PositiveBigIntegerField(
        default=0, help_text="The most that is charged so in a month of UTC."
    )
    customer = models.CharField(
        max_length=255, blank=True, help_text="The provider's id of the customer."
    )
    card = models.CharField(max_length=255, blank=True, help_text="The provider's id of the card.")
    card_label = models.CharField(max_length=60, blank=True, help_text="Such as: Visa ···· 4242.")
    agreed_by = models.UUIDField(null=True, blank=True, help_text="Who turned it on.")
    agreed_at = models.DateTimeField(null=True, blank=True)
    off_why = models.CharField(max_length=300, blank=True, help_text="Why it was turned off.")
    off_claimed_at = models.DateTimeField(null=True, blank=True)
    off_told_at = models.DateTimeField(null=True, blank=True)
    capped_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Since when the cap is known to be reached, in the latest month in which it was.",
    )
    capped_claimed_at = models.DateTimeField(null=True, blank=True)
    capped_told_at = models.DateTimeField(null=True, blank=True)

    objects = AutoTopUpQuerySet.as_manager()

    class Meta:
        verbose_name = "automatic top-up"
        constraints = [
            models.CheckConstraint(
                condition=Q(enabled=False)
                | (
                    Q(agreed_by__isnull=False, agreed_at__isnull=False)
                    & ~Q(card="")
                    & Q(below_micros__gt=0, amount_micros__gte=F("below_micros"))
                    & Q(monthly_cap_micros__gte=F("amount_micros"))
                ),
                name="billing_autotopup_agreed_to",
            ),
        ]
        indexes = [
            models.Index(
                fields=["account_id"], condition=Q(enabled=True), name="billing_autotopup_enabled"
            ),
            models.Index(
                fields=["account_id"],
                condition=~Q(off_why="") & Q(off_told_at__isnull=True),
                name="billing_autotopup_untold",
            ),
            models.Index(
                fields=["account_id"],
                condition=Q(capped_at__isnull=False, capped_told_at__isnull=True),
                name="billing_autotopup_cap_untold",
            ),
        ]

    def __str__(self) -> str:
        return f"automatic top-up of {self.account_id}"

    @property
    def audit_label(self) -> str:
        return self.card_label or "the card"
