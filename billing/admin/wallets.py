"""Balances, which staff may add to, take from, freeze and unfreeze."""

import uuid
from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods

from billing.actions import (
    KeyReused,
    NotEnough,
    TooMuch,
    freeze,
    grant_credit,
    take_credit,
    unfreeze,
)
from billing.admin.figures import dollars_of
from billing.ledger import NOTE_LENGTH
from billing.models import Wallet
from orgs.admin.base import (
    Row,
    StaffAdmin,
    fresh_sign_in,
    links,
    row_action,
    searched,
)
from orgs.forms.fields import DollarsField, NameField
from orgs.management.accounts import NAMES
from orgs.models import Account
from orgs.money import dollars
from orgs.origin import Origin
from orgs.requests import SignedInRequest

#: What finds the balances from which nothing is paid.
FROZEN = "frozen"
GRANT, TAKE = "grant", "take"


class GrantForm(forms.Form):
    """To or from whom, how much, and why; `key` is that of the form as it was first shown."""

    what = forms.ChoiceField(
        required=False,
        label="What",
        choices=[(GRANT, "Grant credit"), (TAKE, "Take credit back, as far as it is there")],
    )
    account = forms.CharField(
        max_length=254,
        help_text=f"{NAMES[0].upper()}{NAMES[1:]}.",
        widget=forms.TextInput(attrs={"size": 40, "autocomplete": "off"}),
    )
    dollars = DollarsField(label="Dollars", help_text="With up to six decimals.", placeholder="20")
    note = NameField(
        required=False,
        max_length=NOTE_LENGTH,
        help_text="What it is for. The account sees it.",
        widget=forms.TextInput(attrs={"size": 60}),
    )
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)

    def clean_what(self) -> str:
        return self.cleaned_data["what"] or GRANT

    def clean_account(self) -> Account:
        try:
            found: Account = Account.objects.named(self.cleaned_data["account"].strip())
        except Account.DoesNotExist:
            raise forms.ValidationError(f"There is none. An account is {NAMES}.") from None
        return found

    def clean_dollars(self) -> int:
        micros: int | None = self.cleaned_data["dollars"]
        if not micros:
            raise forms.ValidationError("Enter more than nothing.")
        return micros


@admin.register(Wallet)
class WalletAdmin(StaffAdmin):
    list_display = ["account_id", "of_account", "posted", "held", "available", "frozen_at"]
    ordering = ["account_id"]
    ordering_found = ["-frozen_at"]
    account_field = "account_id"
    # It has to name a column for Django to show the field to search in.
    search_fields = ["account_id"]
    search_help_text = (
        "An organization's slug, a person's e-mail address, an account's id, or “frozen”."
    )
    fields = [
        "of_account",
        "posted",
        "held",
        "available",
        "entries",
        "frozen_at",
        "frozen_why",
        "alert",
        "low_since",
        "created_at",
        "places",
    ]
    addresses = [*StaffAdmin.addresses, "add"]
    actions = ["freeze", "unfreeze"]

    posted = dollars_of("posted_micros", "Balance")
    held = dollars_of("held_micros", "Set aside for calls")
    available = dollars_of("available_micros", "Available")
    alert = dollars_of("alert_below_micros", "Tell of it below")

    @admin.display(description="Look up")
    def places(self, wallet: Wallet) -> SafeString:
        return links(
            [
                (searched("billing_ledgerentry", wallet.pk), "Ledger entries"),
                (searched("billing_hold", wallet.pk), "Open holds"),
                (searched("billing_spending", wallet.pk), "Spending of members"),
                (searched("billing_usagerecord", wallet.pk), "Usage records"),
            ]
        )

    def look_ups(self, term: str) -> Iterator[dict[str, object]]:
        if term.lower() == FROZEN:
            yield {"frozen_at__isnull": False}
        else:
            yield from super().look_ups(term)

    @row_action(
        "Freeze",
        warning=(
            "No call and no subscription is paid from it until staff unfreeze it. Calls under way "
            "are charged, credit can be added, and calls that a provider key serves go on."
        ),
        sensible=lambda wallet: wallet.frozen_at is None,
    )
    def freeze(self, request: SignedInRequest, wallet: Wallet) -> str:
        frozen = freeze(
            actor=request.user,
            account_id=wallet.pk,
            why="By MegaBrain's staff.",
            origin=Origin.of(request),
        )
        return "frozen" if frozen else "was frozen already"

    @row_action(
        "Unfreeze",
        warning=(
            "Calls are paid from it again, at once. If it was frozen because the books do not "
            "agree and they still do not, it is frozen again by the next call or comparison."
        ),
        sensible=lambda wallet: wallet.frozen_at is not None,
    )
    def unfreeze(self, request: SignedInRequest, wallet: Wallet) -> str:
        done = unfreeze(actor=request.user, wallet=wallet, origin=Origin.of(request))
        return "paid from again" if done else "was not frozen"

    # Granting credit, and taking it back ---------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def tools_on(self, request: HttpRequest, row: Row) -> list[tuple[str, str]]:
        account = Account.objects.select_related("user").filter(pk=row.pk).first()
        if account is None:
            return []
        name = account.user.email if account.user else account.slug
        return [(reverse("admin:billing_wallet_add", query={"account": name}), "Grant credit")]

    # A form for credit, in place of Django's one form for all columns.
    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    @fresh_sign_in
    def add_view(  # type: ignore[override]
        self, request: SignedInRequest, form_url: str = "", extra_context: object = None
    ) -> HttpResponse:
        """Credit for an account: typed in, then shown as it would be, then granted or taken."""
        if request.method != "POST":
            named = {"account": request.GET.get("account", "")}
            return self._page(request, GrantForm(initial=named))
        form = GrantForm(request.POST)
        if not form.is_valid():
            return self._page(request, form, status=422)
        given = form.cleaned_data
        if "confirmed" not in request.POST:
            wallet = Wallet.objects.filter(pk=given["account"].pk).first()
            return self._page(request, form, asked=given, wallet=wallet)
        change = take_credit if given["what"] == TAKE else grant_credit
        try:
            entry = change(
                actor=request.user,
                account=given["account"],
                amount_micros=given["dollars"],
                idempotency_key=str(given["key"]),
                note=given["note"],
                origin=Origin.of(request),
            )
        except KeyReused:
            form.add_error(
                None, "This form has changed something else. Open it anew to change more."
            )
        except TooMuch as refused:
            form.add_error("dollars", str(refused))
        except NotEnough as refused:
            form.add_error("dollars", f"{dollars(refused.available_micros)} is available.")
        else:
            done = "taken back" if given["what"] == TAKE else "added"
            amount = dollars(abs(entry.amount_micros))
            messages.success(request, f"{given['account']}: {amount} {done}.")
            return HttpResponseRedirect(self.address("change", given["account"].pk))
        return self._page(request, form, status=422)

    def _page(
        self,
        request: HttpRequest,
        form: GrantForm,
        *,
        status: int = 200,
        **context: Any,  # Any: whatever the template shows.
    ) -> HttpResponse:
        return TemplateResponse(
            request,
            "admin/billing/wallet/grant.html",
            {
                **self.admin_site.each_context(request),
                "title": "Grant credit",
                "opts": self.opts,
                "list_url": self.address("changelist"),
                "form": form,
                **context,
            },
            status=status,
        )
