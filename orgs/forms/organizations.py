"""What people fill in to make an organization, and in its settings."""

import uuid
from collections.abc import Iterator
from typing import Any

from django import forms

from orgs.actions.organizations import SLUG_LENGTH
from orgs.catalogue import known_models
from orgs.forms.fields import FocusingForm, FormIdField, ModelsField, NameField, RateField
from orgs.models import Account
from orgs.models.accounts import NAME_LENGTH


class OrganizationForm(FocusingForm):
    """Name and slug. What a slug may be, and which are taken, is for the actions to say."""

    name = NameField(
        max_length=NAME_LENGTH,
        label="Name",
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    slug = forms.CharField(
        max_length=SLUG_LENGTH,
        label="Slug",
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )

    def clean_slug(self) -> str:
        return str(self.cleaned_data["slug"]).lower()


class NewOrganizationForm(OrganizationForm):
    """What `orgs.actions.create_organization` wants to know."""

    id = FormIdField()

    def __init__(self, data: Any = None) -> None:  # Any: what a request's form data is.
        super().__init__(data, initial={"id": uuid.uuid4()})
        name, slug = self.fields["name"], self.fields["slug"]
        name.help_text = "What its members see, such as “Acme” or “Platform team”."
        name.widget.attrs |= {"autofocus": True, "data-proposes": "#id_slug"}
        slug.required = False
        slug.help_text = (
            "A short name for addresses and for agents: lower-case letters, digits and hyphens. "
            "Without one it is made from the name."
        )


class LimitsForm(forms.Form):
    """Valid, its `values()` are the limits that `orgs.actions.change_limits` takes."""

    allowed_models = ModelsField()
    member_requests_per_minute = RateField(
        label="Requests a minute, each member",
        help_text=(
            "All of a member's API tokens together. On the page Members one person can have "
            "another number."
        ),
    )
    token_requests_per_minute = RateField(
        label="Requests a minute, each API token",
        help_text="However many tokens a member has.",
    )

    def __init__(self, account: Account, data: Any = None) -> None:  # Any: as above.
        super().__init__(data, initial={name: getattr(account, name) for name in self.base_fields})
        field = self.fields["allowed_models"]
        assert isinstance(field, ModelsField)
        field.offer(choices_for(account))

    def values(self) -> dict[str, Any]:  # Any: arguments of several types.
        return {
            **self.cleaned_data,
            "allowed_models": self.cleaned_data["allowed_models"] or None,
        }


class DeletionForm(forms.Form):
    """Deleting is for those who can say what."""

    confirmation = forms.CharField(
        strip=True,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "off",
                "autocapitalize": "none",
                "spellcheck": "false",
                "autofocus": True,
            }
        ),
    )

    def __init__(self, account: Account, data: Any = None) -> None:  # Any: as above.
        super().__init__(data)
        self.account = account
        self.fields["confirmation"].label = f"Type {account.slug} to confirm"

    def clean_confirmation(self) -> str:
        typed = str(self.cleaned_data["confirmation"])
        if typed != self.account.slug:
            raise forms.ValidationError(f"That is not {self.account.slug}. Nothing was deleted.")
        return typed


def choices_for(account: Account) -> Iterator[tuple[str, str]]:
    """Every model of the catalogue, and those that left it but are still allowed."""
    known = known_models()
    yield from known
    for gone in sorted({*(account.allowed_models or ())} - {*dict(known)}):
        yield gone, "No longer in the catalogue:"
