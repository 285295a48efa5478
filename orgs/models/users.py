from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

if TYPE_CHECKING:
    from orgs.models.accounts import Account


class UserManager(BaseUserManager["User"]):
    """Users are made by `orgs.actions.create_user`, which gives each one a personal account."""

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").lower())

    def locked(self, user: User) -> User:
        """The person as they are now, held until the transaction ends.

        Accounts are held before people, and the heads of audit logs last of all.
        """
        return self.select_for_update(no_key=True).get(pk=user.pk)


class User(AbstractBaseUser, PermissionsMixin):
    """A person. The e-mail address is the login; what they own hangs on their accounts."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField("e-mail address", unique=True, help_text="In lower case.")
    name = models.CharField(max_length=100, blank=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(email=Lower("email")), name="orgs_user_email_in_lower_case"
            ),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def account(self) -> Account:
        """The personal account, made together with the user."""
        return self.personal_account

    @property
    def audit_label(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        return self.name or self.email

    def get_short_name(self) -> str:
        return self.name or self.email.partition("@")[0]

    def clean(self) -> None:
        super().clean()
        self.email = type(self).objects.normalize_email(self.email)

    def save(self, *args: Any, **kwargs: Any) -> None:
        # Addresses are compared without case everywhere, so they are kept in one case.
        self.email = self.email.lower()
        super().save(*args, **kwargs)
