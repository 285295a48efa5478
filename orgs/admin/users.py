import uuid

from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.utils.safestring import SafeString

from orgs.actions import LastOwner, close_user, reopen_user
from orgs.admin.base import StaffAdmin, links, page_link, row_action, searched
from orgs.models import User
from orgs.origin import Origin
from orgs.requests import SignedInRequest


@admin.register(User)
class UserAdmin(StaffAdmin):
    list_display = ["email", "name", "is_active", "is_staff", "date_joined", "last_login"]
    ordering = ["email"]
    search_fields = ["email", "id"]
    search_help_text = "The whole e-mail address, or the id."
    fields = [
        "id",
        "email",
        "name",
        "is_active",
        "is_staff",
        "second_factor",
        "date_joined",
        "last_login",
        "account",
        "places",
    ]
    actions = ["close", "reopen"]
    refusals = {LastOwner: "{why} Somebody else has to become an owner of it first."}

    @admin.display(description="Two-factor authentication", boolean=True)
    def second_factor(self, user: User) -> bool:
        return bool(Authenticator.objects.filter(user=user).exists())

    @admin.display(description="Personal account")
    def account(self, user: User) -> SafeString:
        return page_link("orgs_account", user.account.pk)

    @admin.display(description="Look up")
    def places(self, user: User) -> SafeString:
        return links(
            [
                (searched("orgs_membership", user.email), "Memberships"),
                (searched("orgs_apitoken", user.email), "API tokens"),
            ]
        )

    def account_id_of(self, row: User) -> uuid.UUID:
        return row.account.pk

    @row_action(
        "Close the account",
        warning=(
            "They are signed out everywhere and cannot sign in, and their API tokens stop working, "
            "at once. Nothing is deleted: the account can be opened again."
        ),
        sensible=lambda user: user.is_active,
    )
    def close(self, request: SignedInRequest, user: User) -> str:
        closed = close_user(actor=request.user, user=user, origin=Origin.of(request))
        return "the account is closed" if closed else "the account was closed already"

    @row_action("Open the account again", sensible=lambda user: not user.is_active)
    def reopen(self, request: SignedInRequest, user: User) -> str:
        opened = reopen_user(actor=request.user, user=user, origin=Origin.of(request))
        return "the account is open again" if opened else "the account was open already"
