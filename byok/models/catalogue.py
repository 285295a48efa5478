from __future__ import annotations

import uuid
from collections.abc import Container
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from byok.providers import PROVIDERS
from byok.providers.base import Endpoint


class Source(models.TextChoices):
    """Who tells something of the catalogue. A later one in this list is believed over an earlier
    one, field by field: what staff set, nobody undoes."""

    BUNDLED = "bundled", "Ships with MegaBrain"
    FEED = "feed", "From the catalogue feed"
    LISTED = "listed", "From the provider's own list"
    STAFF = "staff", "Set by staff"


class CatalogueVersion(models.Model):
    """Changes whenever the catalogue does: one row, for whoever keeps the rest in memory."""

    version = models.UUIDField()

    def __str__(self) -> str:
        return str(self.version)


class CatalogueSource(models.Model):
    """Where the catalogue comes from, and how asking there went: `bundled`, `feed`, a provider."""

    BUNDLED = "bundled"
    FEED = "feed"

    name = models.CharField(primary_key=True, max_length=40)
    edition = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of what was read last, of all its pages."
    )
    read_at = models.DateTimeField(
        null=True, blank=True, help_text="When it last gave an answer that could be read."
    )
    asked_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(
        null=True, blank=True, help_text="Until when whoever asks it just now has it alone."
    )
    trouble = models.CharField(
        max_length=300, blank=True, help_text="Why the last answer changed nothing."
    )
    away = models.PositiveSmallIntegerField(
        default=0, help_text="How many times in a row it was away or at fault, which may pass."
    )
    claimed_at = models.DateTimeField(
        null=True, blank=True, help_text="When a worker began to tell staff, until it is done."
    )
    told_at = models.DateTimeField(
        null=True, blank=True, help_text="When staff were told of this trouble."
    )

    def __str__(self) -> str:
        return self.name

    @property
    def audit_label(self) -> str:
        return self.name


class ChangeSet(models.Model):
    """What one answer of a source changed, or would change if staff believe it."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waits for staff"
        APPLIED = "applied", "Applied"
        DISMISSED = "dismissed", "Dismissed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    source = models.CharField(max_length=40, help_text="The name of a CatalogueSource.")
    state = models.CharField(max_length=10, choices=State)
    changes = models.JSONField(help_text="As byok/catalogue/changes.py writes them.")
    counts = models.JSONField(
        default=dict, help_text="How many changes of each kind, for lists, which read no more."
    )
    doubts = models.JSONField(default=list, help_text="Why it was not applied, in sentences.")
    created_at = models.DateTimeField(default=timezone.now)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, related_name="+", null=True, blank=True
    )

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["source"],
                condition=Q(state="waiting"),
                name="byok_changeset_one_waiting",
            ),
            models.CheckConstraint(
                condition=Q(state="waiting", decided_at__isnull=True)
                | Q(state__in=["applied", "dismissed"], decided_at__isnull=False),
                name="byok_changeset_decided_iff_over",
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at"], name="byok_changeset_newest"),
            models.Index(fields=["state", "-created_at"], name="byok_changeset_by_state"),
            models.Index(fields=["source", "-created_at"], name="byok_changeset_by_source"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.created_at:%Y-%m-%d %H:%M}: {self.state}"

    @property
    def audit_label(self) -> str:
        return str(self)


class CatalogModelQuerySet(models.QuerySet["CatalogModel"]):
    def offered_only_directly(self) -> Self:
        return self.filter(offerings__direct=True).exclude(offerings__direct=False)


class CatalogModel(models.Model):
    """A model under the id that callers use, such as `anthropic/claude-sonnet-4.5`."""

    id = models.CharField(primary_key=True, max_length=120)
    name = models.CharField(max_length=120)
    context = models.PositiveIntegerField(null=True, blank=True, help_text="Tokens.")
    max_output = models.PositiveIntegerField(null=True, blank=True, help_text="Tokens.")
    capabilities = models.JSONField(default=list, help_text='Such as "tools", "vision".')
    aliases = models.JSONField(default=list, help_text="Other ids that callers send for it.")
    released_on = models.DateField(null=True, blank=True)
    source = models.CharField(max_length=20, choices=Source, default=Source.BUNDLED)
    told_by = models.JSONField(
        default=dict, blank=True, help_text="By field, which Source set it, if not the bundled one."
    )

    objects = CatalogModelQuerySet.as_manager()

    class Meta:
        verbose_name = "model"
        ordering = ["id"]

    def __str__(self) -> str:
        return self.id

    @property
    def audit_label(self) -> str:
        return self.id


class OfferingQuerySet(models.QuerySet["Offering"]):
    def routable(self) -> Self:
        return self.filter(enabled=True, retired_at=None)

    def withheld(self) -> Self:
        """What staff have switched off or retired, as opposed to what its sources have ended."""
        staff = Q(source=Source.STAFF) | Q(told_by__retired_at=Source.STAFF)
        return self.filter(Q(enabled=False) | (Q(retired_at__isnull=False) & staff))

    def serving(self) -> Self:
        """Those that serve calls for their model: not what is offered directly beside others."""
        alone = CatalogModel.objects.offered_only_directly()
        return self.routable().filter(Q(direct=False) | Q(model__in=alone))


class Offering(models.Model):
    """This provider serves this model under that upstream id."""

    class Confidence(models.TextChoices):
        """How well its limits and prices are known."""

        VERIFIED = "verified", "In the provider's own documents"
        OBSERVED = "observed", "Seen in live answers"
        REPORTED = "reported", "From other sources"
        UNCERTAIN = "uncertain", "Uncertain"

    model = models.ForeignKey(CatalogModel, on_delete=models.CASCADE, related_name="offerings")
    provider = models.CharField(max_length=40)
    upstream_id = models.CharField(max_length=200)
    direct = models.BooleanField(default=False)
    enabled = models.BooleanField(default=True)
    endpoints = models.JSONField(
        null=True, blank=True, help_text="Endpoints it is limited to; null means the provider's."
    )
    context = models.PositiveIntegerField(
        null=True, blank=True, help_text="Tokens, where they are other than the model's."
    )
    max_output = models.PositiveIntegerField(
        null=True, blank=True, help_text="Tokens, where they are other than the model's."
    )
    confidence = models.CharField(max_length=10, choices=Confidence, default=Confidence.REPORTED)
    note = models.CharField(max_length=300, blank=True)
    source = models.CharField(max_length=20, choices=Source, default=Source.BUNDLED)
    told_by = models.JSONField(
        default=dict,
        blank=True,
        help_text=(
            "By field, which Source set it, if not the bundled one; “prices” stands for all of "
            "its prices."
        ),
    )
    first_seen_at = models.DateTimeField(
        null=True, blank=True, help_text="When a list of the provider first had it."
    )
    last_seen_at = models.DateTimeField(
        null=True, blank=True, help_text="When a list of the provider last had it."
    )
    missing_since = models.DateTimeField(
        null=True, blank=True, help_text="Since when the provider's list lacks it."
    )
    retires_on = models.DateField(
        null=True, blank=True, help_text="When the provider has said it will end."
    )
    retired_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when no request is routed to it."
    )

    objects = OfferingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "upstream_id", "direct"], name="byok_offering_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model_id} at {self.provider}"

    @property
    def served_at(self) -> tuple[Endpoint, ...]:
        """Where it can be asked for, in the order in which its provider would rather be asked."""
        return served_at(self.provider, self.endpoints)

    @property
    def audit_label(self) -> str:
        return str(self)


def served_at(provider_id: str, limited_to: Container[str] | None) -> tuple[Endpoint, ...]:
    """The endpoints of a provider's offering, of which None means all that the provider has."""
    provider = PROVIDERS.get(provider_id)
    return tuple(
        endpoint
        for endpoint in (provider.endpoints if provider else ())
        if limited_to is None or endpoint in limited_to
    )


class Price(models.Model):
    """Unit prices of an offering, in 10⁻¹² dollars a token ($3 a million is 3 000 000).

    Of several rows the one in force is the latest begun, then that with the highest `above_tokens`
    the prompt exceeds, then one for these hours before one for all (billing/prices.py).
    """

    offering = models.ForeignKey(Offering, on_delete=models.CASCADE, related_name="prices")
    starts_at = models.DateTimeField()
    above_tokens = models.PositiveIntegerField(
        default=0, help_text="Applies to prompts longer than this."
    )
    hours = models.JSONField(
        null=True,
        blank=True,
        help_text=(
            "Null means always. Otherwise a list of spans in UTC, such as "
            '{"days": [1, 2, 3, 4, 5], "from": "01:00", "to": "04:00"}; Monday is 1.'
        ),
    )
    input = models.PositiveBigIntegerField()
    output = models.PositiveBigIntegerField()
    cache_read = models.PositiveBigIntegerField(null=True, blank=True)
    cache_write = models.PositiveBigIntegerField(null=True, blank=True)
    cache_write_long = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Of what is to stay cached for an hour or longer."
    )
    source = models.CharField(max_length=20, choices=Source, default=Source.BUNDLED)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["offering", "starts_at", "above_tokens"],
                condition=Q(hours__isnull=True),
                name="byok_price_one_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        above = f" above {self.above_tokens:,} tokens" if self.above_tokens else ""
        return f"price from {self.starts_at:%Y-%m-%d %H:%M}{above}"
