import uuid

from django.contrib import admin
from django.utils.safestring import SafeString

from orgs.actions import (
    InvitationGone,
    LastOwner,
    MemberGone,
    change_role,
    remove_member,
    revoke_invitation,
    revoke_token,
)
from orgs.admin.audit import verified
from orgs.admin.base import StaffAdmin, links, row_action, searched
from orgs.models import Account, ApiToken, Invitation, Membership
from orgs.origin import Origin
from orgs.requests import SignedInRequest


@admin.register(Account)
class AccountAdmin(StaffAdmin):
    list_display = ["name", "kind", "slug", "created_at"]
    ordering = ["slug"]
    search_fields = ["slug", "id", "user__email"]
    search_help_text = "An organization's slug, a person's e-mail address, “platform”, or the id."
    fields = [
        "id",
        "kind",
        "name",
        "slug",
        "user",
        "allowed_models",
        "member_requests_per_minute",
        "token_requests_per_minute",
        "created_at",
        "places",
    ]
    actions = ["verify"]

    @admin.display(description="Look up")
    def places(self, account: Account) -> SafeString:
        """The lists of all that can belong to an account."""
        found = [
            (searched(f"{model._meta.app_label}_{model._meta.model_name}", account.pk), listed)
            for model, listed in self.admin_site._registry.items()  # noqa: SLF001 -- read only.
            if isinstance(listed, StaffAdmin) and listed.account_field
        ]
        return links([(url, str(listed.opts.verbose_name_plural)) for url, listed in found])

    def account_id_of(self, row: Account) -> uuid.UUID:
        return row.pk

    @row_action("Verify the audit log")
    def verify(self, request: SignedInRequest, account: Account) -> str:
        return verified(account.pk)


@admin.register(Membership)
class MembershipAdmin(StaffAdmin):
    list_display = ["user", "account", "role", "requests_per_minute", "created_at"]
    list_select_related = ["user", "account"]
    ordering = ["account_id", "user_id"]
    search_fields = ["id", "user__email"]
    account_field = "account_id"
    search_help_text = "The member's e-mail address, or the organization's slug or id."
    fields = ["id", "user", "account", "role", "requests_per_minute", "created_at"]
    actions = ["make_owner", "make_billing_manager", "make_member", "remove"]
    refusals = {
        LastOwner: "{why} Make somebody else an owner first.",
        MemberGone: "{row}: not, or no more, a membership of an organization.",
    }

    def called(self, row: Membership) -> str:
        return f"{row.user} in {row.account}"

    @row_action(
        "Make them an owner",
        warning=(
            "They may do everything in the organization, at once: manage its keys and members, "
            "read its audit log, rename and delete it."
        ),
        sensible=lambda row: _may_become(row, "owner"),
    )
    def make_owner(self, request: SignedInRequest, membership: Membership) -> str:
        return _role(request, membership, Membership.Role.OWNER)

    @row_action(
        "Make them a billing manager",
        warning=(
            "They may manage the organization's keys and read its audit log, at once. An owner no "
            "longer manages members, and the open invitations they sent are revoked."
        ),
        sensible=lambda row: _may_become(row, "billing_manager"),
    )
    def make_billing_manager(self, request: SignedInRequest, membership: Membership) -> str:
        return _role(request, membership, Membership.Role.BILLING_MANAGER)

    @row_action(
        "Make them a member",
        warning=(
            "They keep their API tokens, and no longer manage the organization's keys or members, "
            "nor read its audit log, at once. The open invitations they sent are revoked."
        ),
        sensible=lambda row: _may_become(row, "member"),
    )
    def make_member(self, request: SignedInRequest, membership: Membership) -> str:
        return _role(request, membership, Membership.Role.MEMBER)

    @row_action(
        "Remove them from the organization",
        warning=(
            "Their access ends at once, and their API tokens in the organization are revoked for "
            "good."
        ),
        sensible=lambda row: row.account.is_organization,
    )
    def remove(self, request: SignedInRequest, membership: Membership) -> str:
        remove_member(actor=request.user, membership=membership, origin=Origin.of(request))
        return "removed"


def _may_become(membership: Membership, role: str) -> bool:
    return membership.account.is_organization and membership.role != role


def _role(request: SignedInRequest, membership: Membership, role: Membership.Role) -> str:
    changed = change_role(
        actor=request.user, membership=membership, role=role, origin=Origin.of(request)
    )
    role_name = f"{'an' if role == Membership.Role.OWNER else 'a'} {role.label.lower()}"
    return f"now {role_name}" if changed else f"was {role_name} already"


@admin.register(Invitation)
class InvitationAdmin(StaffAdmin):
    list_display = ["email", "account", "role", "created_at", "expires_at", "accepted_at"]
    list_select_related = ["account"]
    ordering = ["account_id", "-created_at"]
    search_fields = ["id"]
    account_field = "account_id"
    search_help_text = "The organization's slug or id, or the invitation's id."
    fields = [
        "id",
        "email",
        "account",
        "role",
        "invited_by",
        "created_at",
        "sent_at",
        "expires_at",
        "accepted_at",
        "revoked_at",
    ]
    actions = ["revoke"]
    refusals = {InvitationGone: "{row}: was used or revoked before."}

    @row_action(
        "Revoke",
        warning="The link in the letter stops working.",
        sensible=lambda row: row.accepted_at is None and row.revoked_at is None,
    )
    def revoke(self, request: SignedInRequest, invitation: Invitation) -> str:
        revoke_invitation(actor=request.user, invitation=invitation, origin=Origin.of(request))
        return "revoked"


@admin.register(ApiToken)
class ApiTokenAdmin(StaffAdmin):
    list_display = ["__str__", "user", "account", "created_at", "last_used_at", "revoked_at"]
    list_select_related = ["user", "account"]
    ordering = ["account_id", "-created_at"]
    search_fields = ["id", "user__email"]
    account_field = "account_id"
    search_help_text = "Its owner's e-mail address, the account's slug or id, or the token's id."
    fields = [
        "id",
        "name",
        "prefix",
        "user",
        "account",
        "allowed_models",
        "monthly_limit",
        "requests_per_minute",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    ]
    actions = ["revoke"]

    @row_action(
        "Revoke",
        warning="Whatever uses the token stops working, at once and for good.",
        sensible=lambda token: token.revoked_at is None,
    )
    def revoke(self, request: SignedInRequest, token: ApiToken) -> str:
        if token.revoked_at is not None:
            return "was revoked before"
        revoke_token(actor=request.user, token=token, origin=Origin.of(request))
        return "revoked"
