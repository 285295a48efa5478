"""What people fill in to make an API token."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from orgs.catalogue import known_models
from orgs.models.tokens import NAME_LENGTH

EXPIRIES = [
    ("", "Never"),
    ("7", "In 7 days"),
    ("30", "In 30 days"),
    ("90", "In 90 days"),
    ("365", "In a year"),
]


class TokenForm(forms.Form):
    """Valid, its `values()` are the arguments of `orgs.actions.create_token`."""

    id = forms.UUIDField(required=False, widget=forms.HiddenInput)
    name = forms.CharField(
        max_length=NAME_LENGTH,
        label="Name",
        help_text="What will use it, such as “Claude Code on my laptop”.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )
    expiry = forms.ChoiceField(choices=EXPIRIES, required=False, label="Expires")
    allowed_models = forms.MultipleChoiceField(
        required=False,
        label="Allowed models",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"invalid_choice": "%(value)s is not in the catalogue any more."},
    )

    def __init__(self, data: Any = None) -> None:  # Any: what a request's form data is.
        # One form makes one token, however often it is sent.
        super().__init__(data, initial={"id": uuid.uuid4()})
        models = self.fields["allowed_models"]
        assert isinstance(models, forms.MultipleChoiceField)
        models.choices = known_models()

    def clean_name(self) -> str:
        name = " ".join(str(self.cleaned_data["name"]).split())
        if not name.isprintable():
            raise forms.ValidationError("Use letters, digits and signs that can be printed.")
        return name

    def values(self) -> dict[str, Any]:  # Any: arguments of several types.
        return {
            "id": self.cleaned_data["id"],
            "name": self.cleaned_data["name"],
            "expires_at": self._expires_at(),
            "allowed_models": self.cleaned_data["allowed_models"] or None,
        }

    def _expires_at(self) -> datetime | None:
        days = self.cleaned_data["expiry"]
        return timezone.now() + timedelta(days=int(days)) if days else None
