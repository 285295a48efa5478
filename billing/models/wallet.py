"""What an account has, what of it is set aside, and every change of it.

All money is a whole number of micro-dollars. Accounts, people and tokens are named by their ids
and not referenced: these rows outlive them.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, NoReturn, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from orgs.models import Account
from orgs.money import dollars


class LedgerIsAppendOnly(Exception):
    """Raised by every attempt to change or remove an entry of the ledger."""


class Wallet(models.Model):
    """An account's balance. Whatever changes it happens while its row is locked."""

    account_id = models.UUIDField(primary_key=True)
    posted_micros = models.BigIntegerField(
        default=0, help_text="The sum of the account's ledger entries."
    )
    held_micros = models.BigIntegerField(default=0, help_text="The sum of its open holds.")
    entries = models.PositiveBigIntegerField(
        default=0, help_text="How many entries its ledger has; the number of the last one."
    )
    frozen_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when nothing is paid from it."
    )
    frozen_why = models.CharField(max_length=300, blank=True)
    frozen_claimed_at = models.DateTimeField(
        null=True, blank=True, help_text="When a worker began to tell staff of it, until it has."
    )
    frozen_told_at = models.DateTimeField(null=True, blank=True)
    alert_below_micros = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Tell those who manage billing below this; null: never."
    )
    low_since = models.DateTimeField(
        null=True, blank=True, help_text="When it last fell below that, if it has not risen since."
    )
    low_claimed_at = models.DateTimeField(
        null=True, blank=True, help_text="When a worker began to tell of it, until it is done."
    )
    low_told_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(held_micros__gte=0), name="billing_wallet_holds_nothing_negative"
            ),
            models.CheckConstraint(
                condition=Q(posted_micros__gte=F("held_micros")),
                name="billing_wallet_covers_its_holds",
            ),
            models.CheckConstraint(
                condition=Q(frozen_at__isnull=True) | ~Q(frozen_why=""),
                name="billing_wallet_frozen_for_a_reason",
            ),
        ]
        indexes = [
            models.Index(
                fields=["frozen_at"],
                condition=Q(frozen_at__isnull=False),
                name="billing_wallet_frozen",
            ),
            models.Index(
                fields=["low_since"],
                condition=Q(low_since__isnull=False, low_told_at__isnull=True),
                name="billing_wallet_low_untold",
            ),
        ]

    def __str__(self) -> str:
        return f"wallet of {self.account_id}"

    @property
    def audit_label(self) -> str:
        return "the balance"

    @property
    def available_micros(self) -> int:
        """What can still be spent."""
        return self.posted_micros - self.held_micros

    @property
    def is_low(self) -> bool:
        return self.low_since is not None


class LedgerEntryQuerySet(models.QuerySet["LedgerEntry"]):
    def for_account(self, account: Account) -> Self:
        return self.filter(account_id=account.pk)

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise LedgerIsAppendOnly("Entries of the ledger are never changed or removed.")

    update = _refuse
    delete = _refuse
    bulk_update = _refuse
    update_or_create = _refuse


class LedgerEntry(models.Model):
    """One change of a balance. `billing.ledger` is the only writer; the database refuses to change
    or remove an entry, and takes only the next one of its account."""

    class Kind(models.TextChoices):
        GRANT = "grant", "Credit granted"
        TOP_UP = "top_up", "Credit bought"
        USAGE = "usage", "Usage"
        SUBSCRIPTION = "subscription", "Subscription"
        REFUND = "refund", "Refund"
        CORRECTION = "correction", "Correction"

    id = models.BigAutoField(primary_key=True)
    account_id = models.UUIDField()
    number = models.PositiveBigIntegerField(help_text="1, 2, 3 … within the account.")
    kind = models.CharField(max_length=20, choices=Kind)
    amount_micros = models.BigIntegerField(help_text="Added to the balance, or taken from it.")
    balance_micros = models.BigIntegerField(help_text="The balance after it.")
    idempotency_key = models.CharField(
        max_length=120, unique=True, help_text="Whatever is done twice under one key is done once."
    )
    note = models.CharField(max_length=300, blank=True)
    actor_id = models.UUIDField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = LedgerEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "ledger entries"
        constraints = [
            models.UniqueConstraint(
                fields=["account_id", "number"], name="billing_ledgerentry_gap_free"
            ),
            models.CheckConstraint(
                condition=~Q(amount_micros=0), name="billing_ledgerentry_changes_something"
            ),
            models.CheckConstraint(
                condition=Q(balance_micros__gte=0), name="billing_ledgerentry_never_below_zero"
            ),
        ]
        indexes = [
            models.Index(
                fields=["account_id", "kind", "number"], name="billing_ledgerentry_of_kind"
            ),
            models.Index(
                fields=["account_id", "created_at", "number"], name="billing_ledgerentry_by_time"
            ),
            models.Index(fields=["-created_at"], name="billing_ledgerentry_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount_micros} µ$ of {self.account_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise LedgerIsAppendOnly("Entries of the ledger are never changed or removed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise LedgerIsAppendOnly("Entries of the ledger are never changed or removed.")

    @property
    def audit_label(self) -> str:
        return dollars(self.amount_micros)


class HoldQuerySet(models.QuerySet["Hold"]):
    def open(self) -> Self:
        return self.filter(state=Hold.State.OPEN)

    def abandoned(self, at: datetime) -> Self:
        """Open, and of a process that no longer renews its lease."""
        return self.open().filter(lease_until__lt=at)


class Hold(models.Model):
    """Money set aside for one call, under the id of its request.

    It is settled for what the call cost, never for more than was set aside, or released; once.
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"
        SETTLED = "settled", "Settled"
        RELEASED = "released", "Released"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, help_text="The request's id.")
    account_id = models.UUIDField()
    user_id = models.UUIDField()
    token_id = models.UUIDField()
    amount_micros = models.PositiveBigIntegerField()
    charged_micros = models.PositiveBigIntegerField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    lease_until = models.DateTimeField(
        help_text="Renewed by the process that serves the call; after it, anybody releases it."
    )
    noticed_at = models.DateTimeField(
        null=True, blank=True, help_text="When somebody first saw that the lease was over."
    )
    created_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)

    objects = HoldQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state="open", resolved_at__isnull=True, charged_micros__isnull=True)
                | Q(state="settled", resolved_at__isnull=False, charged_micros__isnull=False)
                | Q(state="released", resolved_at__isnull=False, charged_micros__isnull=True),
                name="billing_hold_charged_iff_settled",
            ),
            models.CheckConstraint(
                condition=Q(charged_micros__isnull=True)
                | Q(charged_micros__lte=F("amount_micros")),
                name="billing_hold_never_charged_beyond",
            ),
        ]
        indexes = [
            models.Index(
                fields=["lease_until"], condition=Q(state="open"), name="billing_hold_abandoned"
            ),
            models.Index(
                fields=["account_id", "-created_at"],
                condition=Q(state="open"),
                name="billing_hold_open",
            ),
            models.Index(fields=["-created_at"], name="billing_hold_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.id}: {self.amount_micros} µ$ {self.state}"


class Spending(models.Model):
    """What a token has spent from balances in a month, or a member in a day of UTC.

    Kept whether or not there is a limit, so that a new one counts what was spent before it.
    """

    class Of(models.TextChoices):
        TOKEN = "token", "API token, in a month"
        MEMBER = "member", "Member, in a day"

    id = models.BigAutoField(primary_key=True)
    of = models.CharField(max_length=10, choices=Of)
    account_id = models.UUIDField(
        null=True,
        help_text="Whose balance a member spends from; null for a token, which may use several.",
    )
    subject_id = models.UUIDField(help_text="The token, or the user.")
    period = models.DateField(help_text="The first day of the month, or the day.")
    spent_micros = models.PositiveBigIntegerField(default=0)
    held_micros = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "spending"
        constraints = [
            models.UniqueConstraint(
                fields=["subject_id", "period"],
                condition=Q(of="token"),
                name="billing_spending_of_token",
            ),
            models.UniqueConstraint(
                fields=["account_id", "subject_id", "period"],
                condition=Q(of="member"),
                name="billing_spending_of_member",
            ),
            models.CheckConstraint(
                condition=Q(of="token", account_id__isnull=True)
                | Q(of="member", account_id__isnull=False),
                name="billing_spending_of_member_in_account",
            ),
            models.CheckConstraint(
                condition=Q(held_micros__gte=0, spent_micros__gte=0),
                name="billing_spending_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.of} {self.subject_id} {self.period}"


class Reconciliation(models.Model):
    """How far the comparison of all money has come, in one row: see `billing.reconciling`."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    begun_at = models.DateTimeField(help_text="When workers last began with the first ledger.")
    done_at = models.DateTimeField(
        null=True, help_text="When somebody last came to the end of all there is."
    )
    under_way = models.BooleanField(help_text="Whether workers have yet to come to the end.")
    account_id = models.UUIDField(help_text="Whose ledger comes next, or is begun.")
    number = models.PositiveBigIntegerField(help_text="The entry up to which that was read.")
    sum_micros = models.BigIntegerField(help_text="What its entries come to so far.")
    call_id = models.UUIDField(null=True, help_text="All ledgers and calls up to this were read.")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="billing_reconciliation_is_one")
        ]

    def __str__(self) -> str:
        return f"since {self.begun_at}"
