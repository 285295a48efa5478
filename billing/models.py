"""What was used and what it cost."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models

from orgs.models import Account


class UsageRecordQuerySet(models.QuerySet["UsageRecord"]):
    def for_account(self, account: Account) -> Self:
        return self.filter(account_id=account.id)


class UsageRecord(models.Model):
    """One request: who asked, what served it, who paid, and what it took.

    Tokens are disjoint except that reasoning is part of output: `input_tokens` excludes cached
    reads and writes. Money is in micro-dollars. Ids are copied, not referenced: the row outlives
    the token, the key and the person.
    """

    class Payer(models.TextChoices):
        BYOK = "byok", "Your provider key"
        BALANCE = "balance", "Balance"
        NONE = "none", "Nobody"

    class UsageSource(models.TextChoices):
        PROVIDER = "provider", "Reported by the provider"
        ESTIMATE = "estimate", "Estimated"
        NONE = "none", "Nothing used"

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

    objects = UsageRecordQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["account_id", "-created_at"], name="billing_usage_by_account"),
            models.Index(
                fields=["account_id", "user_id", "-created_at"], name="billing_usage_by_member"
            ),
            models.Index(fields=["provider_key_id", "-created_at"], name="billing_usage_by_key"),
        ]

    def __str__(self) -> str:
        return f"{self.request_id}: {self.model} {self.status}"
