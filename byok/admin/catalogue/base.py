"""What the pages of the catalogue have in common: forms of which only what was changed is kept."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from byok.catalogue.known import told_by
from byok.models import Source
from orgs.admin.base import Row, StaffAdmin, fresh_sign_in
from orgs.models import Account
from orgs.permissions import NotPermitted

LONGEST = 120
MOST = 10**9
BY_MODEL = "A model's id or its beginning, such as “anthropic/”, or an upstream id."

_TELLERS: Mapping[Source, str] = {
    Source.BUNDLED: "from the bundled edition",
    Source.FEED: "from the feed",
    Source.LISTED: "from the provider's list",
    Source.STAFF: "from staff",
}


def tokens_field(help_text: str = "Tokens. Empty where nobody knows.") -> forms.IntegerField:
    return forms.IntegerField(required=False, min_value=1, max_value=MOST, help_text=help_text)


def date_field(help_text: str = "") -> forms.DateField:
    widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    return forms.DateField(required=False, widget=widget, help_text=help_text)


class LinesField(forms.CharField):
    """A list of words, one a line."""

    widget = forms.Textarea(attrs={"rows": 5})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        lines = (super().to_python(value) or "").split("\n")
        return list(dict.fromkeys(line.strip() for line in lines if line.strip()))

    def clean(self, value: Any) -> list[str]:
        lines: list[str] = self.to_python(value)
        for line in lines:
            if len(line) > LONGEST or not line.isprintable() or len(line.split()) != 1:
                raise forms.ValidationError(
                    f"Each line is one word of at most {LONGEST} characters."
                )
        return lines


class PinnedForm(forms.ModelForm):  # type: ignore[type-arg]  # It takes none at run time.
    """A row whose fields sources tell, unless they are pinned.

    Each field comes with what it was when the form was shown, so that what somebody else has
    changed in the meantime stays, where this form did not change it too.
    """

    #: What can be pinned besides the fields of the form.
    also: Iterable[str] = ()

    pinned = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=(
            "What is ticked no source changes; what you change above is pinned by itself. Untick "
            "a field to take back what staff said of it: it is again as its sources tell it."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        row = self.instance
        if not row.pk or row.source == Source.STAFF:
            # Whatever staff added is theirs as a whole.
            del self.fields["pinned"]
        else:
            names = [*(name for name in self.fields if name != "pinned"), *self.also]
            # What is no field of the form is pinned where it is said, and here only taken back.
            pinned = self.fields["pinned"]
            assert isinstance(pinned, forms.MultipleChoiceField)
            pinned.choices = [
                (name, f"{label_of(name)}: {_TELLERS[Source(told_by(row, name))]}")
                for name in names
                if name in self.fields or row.told_by.get(name) == Source.STAFF
            ]
            self.initial["pinned"] = [
                name for name in names if row.told_by.get(name) == Source.STAFF
            ]
        for field in self.fields.values():
            field.show_hidden_initial = True

    @property
    def pinned_before(self) -> set[str]:
        """What was pinned when the form was shown."""
        if "pinned" not in self.fields:
            return set()
        bound = self["pinned"]
        shown = bound.field.hidden_widget().value_from_datadict(
            self.data, self.files, bound.html_initial_name
        )
        return set(shown or ())

    @property
    def values(self) -> dict[str, Any]:
        """What was changed in the form. Any: of whichever field."""
        changed = [name for name in self.changed_data if name != "pinned"]
        return {name: self.cleaned_data[name] for name in changed}

    @property
    def pinned_now(self) -> set[str]:
        """What was ticked in the form."""
        return set(self.cleaned_data.get("pinned", ())) - self.pinned_before

    @property
    def taken_back(self) -> set[str]:
        """What was unticked in the form."""
        return self.pinned_before - set(self.cleaned_data.get("pinned", ()))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if "pinned" in cleaned:
            both = [name for name in self.taken_back if name in self.changed_data]
            if both:
                names = ", ".join(label_of(name) for name in both)
                self.add_error("pinned", f"{names}: either change it, or take it back.")
        return dict(cleaned)


def label_of(field: str) -> str:
    """As forms call a field, where it has no name of its own."""
    return {"retired_at": "Retired or not"}.get(field, field.replace("_", " ").capitalize())


class CatalogueAdmin(StaffAdmin):
    """What is told in the platform account's trail."""

    def account_id_of(self, row: Row) -> uuid.UUID:
        return Account.objects.platform().pk


class CatalogueFormAdmin(CatalogueAdmin):
    """A form whose changes are made by actions, and may be refused by them at the last moment."""

    addresses = (*StaffAdmin.addresses, "add")
    #: What the form for a new one has.
    add_fields: ClassVar[list[str]]

    # Any: Django's type of what may also be nested.
    def get_fields(self, request: HttpRequest, obj: Row = None) -> Any:
        if obj is None:
            return self.add_fields
        hidden = {"pinned"} if obj.source == Source.STAFF else set()
        return [name for name in self.fields or () if name not in hidden]

    def get_readonly_fields(self, request: HttpRequest, obj: Row = None) -> Any:
        return () if obj is None else self.readonly_fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Row = None) -> bool:
        return self.has_view_permission(request, obj)

    @fresh_sign_in
    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, *args, **kwargs)
        except NotPermitted:
            raise PermissionDenied from None
        except tuple(self.refusals) as refused:
            sentence = next(
                words for kind, words in self.refusals.items() if isinstance(refused, kind)
            )
            named = object_id or self.opts.verbose_name
            messages.error(request, sentence.format(row=named, why=refused))
            return HttpResponseRedirect(self.address("changelist"))

    # Any: Django's own signature.
    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["show_save_and_add_another"] = False
        return super().render_change_form(request, context, *args, **kwargs)

    def response_add(self, request: HttpRequest, obj: Row, *args: Any) -> HttpResponse:
        """To the page of what was added, where the rest is said of it."""
        messages.success(request, f"{self.called(obj)}: added.")
        return HttpResponseRedirect(self.page_of(obj))
