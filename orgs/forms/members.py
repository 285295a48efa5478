"""What people fill in to find, invite, promote and limit the members of an organization."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator

from orgs.actions.invitations import canonical_address
from orgs.forms.fields import FocusingForm, RateField
from orgs.models import Account, Membership

MOST_ADDRESSES = 50
_LONGEST_ADDRESS = 254
_is_address = EmailValidator()
#: What mail programs copy: `"Ann" <ann@example.com>`.
_NAMED = re.compile(
    r"""(?:\A|(?<=[,;\n]))(?:[ \t]*"[^"\n]*"[ \t]*|[^"<>,;\n@]*)<([^<>\s]+)>""", re.ASCII
)

#: What each role is for, beside its name in forms.
ROLES = {
    Membership.Role.OWNER: (
        "Everything, also members, their roles, and the organization itself, to its deletion."
    ),
    Membership.Role.BILLING_MANAGER: ("Provider keys, billing and the audit log, but not members."),
    Membership.Role.MEMBER: (
        "Own API tokens, which use the organization's provider keys and spend its balance."
    ),
}


class FilterForm(forms.Form):
    """Whom to show. A value from elsewhere shows everybody rather than an error."""

    q = forms.CharField(
        required=False,
        max_length=_LONGEST_ADDRESS,
        label="Search by name or e-mail",
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": "Name or e-mail", "autocomplete": "off"}
        ),
    )
    role = forms.ChoiceField(
        required=False, choices=[("", "Every role"), *Membership.Role.choices], label="Role"
    )
    after = forms.CharField(required=False, max_length=_LONGEST_ADDRESS)
    before = forms.CharField(required=False, max_length=_LONGEST_ADDRESS)
    invited_after = forms.UUIDField(required=False)
    invited_before = forms.UUIDField(required=False)

    def chosen(self, name: str) -> str:
        self.is_valid()
        return str(self.cleaned_data.get(name) or "")


class RoleForm(FocusingForm):
    """Valid, it holds a role that exists."""

    role = forms.ChoiceField(
        choices=Membership.Role.choices, label="Role", widget=forms.RadioSelect
    )

    def explained(self) -> list[tuple[Any, str]]:  # Any: Django's widget of one choice.
        """Each choice with what the role is for."""
        return [(choice, ROLES[Membership.Role(choice.data["value"])]) for choice in self["role"]]


class InviteForm(RoleForm):
    """Valid, `addresses` are those to invite, and `malformed` whatever else was among them."""

    emails = forms.CharField(
        label="E-mail addresses",
        max_length=(MOST_ADDRESSES + 1) * _LONGEST_ADDRESS,
        help_text=f"Up to {MOST_ADDRESSES}, separated by commas, spaces or lines.",
        error_messages={"required": "Enter the e-mail address of whoever should join."},
        widget=forms.Textarea(
            attrs={"rows": 4, "autofocus": True, "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    field_order = ("emails", "role")

    def __init__(self, data: Any = None) -> None:  # Any: what a request's form data is.
        super().__init__(data, initial={"role": Membership.Role.MEMBER})
        self.addresses: list[str] = []
        self.malformed: list[str] = []

    def for_the(self, rest: list[str]) -> "InviteForm":
        """The form anew, with the same role, for those who are not invited yet."""
        form = InviteForm()
        form.initial = {"role": self.cleaned_data["role"], "emails": "\n".join(rest)}
        return form

    def clean_emails(self) -> str:
        text = str(self.cleaned_data["emails"])
        words = re.split(r"[\s,;]+", _NAMED.sub(r" \1 ", text))
        bare = (word.strip("<>").lower() for word in words)
        entered = list(dict.fromkeys(word for word in bare if word))
        if not entered:
            raise ValidationError(self.fields["emails"].error_messages["required"])
        if len(entered) > MOST_ADDRESSES:
            raise ValidationError(
                f"These are {len(entered)} addresses. Invite up to {MOST_ADDRESSES} at a time."
            )
        for word in entered:
            address = address_in(word)
            if address is None:
                self.malformed.append(word)
            elif address not in self.addresses:
                self.addresses.append(address)
        return text


def address_in(text: str) -> str | None:
    """The address, in the spelling in which a letter can be addressed to it; None for none."""
    try:
        address = canonical_address(text)
        _is_address(address)
    except (ValidationError, UnicodeError):
        return None
    return address if len(address) <= _LONGEST_ADDRESS and address.isprintable() else None


class LimitForm(FocusingForm):
    requests_per_minute = RateField(label="Requests a minute")

    def __init__(
        self, account: Account, data: Any = None, initial: dict[str, Any] | None = None
    ) -> None:
        super().__init__(data, initial=initial)
        everybodys = account.member_requests_per_minute
        field = self.fields["requests_per_minute"]
        field.help_text = "All of their API tokens together. Leave it empty for " + (
            f"what each member may make, which is {everybodys:,}."
            if everybodys
            else "no limit of their own."
        )
        field.widget.attrs |= {"autofocus": True}
        if everybodys:
            field.widget.attrs["placeholder"] = str(everybodys)
