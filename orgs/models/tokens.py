from __future__ import annotations

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from orgs.models.accounts import Account, Membership

NAME_LENGTH = 60


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def for_account(self, account: Account) -> Self:
        return self.filter(account=account)

    def usable(self) -> Self:
        """Neither revoked nor expired, of a person who may still sign in and is still a member."""
        membership = Membership.objects.filter(
            account_id=OuterRef("account_id"), user_id=OuterRef("user_id")
        )
        return self.filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()),
            Exists(membership),
            revoked_at__isnull=True,
            user__is_active=True,
        )

    def ended(self) -> Self:
        """Revoked or expired."""
        return self.filter(Q(revoked_at__isnull=False) | Q(expires_at__lte=timezone.now()))


class ApiToken(models.Model):
    """Our credential, given to agents. Only its digest is kept; `orgs.tokens` makes the text."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens"
    )
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=NAME_LENGTH)
    prefix = models.CharField(
        max_length=16, help_text="The first characters, to tell tokens apart."
    )
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the whole token.")
    allowed_models = models.JSONField(
        null=True, blank=True, help_text="Catalogue ids this token may call; null allows all."
    )
    monthly_limit = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Balance-paid spend a month, in micro-dollars."
    )
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="An organization's limits hold beside it."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = "API token"
        constraints = [
            models.CheckConstraint(
                condition=Q(requests_per_minute__isnull=True) | Q(requests_per_minute__gt=0),
                name="orgs_token_limit_lets_something_through",
            ),
        ]
        indexes = [models.Index(fields=["account", "-created_at"], name="orgs_token_by_account")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def audit_label(self) -> str:
        return str(self)

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()
