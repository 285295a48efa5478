"""Payments and kept cards, for staff to look up. What is to be done about a payment is done at the
payment provider, whose word of it arrives by itself; a card they keep from being charged here."""

from django.contrib import admin

from billing.admin.figures import dollars_of
from billing.models import AutoTopUp, Payment
from billing.payments import topping_up
from orgs.admin.base import StaffAdmin, row_action
from orgs.models import Account
from orgs.origin import Origin
from orgs.requests import SignedInRequest


@admin.register(Payment)
class PaymentAdmin(StaffAdmin):
    list_display = [
        "id",
        "created_at",
        "of_account",
        "kind",
        "state",
        "amount",
        "attention",
    ]
    ordering = ["-created_at"]
    ordering_found = ["-created_at"]
    search_fields = ["id", "reference", "intent"]
    account_field = "account_id"
    search_help_text = (
        "A payment's id, the payment provider's id of its checkout or charge, the account's slug "
        "or id, or a person's e-mail address."
    )
    fields = [
        "id",
        "of_account",
        "user_id",
        "kind",
        "state",
        "amount",
        "attention",
        "attention_told_at",
        "failure",
        "reference",
        "intent",
        "refunded",
        "taken_back",
        "disputed_at",
        "saves_card",
        "created_at",
        "ended_at",
    ]

    amount = dollars_of("amount_micros", "Amount")
    refunded = dollars_of("refunded_micros", "Refunded")
    taken_back = dollars_of("taken_back_micros", "Taken back from the balance")


@admin.register(AutoTopUp)
class AutoTopUpAdmin(StaffAdmin):
    list_display = [
        "account_id",
        "of_account",
        "enabled",
        "below",
        "amount",
        "card_label",
        "off_why",
    ]
    ordering = ["account_id"]
    account_field = "account_id"
    search_help_text = "The account's slug or id, or a person's e-mail address."
    fields = [
        "of_account",
        "enabled",
        "below",
        "amount",
        "monthly_cap",
        "card_label",
        "customer",
        "card",
        "agreed_by",
        "agreed_at",
        "off_why",
        "off_told_at",
        "capped_at",
        "capped_told_at",
    ]
    actions = ["turn_off"]
    refusals = {Account.DoesNotExist: "{row}: the account is gone, and no card of it is charged."}

    below = dollars_of("below_micros", "Below")
    amount = dollars_of("amount_micros", "Amount")
    monthly_cap = dollars_of("monthly_cap_micros", "At most in a month")

    @row_action(
        "Turn off",
        warning=(
            "The card is kept and not charged by itself until somebody of the account turns it on "
            "again. Those who manage its billing are told that staff have turned it off."
        ),
        sensible=lambda kept: kept.enabled,
    )
    def turn_off(self, request: SignedInRequest, kept: AutoTopUp) -> str:
        done = topping_up.stop(actor=request.user, account_id=kept.pk, origin=Origin.of(request))
        return "turned off" if done else "was off already"
