"""What people fill in to make an API token."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from orgs.catalogue import known_models
from orgs.forms.fields import (
    DollarsField,
    FocusingForm,
    FormIdField,
    ModelsField,
    NameField,
    RateField,
)
from orgs.models import Account
from orgs.models.tokens import NAME_LENGTH

EXPIRIES = [
    ("", "Never"),
    ("7", "In 7 days"),
    ("30", "In 30 days"),
    ("90", "In 90 days"),
    ("365", "In a year"),
]


class TokenForm(FocusingForm):
    """Valid, its `values()` are the arguments of `orgs.actions.create_token`."""

    id = FormIdField()
    name = NameField(
        max_length=NAME_LENGTH,
        label="Name",
        help_text="What will use it, such as “Claude Code on my laptop”.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )
    expiry = forms.ChoiceField(choices=EXPIRIES, required=False, label="Expires")
    monthly_limit = DollarsField(
        label="Dollars a month",
        help_text=(
            "What it may spend of a balance. Calls that your own provider keys serve do not count."
        ),
    )
    requests_per_minute = RateField(label="Requests a minute")
    allowed_models = ModelsField()

    def __init__(self, account: Account, data: Any = None) -> None:  # Any: what a request sent.
        super().__init__(data, initial={"id": uuid.uuid4()})
        models, allowed = self.fields["allowed_models"], account.allowed_models
        assert isinstance(models, ModelsField)
        models.offer(model for model in known_models() if allowed is None or model[0] in allowed)
        most = account.token_requests_per_minute
        self.fields["requests_per_minute"].help_text = (
            "Stops an agent that runs wild."
            if most is None
            else f"{account} allows each token {most:,}. Only a lower number counts."
        )

    def values(self) -> dict[str, Any]:  # Any: arguments of several types.
        return {
            "id": self.cleaned_data["id"],
            "name": self.cleaned_data["name"],
            "expires_at": self._expires_at(),
            "allowed_models": self.cleaned_data["allowed_models"] or None,
            "monthly_limit": self.cleaned_data["monthly_limit"],
            "requests_per_minute": self.cleaned_data["requests_per_minute"],
        }

    def _expires_at(self) -> datetime | None:
        days = self.cleaned_data["expiry"]
        return timezone.now() + timedelta(days=int(days)) if days else None
