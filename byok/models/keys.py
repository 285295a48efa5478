from __future__ import annotations

import sys
import uuid
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Q, When
from django.utils import timezone

from byok.fields import EncryptedField
from byok.providers import PROVIDERS, name_of
from orgs.models import Account

#: However long a provider asks to wait, a key is not passed over for longer.
COOLING = timedelta(seconds=60)
#: That a list lacks a model counts for as long.
BELIEVED = timedelta(days=30)


class ProviderKeyQuerySet(models.QuerySet["ProviderKey"]):
    def for_account(self, account: Account) -> Self:
        return self.filter(account=account)

    def of_megabrain(self) -> Self:
        """Its own, which serve at the expense of balances."""
        return self.filter(account__kind=Account.Kind.PLATFORM)

    def enabled(self) -> Self:
        return self.filter(enabled=True)

    def with_coverage(self) -> Self:
        """The keys together with their `coverage`, in one query: `listed`, which may be long, only
        where a key may know models of its own (byok/catalogue/own.py)."""
        direct = [provider.id for provider in PROVIDERS.values() if provider.direct]
        listed = When(provider__in=direct, then=F("coverage__upstream_ids"))
        return (
            self.select_related("coverage")
            .defer("coverage__upstream_ids")
            .annotate(listed=Case(listed, output_field=models.JSONField()))
        )


class ProviderKey(models.Model):
    """A credential of an account at a provider, sealed. One per account and provider."""

    class OnFailure(models.TextChoices):
        ERROR = "error", "Return the error"
        BALANCE = "balance", "Use MegaBrain balance"

    class Health(models.TextChoices):
        UNTESTED = "untested", "Never used"
        WORKS = "works", "Works"
        FAILING = "failing", "Failing"
        COOLING = "cooling", "Cooling down"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="provider_keys")
    provider = models.CharField(max_length=40)
    secret = EncryptedField(fingerprint="fingerprint")
    host = models.CharField(
        max_length=40, blank=True, help_text="Which of the provider's hosts takes it, by its test."
    )
    hint = models.CharField(max_length=40, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    enabled = models.BooleanField(default=True)
    managed_by = models.CharField(max_length=40, blank=True)
    on_failure = models.CharField(max_length=10, choices=OnFailure, default=OnFailure.ERROR)
    remind_on = models.DateField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, related_name="+", null=True, blank=True
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    secret_changed_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True, blank=True)
    health = models.CharField(max_length=10, choices=Health, default=Health.UNTESTED)
    health_code = models.CharField(max_length=40, blank=True)
    health_message = models.CharField(max_length=300, blank=True)
    health_at = models.DateTimeField(null=True, blank=True)
    failing_told_at = models.DateTimeField(
        null=True, blank=True, help_text="When its managers were last told that it fails."
    )
    failing_claimed_at = models.DateTimeField(
        null=True, blank=True, help_text="When a worker began to tell them, until it is done."
    )

    objects = ProviderKeyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "provider"], name="byok_providerkey_one_per_provider"
            ),
        ]
        indexes = [
            models.Index(
                fields=["health_at"],
                condition=Q(health="failing", enabled=True),
                name="byok_providerkey_failing",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} key of {self.account_id}"

    @property
    def audit_label(self) -> str:
        """The provider's name alone: the audit log holds no part of a secret, not even a hint."""
        return name_of(self.provider)

    @property
    def falls_back(self) -> bool:
        """Whether MegaBrain's own keys may take over when it fails, and the balance pay."""
        return self.on_failure == self.OnFailure.BALANCE

    @property
    def listed_at(self) -> datetime | None:
        """When its provider listed models for the secret that is stored now, if it did."""
        coverage: Coverage | None = getattr(self, "coverage", None)
        if coverage is None or coverage.listed_at < self.secret_changed_at:
            return None
        return coverage.listed_at

    @property
    def lacking(self) -> frozenset[str]:
        """Upstream ids that are not listed for it, as far as its list is young enough to count."""
        if self.listed_at is None or self.listed_at < timezone.now() - BELIEVED:
            return frozenset()
        # Many keys of a provider lack the same.
        return frozenset(map(sys.intern, self.coverage.lacking))

    @property
    def health_now(self) -> Health:
        """Health as of now. A provider that limits a key has accepted it, and the limit passes."""
        health = self.Health(self.health)
        if health != self.Health.COOLING:
            return health
        cooling = self.health_at is not None and timezone.now() - self.health_at < COOLING
        return health if cooling else self.Health.WORKS


class KeyTestQuerySet(models.QuerySet["KeyTest"]):
    def unfinished(self) -> Self:
        return self.filter(state__in=[KeyTest.State.QUEUED, KeyTest.State.RUNNING])


class KeyTest(models.Model):
    """One try of a provider key, asked for by a person and run by a worker."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        PASSED = "passed"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.ForeignKey(ProviderKey, on_delete=models.CASCADE, related_name="tests")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, related_name="+", null=True, blank=True
    )
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    code = models.CharField(max_length=40, blank=True)
    message = models.CharField(max_length=500, blank=True)
    model = models.CharField(max_length=200, blank=True)
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = KeyTestQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["key"],
                condition=Q(state__in=["queued", "running"]),
                name="byok_keytest_one_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running"], finished_at__isnull=True)
                | Q(state__in=["passed", "failed"], finished_at__isnull=False),
                name="byok_keytest_finished_iff_ended",
            ),
        ]
        indexes = [models.Index(fields=["key", "-created_at"], name="byok_keytest_by_key")]

    def __str__(self) -> str:
        return f"Test of {self.key_id}: {self.state}"

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None


class Coverage(models.Model):
    """What the provider listed for a key when it was last tested with success."""

    key = models.OneToOneField(
        ProviderKey, on_delete=models.CASCADE, related_name="coverage", primary_key=True
    )
    listed_at = models.DateTimeField()
    upstream_ids = models.JSONField(help_text="All that the provider lists for it, by its ids.")
    lacking = models.JSONField(
        help_text=(
            "Upstream ids of offerings that it cannot use: those that a list had shown before, "
            "and this key's did not."
        )
    )

    def __str__(self) -> str:
        return f"{len(self.upstream_ids)} models of {self.key_id}"


class KeyNotice(models.Model):
    """That a key needs attention for a reason, so that those who manage it are told of it once."""

    key = models.ForeignKey(ProviderKey, on_delete=models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=20, help_text="A kind of byok/attention.py.")
    about = models.CharField(max_length=200, help_text="Which occasion: a date, or a model and it.")
    found_at = models.DateTimeField(default=timezone.now)
    claimed_at = models.DateTimeField(
        null=True, blank=True, help_text="When whoever writes of it took it up, or last tried."
    )
    told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key", "kind", "about"], name="byok_keynotice_once")
        ]
        indexes = [
            models.Index(
                fields=["claimed_at"], condition=Q(told_at=None), name="byok_keynotice_untold"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.about} of {self.key_id}"
