from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from orgs.models.accounts import Account, Membership

VALID_FOR = timedelta(days=7)


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def for_account(self, account: Account) -> Self:
        return self.filter(account=account)

    def open(self) -> Self:
        """Neither accepted nor revoked; one that has expired can still be sent again."""
        return self.filter(accepted_at__isnull=True, revoked_at__isnull=True)

    def acceptable(self) -> Self:
        return self.open().filter(expires_at__gt=timezone.now())


class Invitation(models.Model):
    """An offer of membership to one e-mail address. Of the link's token only a digest is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField("e-mail address", help_text="In lower case.")
    role = models.CharField(max_length=20, choices=Membership.Role)
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the link's token.")
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, related_name="+", null=True, blank=True
    )
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(
        null=True, blank=True, help_text="When the letter went out; null if it could not."
    )
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "email"],
                condition=Q(accepted_at__isnull=True, revoked_at__isnull=True),
                name="orgs_invitation_one_open_per_address",
            ),
            models.CheckConstraint(
                condition=Q(accepted_at__isnull=True) | Q(revoked_at__isnull=True),
                name="orgs_invitation_accepted_or_revoked",
            ),
            models.CheckConstraint(
                condition=Q(role__in=["owner", "billing_manager", "member"]),
                name="orgs_invitation_known_role",
            ),
            models.CheckConstraint(
                condition=Q(email=Lower("email")), name="orgs_invitation_email_in_lower_case"
            ),
        ]
        indexes = [models.Index(fields=["account", "-created_at"], name="orgs_invitation_newest")]

    def __str__(self) -> str:
        return f"{self.email} to {self.account}"

    @property
    def audit_label(self) -> str:
        return self.email

    @property
    def is_expired(self) -> bool:
        return self.expires_at <= timezone.now()


class InvitationLetterQuerySet(models.QuerySet["InvitationLetter"]):
    def of_a_day(self) -> Self:
        return self.filter(created_at__gt=timezone.now() - timedelta(days=1))


class InvitationLetter(models.Model):
    """A letter that was asked for, remembered for a day so that nobody is flooded with them.

    It refers to nothing: deleting the organization, or revoking the invitation, makes no room.
    """

    id = models.BigAutoField(primary_key=True)
    email = models.EmailField()
    sender_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    objects = InvitationLetterQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["email", "created_at"], name="orgs_letter_by_address"),
            models.Index(fields=["sender_id", "created_at"], name="orgs_letter_by_sender"),
        ]

    def __str__(self) -> str:
        return f"{self.email} at {self.created_at}"
