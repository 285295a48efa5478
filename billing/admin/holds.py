"""What is set aside for calls, and what tokens and members have spent."""

from collections.abc import Iterator

from django.contrib import admin
from django.utils.safestring import SafeString

from billing.admin.figures import dollars_of
from billing.models import Hold, Spending
from orgs.admin.base import StaffAdmin, links, searched

Of = Spending.Of


@admin.register(Hold)
class HoldAdmin(StaffAdmin):
    list_display = ["id", "created_at", "of_account", "state", "amount", "charged", "lease_until"]
    ordering = ["-created_at"]
    search_fields = ["id"]
    account_field = "account_id"
    search_help_text = (
        "A request's id; or the account's slug or id, or a person's e-mail address, for what is "
        "set aside just now."
    )
    fields = [
        "id",
        "of_account",
        "user_id",
        "token_id",
        "state",
        "amount",
        "charged",
        "created_at",
        "lease_until",
        "resolved_at",
        "places",
    ]

    amount = dollars_of("amount_micros", "Set aside")
    charged = dollars_of("charged_micros", "Charged")

    @admin.display(description="Look up")
    def places(self, hold: Hold) -> SafeString:
        return links(
            [
                (searched("billing_usagerecord", hold.pk), "Usage record"),
                (searched("billing_ledgerentry", f"request:{hold.pk}"), "Ledger entry"),
            ]
        )

    def look_ups(self, term: str) -> Iterator[dict[str, object]]:
        """Of an account only what is open: an index has no more."""
        for found in super().look_ups(term):
            yield {**found, "state": Hold.State.OPEN} if self.account_field in found else found


@admin.register(Spending)
class SpendingAdmin(StaffAdmin):
    list_display = ["subject_id", "of", "of_account", "period", "spent", "held"]
    ordering = ["-id"]
    ordering_found = ["-subject_id", "-period"]
    search_fields = ["subject_id"]
    account_field = "account_id"
    search_help_text = (
        "An API token's id; or an organization's slug or id, or a person's e-mail address, for "
        "what members have spent there."
    )
    fields = ["of", "subject_id", "of_account", "period", "spent", "held"]

    spent = dollars_of("spent_micros", "Spent")
    held = dollars_of("held_micros", "Set aside for calls")

    def look_ups(self, term: str) -> Iterator[dict[str, object]]:
        """Each index is of one kind of counter."""
        for found in super().look_ups(term):
            kind = Of.MEMBER if self.account_field in found else Of.TOKEN
            yield {**found, "of": kind}
