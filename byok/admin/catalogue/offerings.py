"""Who serves the models of the catalogue."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.validators import ProhibitNullCharactersValidator
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from byok.actions import (
    ModelGone,
    NameTaken,
    NotOurs,
    OfferingExists,
    OfferingGone,
    add_offering,
    change_offering,
    remove_offering,
    restore_offering,
    set_offering_enabled,
    set_offering_retired,
)
from byok.actions.catalogue.offerings import refuse_offering
from byok.admin.catalogue.base import (
    BY_MODEL,
    CatalogueFormAdmin,
    PinnedForm,
    date_field,
    tokens_field,
)
from byok.admin.catalogue.dollars import amounts, applies_to, as_mapping
from byok.models import CatalogModel, Offering, Source
from byok.providers import PROVIDERS, name_of
from byok.providers.endpoints import Endpoint
from orgs.admin.base import Row, links, row_action, searched
from orgs.origin import Origin
from orgs.requests import SignedInRequest

LIMIT = "Tokens. Empty where it is the model's."
#: What the form of an offering has.
IN_FORM = ["endpoints", "context", "max_output", "retires_on", "confidence", "note"]
OF_IT = ["of_model", "of_provider", "upstream_id", "state", "costs"]
SEEN = ["direct", "source", "first_seen_at", "last_seen_at", "missing_since", "retired_at"]
#: What a new one cannot do without.
PLACE = ["model_id", "provider", "upstream_id"]


class OfferingForm(PinnedForm):
    also = ("enabled", "retired_at", "prices")

    endpoints = forms.MultipleChoiceField(
        required=True,
        widget=forms.CheckboxSelectMultiple,
        help_text="Where it can be asked for, of what its provider has.",
    )
    context = tokens_field(LIMIT)
    max_output = tokens_field(LIMIT)
    retires_on = date_field("When its provider has said it will end. Told to callers ahead.")

    class Meta:
        model = Offering
        fields = IN_FORM

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        endpoints = self.fields["endpoints"]
        assert isinstance(endpoints, forms.MultipleChoiceField)
        provider = PROVIDERS.get(self.instance.provider)
        self._all = [str(each) for each in provider.endpoints] if provider else []
        limited_to = self.instance.endpoints
        known = [*self._all, *(each for each in limited_to or () if each not in self._all)]
        endpoints.choices = [(each, Endpoint(each).label) for each in known]
        self.initial["endpoints"] = self._all if limited_to is None else limited_to

    def clean_endpoints(self) -> list[str] | None:
        """None for all that the provider has."""
        chosen = self.cleaned_data["endpoints"]
        return None if set(chosen) == set(self._all) else chosen


class NewOfferingForm(forms.ModelForm):  # type: ignore[type-arg]  # It takes none at run time.
    model_id = forms.CharField(
        max_length=120, label="Model", help_text="The id of a model of the catalogue."
    )
    provider = forms.ChoiceField(
        choices=[(each.id, each.name) for each in PROVIDERS.values() if each.base_url]
    )
    upstream_id = forms.CharField(
        max_length=200,
        validators=[ProhibitNullCharactersValidator()],
        help_text="What the provider calls it: sent as it is.",
    )
    context = tokens_field(LIMIT)
    max_output = tokens_field(LIMIT)
    retires_on = date_field()

    class Meta:
        model = Offering
        fields = ["provider", "upstream_id", "context", "max_output", "retires_on", "note"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A link names the model.
        self.initial.setdefault("model_id", self.initial.get("model", ""))

    def clean_model_id(self) -> str:
        id_: str = self.cleaned_data["model_id"]
        if not CatalogModel.objects.filter(pk=id_).exists():
            raise forms.ValidationError("No model of the catalogue has this id.")
        return id_

    def clean_upstream_id(self) -> str:
        id_: str = self.cleaned_data["upstream_id"]
        if not id_.isprintable() or len(id_.split()) != 1:
            raise forms.ValidationError("One word, without spaces.")
        return id_

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        if all(name in cleaned for name in PLACE):
            try:
                refuse_offering(*(cleaned[name] for name in PLACE))
            except (OfferingExists, NameTaken) as refused:
                self.add_error("upstream_id", str(refused))
        return cleaned


@admin.register(Offering)
class OfferingAdmin(CatalogueFormAdmin):
    list_display = ["model", "state", "provider", "upstream_id", "last_seen_at", "source"]
    list_filter = ["enabled", "provider", "source"]
    list_select_related = ["model"]
    ordering = ["model_id", "provider"]
    search_fields = ["model_id", "upstream_id", "model__id__startswith"]
    search_help_text = BY_MODEL
    add_fields = [*PLACE, "context", "max_output", "retires_on", "note"]
    fields = [*OF_IT, *IN_FORM, "pinned", *SEEN]
    readonly_fields = [*OF_IT, *SEEN]
    actions = ["disable", "enable", "retire", "bring_back", "restore", "remove"]
    refusals = {
        OfferingGone: "{row}: has left the catalogue.",
        ModelGone: "{row}: its model has left the catalogue.",
        OfferingExists: "{row}: nothing was saved. {why}",
        NameTaken: "{row}: nothing was saved. {why}",
        NotOurs: "{row}: its sources tell it, so it cannot be removed. Disable it.",
    }

    # Any: a class of forms.
    def get_form(
        self, request: HttpRequest, obj: Row = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form = NewOfferingForm if obj is None else OfferingForm
        return super().get_form(request, obj, change, **{**kwargs, "form": form})

    @admin.display(description="Model")
    def of_model(self, offering: Offering) -> SafeString:
        url = reverse("admin:byok_catalogmodel_change", args=[admin.utils.quote(offering.model_id)])
        return links([(url, offering.model_id)])

    @admin.display(description="Provider")
    def of_provider(self, offering: Offering) -> str:
        return name_of(offering.provider)

    @admin.display(description="State")
    def state(self, offering: Offering) -> str:
        if offering.retired_at:
            return f"Retired {offering.retired_at:%Y-%m-%d}"
        if not offering.enabled:
            return "Disabled"
        if offering.missing_since:
            return f"Missing from the list since {offering.missing_since:%Y-%m-%d}"
        return f"Ends {offering.retires_on:%Y-%m-%d}" if offering.retires_on else "In use"

    @admin.display(description="Prices")
    def costs(self, offering: Offering) -> SafeString | str:
        """A line for each, dollars a million tokens."""
        prices = list(offering.prices.order_by("starts_at", "above_tokens", "pk"))
        if not prices:
            return "None is known."
        return format_html(
            '<ul class="prices">{}</ul>',
            format_html_join(
                "",
                '<li><a href="{}">From {} UTC</a>{}<br>{} a million tokens</li>',
                (
                    (
                        reverse("admin:byok_price_change", args=[price.pk]),
                        f"{price.starts_at:%Y-%m-%d %H:%M}",
                        f", {which}" if (which := applies_to(as_mapping(price))) else "",
                        amounts(as_mapping(price)),
                    )
                    for price in prices
                ),
            ),
        )

    def tools_on(self, request: HttpRequest, row: Row) -> list[tuple[str, str]]:
        add = reverse("admin:byok_price_add", query={"offering": row.pk})
        return [(add, "Add a price"), (searched("byok_price", row.upstream_id), "Its prices")]

    def save_model(self, request: Any, obj: Row, form: Any, change: bool) -> None:
        origin = Origin.of(request)
        if not change:
            values = dict(form.cleaned_data)
            place = {name: values.pop(name) for name in PLACE}
            added = add_offering(actor=request.user, values=values, origin=origin, **place)
            obj.pk, obj.model_id = added.pk, added.model_id
            return
        change_offering(
            actor=request.user,
            offering=obj,
            values=form.values,
            pinned=form.pinned_now,
            taken_back=form.taken_back,
            origin=origin,
        )

    @row_action(
        "Disable",
        warning="No request is routed to it until it is enabled again.",
        sensible=lambda offering: offering.enabled,
    )
    def disable(self, request: SignedInRequest, offering: Offering) -> str:
        return _switch(request, offering, enabled=False)

    @row_action("Enable", sensible=lambda offering: not offering.enabled)
    def enable(self, request: SignedInRequest, offering: Offering) -> str:
        return _switch(request, offering, enabled=True)

    @row_action(
        "Retire",
        warning="No request is routed to it, whatever its provider lists.",
        sensible=lambda offering: offering.retired_at is None,
    )
    def retire(self, request: SignedInRequest, offering: Offering) -> str:
        return _retire(request, offering, retired=True)

    @row_action(
        "Bring back",
        warning="Requests are routed to it, whatever its provider lists.",
        sensible=lambda offering: offering.retired_at is not None,
    )
    def bring_back(self, request: SignedInRequest, offering: Offering) -> str:
        return _retire(request, offering, retired=False)

    @row_action(
        "Take back what staff said",
        warning="Every field that staff set, prices included, is again as its sources tell it.",
        sensible=lambda offering: Source.STAFF in offering.told_by.values(),
    )
    def restore(self, request: SignedInRequest, offering: Offering) -> str:
        origin = Origin.of(request)
        restored = restore_offering(actor=request.user, offering=offering, origin=origin)
        return "is as its sources tell it again" if restored else "is as its sources tell it"

    @row_action(
        "Remove (what staff added)",
        warning="No request is routed to it any more, and its prices are gone.",
        sensible=lambda offering: offering.source == Source.STAFF,
    )
    def remove(self, request: SignedInRequest, offering: Offering) -> str:
        remove_offering(actor=request.user, offering=offering, origin=Origin.of(request))
        return "removed"


def _switch(request: SignedInRequest, offering: Offering, *, enabled: bool) -> str:
    word = "enabled" if enabled else "disabled"
    changed = set_offering_enabled(
        actor=request.user, offering=offering, enabled=enabled, origin=Origin.of(request)
    )
    return word if changed else f"was {word} already"


def _retire(request: SignedInRequest, offering: Offering, *, retired: bool) -> str:
    word = "retired" if retired else "brought back"
    changed = set_offering_retired(
        actor=request.user, offering=offering, retired=retired, origin=Origin.of(request)
    )
    return word if changed else f"was {word} already"
