"""What people fill in to pay, and to have a card charged when the balance is low."""

import uuid
from typing import Any

from django import forms

from billing.models import AutoTopUp
from billing.payments.paying import OutOfBounds, bounds, check_amount
from orgs.forms.fields import DollarsField, FocusingForm, FormIdField
from orgs.money import MICROS, dollars

#: What is proposed, in dollars, where the bounds allow it.
USUAL = 20
USUAL_BELOW = 5
USUAL_CAP = 100


class AmountField(DollarsField):
    """What one pays at once, in micro-dollars."""

    def __init__(self, *, label: str) -> None:
        least, most = bounds()
        super().__init__(
            label=label,
            help_text=f"In dollars, from {dollars(least, 0)} to {dollars(most, 0)}.",
            placeholder="",
        )
        self.required = True
        self.error_messages["required"] = "Enter an amount."

    def clean(self, value: Any) -> Any:  # Any: Django's own signature.
        micros = super().clean(value)
        try:
            check_amount(micros)
        except OutOfBounds as wrong:
            raise forms.ValidationError(str(wrong)) from None
        return micros


class CreditForm(FocusingForm):
    """Valid, its `values()` are the arguments of `billing.payments.paying.begin`."""

    id = FormIdField()
    saves_card = forms.BooleanField(
        required=False,
        label="Keep the card for automatic top-ups",
        help_text=(
            "The payment provider keeps it, in place of one kept before. It is not charged until "
            "you turn automatic top-ups on with it."
        ),
    )

    def __init__(self, data: Any = None) -> None:  # Any: what a request sent.
        least, most = bounds()
        usual = max(least, min(USUAL * MICROS, most))
        super().__init__(data, initial={"id": uuid.uuid4(), "amount": usual})
        self.fields["amount"] = AmountField(label="Amount")
        self.order_fields(["id", "amount", "saves_card"])

    def values(self) -> dict[str, Any]:  # Any: arguments of several types.
        return {
            "id": self.cleaned_data["id"] or uuid.uuid4(),
            "amount_micros": self.cleaned_data["amount"],
            "saves_card": self.cleaned_data["saves_card"],
        }


class TopUpForm(FocusingForm):
    """Valid, its `values()` are the arguments of `billing.payments.topping_up.turn_on`."""

    card = forms.CharField(required=False, max_length=255, widget=forms.HiddenInput)
    agreed = forms.BooleanField(
        label="Charge this card without asking again, until I turn it off",
        error_messages={"required": "Tick this to agree to it."},
    )

    def __init__(self, kept: AutoTopUp, data: Any = None) -> None:  # Any: what a request sent.
        least, most = bounds()
        usual = max(least, min(USUAL * MICROS, most))
        super().__init__(
            data,
            initial={
                "card": kept.card,
                "below": kept.below_micros or min(USUAL_BELOW * MICROS, usual),
                "amount": kept.amount_micros or usual,
                "monthly_cap": kept.monthly_cap_micros or max(USUAL_CAP * MICROS, usual),
                "agreed": kept.enabled,
            },
        )
        self.fields["below"] = DollarsField(
            label="When the balance is below",
            help_text="In dollars, and no more than what is added then.",
            placeholder="",
        )
        self.fields["amount"] = AmountField(label="Add")
        self.fields["monthly_cap"] = DollarsField(
            label="At most in a month",
            help_text="In dollars. Months begin at midnight UTC.",
            placeholder="",
        )
        for name in ("below", "monthly_cap"):
            self.fields[name].required = True
            self.fields[name].error_messages["required"] = "Enter an amount."
        self.order_fields(["card", "below", "amount", "monthly_cap", "agreed"])

    def values(self) -> dict[str, Any]:  # Any: as above.
        return {
            "card": self.cleaned_data["card"],
            "below_micros": self.cleaned_data["below"],
            "amount_micros": self.cleaned_data["amount"],
            "monthly_cap_micros": self.cleaned_data["monthly_cap"],
        }
