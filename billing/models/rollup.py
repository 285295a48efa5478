"""What was used, summed up by day.

A year of calls is a few thousand rows of `AccountDay`, however many people and API tokens make
them, and for each of these a few hundred of `UsageDay`.
"""

from __future__ import annotations

from datetime import date
from typing import Self, TypeVar

from django.db import models

from billing.models.usage import UsageRecord
from orgs.models import Account

Row = TypeVar("Row", bound="Day", covariant=True)


class DayQuerySet(models.QuerySet[Row]):
    def for_account(self, account: Account) -> Self:
        return self.filter(account_id=account.pk)

    def between(self, first: date, last: date) -> Self:
        """Both of these days, and those between them."""
        return self.filter(day__gte=first, day__lte=last)


class Day(models.Model):
    """The calls of one day, in UTC, that are alike in all that one can ask for.

    `billing.rollup` is the only writer. Rows are added to and never removed: they outlive the
    records they sum up. Tokens and money are as in `UsageRecord`.
    """

    #: A digest of what the calls have in common: whoever adds to the row can name it.
    id = models.UUIDField(primary_key=True)
    day = models.DateField()
    account_id = models.UUIDField()
    model = models.CharField(max_length=200, help_text="Empty for names that no model has.")
    provider = models.CharField(max_length=40)
    provider_key_id = models.UUIDField(null=True)
    payer = models.CharField(max_length=10, choices=UsageRecord.Payer)
    result = models.CharField(max_length=10, choices=UsageRecord.Result)
    requests = models.PositiveBigIntegerField()
    input_tokens = models.PositiveBigIntegerField()
    cache_read_tokens = models.PositiveBigIntegerField()
    cache_write_tokens = models.PositiveBigIntegerField()
    cache_write_long_tokens = models.PositiveBigIntegerField()
    output_tokens = models.PositiveBigIntegerField()
    reasoning_tokens = models.PositiveBigIntegerField()
    charged_micros = models.PositiveBigIntegerField()
    market_micros = models.PositiveBigIntegerField()

    objects = DayQuerySet.as_manager()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.day}: {self.requests} of {self.model}"


class AccountDay(Day):
    """Those of everybody in the account."""

    class Meta:
        indexes = [models.Index(fields=["account_id", "day"], name="billing_account_day")]


class UsageDay(Day):
    """Those of one person, with one API token."""

    user_id = models.UUIDField(null=True)
    token_id = models.UUIDField(null=True)

    class Meta:
        # Each begins with what is asked for by name, or with what there is to choose from.
        indexes = [
            models.Index(fields=["account_id", "user_id", "day"], name="billing_day_by_member"),
            models.Index(fields=["account_id", "token_id", "day"], name="billing_day_by_token"),
            models.Index(fields=["account_id", "model", "day"], name="billing_day_by_model"),
            models.Index(fields=["account_id", "provider", "day"], name="billing_day_by_provider"),
        ]
