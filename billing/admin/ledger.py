"""Every change of a balance, to look up."""

from django.contrib import admin

from billing.admin.figures import dollars_of
from billing.models import LedgerEntry
from orgs.admin.base import StaffAdmin


@admin.register(LedgerEntry)
class LedgerEntryAdmin(StaffAdmin):
    list_display = ["created_at", "of_account", "number", "kind", "amount", "balance", "note"]
    ordering = ["-id"]
    ordering_found = ["-number"]
    search_fields = ["idempotency_key"]
    account_field = "account_id"
    search_help_text = (
        "The account's slug or id, a person's e-mail address, or an idempotency key: that of a "
        "call is “request:” and its id."
    )
    fields = [
        "of_account",
        "number",
        "kind",
        "amount",
        "balance",
        "idempotency_key",
        "note",
        "actor_id",
        "created_at",
    ]

    amount = dollars_of("amount_micros", "Amount")
    balance = dollars_of("balance_micros", "Balance after it")
