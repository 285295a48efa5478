from __future__ import annotations

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q

NAME_LENGTH = 100


class AccountQuerySet(models.QuerySet["Account"]):
    def of_member(self, user: models.Model) -> Self:
        """The accounts that `user` belongs to, the personal one first."""
        return self.filter(memberships__user=user).order_by(
            models.Case(models.When(kind=Account.Kind.PERSONAL, then=0), default=1), "name"
        )

    def locked(self, account: Account) -> Account:
        """The account as it is now, held until the transaction ends. Raises Account.DoesNotExist.

        Whatever depends on who is a member, and as what, happens while it is held.
        """
        return self.select_for_update(no_key=True).get(pk=account.pk)

    def platform(self) -> Account:
        """The one account that holds MegaBrain's own provider keys, made when first asked for."""
        platform, _ = self.get_or_create(
            kind=Account.Kind.PLATFORM, defaults={"name": "MegaBrain", "slug": "platform"}
        )
        return platform

    def named(self, name: str) -> Account:
        """As operators name one: a user's e-mail, an organization's slug, or `platform`.

        Raises Account.DoesNotExist.
        """
        if "@" in name:
            return self.get(kind=Account.Kind.PERSONAL, user__email=name.strip().lower())
        if name == Account.Kind.PLATFORM:
            return self.platform()
        return self.get(kind=Account.Kind.ORGANIZATION, slug=name)


class Account(models.Model):
    """Who owns keys, tokens, a balance and an audit trail."""

    class Kind(models.TextChoices):
        PERSONAL = "personal"
        ORGANIZATION = "organization"
        PLATFORM = "platform"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=12, choices=Kind)
    name = models.CharField(max_length=NAME_LENGTH)
    slug = models.SlugField(max_length=60, unique=True)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="personal_account",
        null=True,
        blank=True,
        help_text="Whose personal account this is.",
    )
    allowed_models = models.JSONField(
        null=True, blank=True, help_text="Catalogue ids its members may call; null allows all."
    )
    member_requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="What each member may ask for; null: no limit of its own."
    )
    token_requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="The same for each API token."
    )
    member_daily_limit_micros = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        help_text="What each member may spend of its balance in a day; null: no limit of its own.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="orgs_account_user_iff_personal",
                condition=Q(kind="personal", user__isnull=False)
                | (~Q(kind="personal") & Q(user__isnull=True)),
            ),
            models.UniqueConstraint(
                "kind", condition=Q(kind="platform"), name="orgs_account_one_platform"
            ),
            models.CheckConstraint(
                name="orgs_account_only_organizations_limit_members",
                condition=Q(kind="organization")
                | Q(
                    allowed_models__isnull=True,
                    member_requests_per_minute__isnull=True,
                    token_requests_per_minute__isnull=True,
                    member_daily_limit_micros__isnull=True,
                ),
            ),
            models.CheckConstraint(
                name="orgs_account_limits_let_something_through",
                condition=(
                    Q(member_requests_per_minute__isnull=True) | Q(member_requests_per_minute__gt=0)
                )
                & (Q(token_requests_per_minute__isnull=True) | Q(token_requests_per_minute__gt=0)),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def audit_label(self) -> str:
        return self.name

    @property
    def is_personal(self) -> bool:
        return self.kind == self.Kind.PERSONAL

    @property
    def is_organization(self) -> bool:
        return self.kind == self.Kind.ORGANIZATION


class MembershipQuerySet(models.QuerySet["Membership"]):
    def for_account(self, account: Account) -> Self:
        return self.filter(account=account)

    def owners(self) -> Self:
        """Those who can act as owners: whoever may not sign in cannot."""
        return self.filter(role=Membership.Role.OWNER, user__is_active=True)


class Membership(models.Model):
    """A user's role in an account. A personal account has one: its owner."""

    class Role(models.TextChoices):
        OWNER = "owner", "Owner"
        BILLING_MANAGER = "billing_manager", "Billing manager"
        MEMBER = "member", "Member"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=20, choices=Role)
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="In place of what each member of the account may ask for."
    )
    daily_limit_micros = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="In place of what each member of the account may spend."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "user"], name="orgs_membership_unique"),
            models.CheckConstraint(
                condition=Q(requests_per_minute__isnull=True) | Q(requests_per_minute__gt=0),
                name="orgs_membership_limit_lets_something_through",
            ),
            models.CheckConstraint(
                condition=Q(role__in=["owner", "billing_manager", "member"]),
                name="orgs_membership_known_role",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.account}: {self.get_role_display()}"

    @property
    def audit_label(self) -> str:
        return self.user.audit_label

    @property
    def spends_at_most(self) -> int | None:
        """What the member may spend of the account's balance in a day, by whichever limit holds."""
        own = self.daily_limit_micros
        return self.account.member_daily_limit_micros if own is None else own
