"""What several forms of this application have in common: fields, and where one starts to type."""

import re
from collections.abc import Iterable
from typing import Any

from django import forms

from orgs.money import NotDollars, dollars, micros_in

#: More than this is a slip of the finger.
MOST_REQUESTS = 1_000_000


class FocusingForm(forms.Form):
    """One starts to type where a field says `autofocus`, or else in the first that is wrong."""

    def add_error(self, field: str | None, error: Any) -> None:  # Any: as Django takes it.
        super().add_error(field, error)
        shown = [name for name, each in self.fields.items() if not each.widget.is_hidden]
        wrong = next((name for name in shown if self.has_error(name)), None)
        if wrong is not None:
            for name in shown:
                self.fields[name].widget.attrs.pop("autofocus", None)
            self.fields[wrong].widget.attrs["autofocus"] = True


class FormIdField(forms.UUIDField):
    """Of what the form will make: it is made once, however often the form is sent."""

    def __init__(self) -> None:
        super().__init__(
            required=False,
            widget=forms.HiddenInput,
            error_messages={"invalid": "This form is damaged. Close it and open it again."},
        )


#: Letters that leave a gap where they stand: a name of them looks like none.
_BLANKS = {"\u115f", "\u1160", "\u2800", "\u3164", "\uffa0"}
_LINK = re.compile(r"://|\bwww\.", re.IGNORECASE)


class NameField(forms.CharField):
    """A name on one line: inner space is collapsed, and signs that nobody can see are refused.

    So are links: names are in letters to strangers.
    """

    def to_python(self, value: Any) -> str:  # Any: what was sent, or a caller's text.
        return " ".join((super().to_python(value) or "").split())

    def validate(self, value: str) -> None:
        super().validate(value)
        if not value.isprintable() or not _BLANKS.isdisjoint(value):
            raise forms.ValidationError("Use letters, digits and signs that can be printed.")
        if _LINK.search(value):
            raise forms.ValidationError("A name cannot hold a link.")


class RateField(forms.IntegerField):
    """Requests a minute; nothing for no limit."""

    def __init__(self, *, label: str, help_text: str = "") -> None:
        super().__init__(
            required=False,
            label=label,
            help_text=help_text,
            min_value=1,
            max_value=MOST_REQUESTS,
            error_messages={
                "invalid": "Enter a whole number, or leave this empty.",
                "min_value": "Enter 1 or more, or leave this empty.",
                "max_value": f"Enter {MOST_REQUESTS:,} at most, or leave this empty.",
            },
            widget=forms.NumberInput(attrs={"inputmode": "numeric", "placeholder": "No limit"}),
        )


class DollarsField(forms.CharField):
    """Dollars, of which its value is the micro-dollars; nothing for none."""

    def __init__(self, *, label: str, help_text: str = "", placeholder: str = "No limit") -> None:
        super().__init__(
            required=False,
            max_length=40,
            label=label,
            help_text=help_text,
            widget=forms.TextInput(
                attrs={"inputmode": "decimal", "autocomplete": "off", "placeholder": placeholder}
            ),
        )

    # Any: Django's own signatures.
    def prepare_value(self, value: Any) -> Any:
        return dollars(value)[1:].replace(",", "") if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        text: str = super().clean(value)
        try:
            return micros_in(text) if text else None
        except NotDollars as wrong:
            raise forms.ValidationError(str(wrong)) from None


class ModelsField(forms.MultipleChoiceField):
    """A choice among models, shown by `components/model_choices.html`; none chosen means all."""

    def __init__(self) -> None:
        super().__init__(
            required=False,
            label="Allowed models",
            widget=forms.CheckboxSelectMultiple,
            error_messages={"invalid_choice": "%(value)s cannot be chosen any more."},
        )

    def offer(self, models: Iterable[tuple[str, str]]) -> None:
        self.choices = list(models)
