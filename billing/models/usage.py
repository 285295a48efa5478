"""What was used and what it cost."""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.db import models
from django.db.models import Q

from orgs.models import Account

#: The outcome of a caller who left, as the gateway writes it.
CLIENT_CLOSED = "client_closed"
#: The outcome of a call for a name that no model has: its `model` is whatever was sent. Also of one
#: for a model that a provider says it does not have; its record names the provider.
MODEL_NOT_FOUND = "model_not_found"


def told_of_ours(outcome: str) -> str:
    """What is told of how an attempt with one of MegaBrain's own keys went: what is wrong with
    those is no affair of the account's."""
    return outcome if outcome in ("", "ok", CLIENT_CLOSED) else "unavailable"


class UsageRecordQuerySet(models.QuerySet["UsageRecord"]):
    def for_account(self, account: Account) -> Self:
        return self.filter(account_id=account.id)

    def ended(self, result: str) -> Self:
        """Those whose `result` this is."""
        known = Q(outcome__in=("ok", CLIENT_CLOSED))
        refused = Q(status__gte=400, status__lt=500)
        ended = {
            UsageRecord.Result.OK: Q(outcome="ok"),
            UsageRecord.Result.CLOSED: Q(outcome=CLIENT_CLOSED),
            UsageRecord.Result.REFUSED: refused & ~known,
            UsageRecord.Result.FAILED: ~refused & ~known,
        }
        return self.filter(ended[UsageRecord.Result(result)])


class UsageRecord(models.Model):
    """One request: who asked, what served it, who paid, and what it took.

    Tokens are disjoint except that reasoning is part of output and long cache writes are part of
    cache writes: `input_tokens` excludes cached reads and writes. Money is in micro-dollars. Ids
    are copied, not referenced: the row outlives the token, the key and the person.
    """

    class Payer(models.TextChoices):
        BYOK = "byok", "Your provider key"
        BALANCE = "balance", "Balance"
        NONE = "none", "Nobody"

    class UsageSource(models.TextChoices):
        PROVIDER = "provider", "Reported by the provider"
        ESTIMATE = "estimate", "Estimated"
        NONE = "none", "Nothing used"

    class Result(models.TextChoices):
        OK = "ok", "OK"
        REFUSED = "refused", "Refused"
        FAILED = "failed", "Failed"
        CLOSED = "closed", "Caller left"

    id = models.BigAutoField(primary_key=True)
    request_id = models.UUIDField(unique=True, default=uuid.uuid4)
    account_id = models.UUIDField()
    user_id = models.UUIDField(null=True, blank=True)
    token_id = models.UUIDField(null=True, blank=True)
    endpoint = models.CharField(max_length=40)
    streamed = models.BooleanField(default=False)
    model = models.CharField(max_length=200, blank=True)
    upstream_model = models.CharField(max_length=200, blank=True)
    provider = models.CharField(max_length=40, blank=True)
    provider_key_id = models.UUIDField(null=True, blank=True)
    payer = models.CharField(max_length=10, choices=Payer, default=Payer.NONE)
    status = models.PositiveSmallIntegerField()
    outcome = models.CharField(max_length=40, help_text='"ok", or the code of the error.')
    attempts = models.JSONField(
        default=list, help_text="In order: provider, key, outcome, status, milliseconds."
    )
    input_tokens = models.PositiveBigIntegerField(default=0)
    cache_read_tokens = models.PositiveBigIntegerField(default=0)
    cache_write_tokens = models.PositiveBigIntegerField(default=0)
    # The database has the default too, for rows of processes that do not know the column yet.
    cache_write_long_tokens = models.PositiveBigIntegerField(
        default=0,
        db_default=0,
        help_text="Of the cache writes, those to be kept for an hour or longer.",
    )
    output_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)
    usage_source = models.CharField(max_length=10, choices=UsageSource, default=UsageSource.NONE)
    charged_micros = models.PositiveBigIntegerField(default=0)
    market_micros = models.PositiveBigIntegerField(default=0)
    latency_ms = models.PositiveIntegerField()
    first_byte_ms = models.PositiveIntegerField(null=True, blank=True)
    overhead_us = models.PositiveIntegerField(null=True, blank=True)
    client = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField()
    # False for rows of processes that do not sum them up: `billing.rollup` finds them later.
    counted = models.BooleanField(
        default=False, db_default=False, help_text="Whether it is in the sums by day."
    )

    objects = UsageRecordQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["account_id", "-created_at"], name="billing_usage_by_account"),
            models.Index(
                fields=["account_id", "user_id", "-created_at"], name="billing_usage_by_member"
            ),
            models.Index(fields=["provider_key_id", "-created_at"], name="billing_usage_by_key"),
            models.Index(
                fields=["provider_key_id", "model", "-created_at"],
                condition=Q(outcome="ok"),
                name="billing_usage_served",
            ),
            models.Index(fields=["id"], condition=Q(counted=False), name="billing_usage_uncounted"),
        ]

    def __str__(self) -> str:
        return f"{self.request_id}: {self.model} {self.status}"

    @property
    def result(self) -> Result:
        """How it ended, of the few ways that there are: a stream may break after its 200."""
        if self.outcome == "ok":
            return self.Result.OK
        if self.outcome == CLIENT_CLOSED:
            return self.Result.CLOSED
        return self.Result.REFUSED if 400 <= self.status < 500 else self.Result.FAILED

    @property
    def told_attempts(self) -> list[dict[str, Any]]:
        """The attempts as their account is told of them."""
        return [
            {name: each for name, each in attempt.items() if name != "own"}
            if attempt.get("own", True)
            else {
                **{name: attempt[name] for name in ("provider", "ms") if name in attempt},
                "key": None,
                "outcome": told_of_ours(attempt.get("outcome", "")),
                "status": None,
            }
            for attempt in self.attempts
        ]

    @property
    def known_model(self) -> str:
        """The model, or nothing where the caller named none that there is."""
        return "" if self.outcome == MODEL_NOT_FOUND and not self.provider else self.model
