from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q

from byok.providers import PROVIDERS
from byok.providers.base import Endpoint


class Source(models.TextChoices):
    """Who wrote a row of the catalogue. Loading the bundled one again leaves staff's rows alone."""

    BUNDLED = "bundled", "Ships with MegaBrain"
    STAFF = "staff", "Set by staff"


class CatalogueLoad(models.Model):
    """Which edition of the bundled catalogue this database holds: one row."""

    source = models.CharField(primary_key=True, max_length=20, choices=Source)
    edition = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the file.")
    loaded_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.source} {self.edition[:12]}"


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
        return self.filter(enabled=True)

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
    confidence = models.CharField(max_length=10, choices=Confidence, default=Confidence.REPORTED)
    note = models.CharField(max_length=300, blank=True)
    source = models.CharField(max_length=20, choices=Source, default=Source.BUNDLED)
    last_seen_at = models.DateTimeField(null=True, blank=True)

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
        provider = PROVIDERS.get(self.provider)
        return tuple(
            endpoint
            for endpoint in (provider.endpoints if provider else ())
            if self.endpoints is None or endpoint in self.endpoints
        )

    @property
    def audit_label(self) -> str:
        return str(self)


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
        return f"{self.input}/{self.output} from {self.starts_at:%Y-%m-%d}"
