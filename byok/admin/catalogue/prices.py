"""What offerings cost, in dollars a million tokens."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from byok.actions import (
    PRICE_FIELDS,
    OfferingGone,
    PriceExists,
    PriceGone,
    add_price,
    change_price,
    remove_price,
)
from byok.actions.catalogue.prices import refuse_second
from byok.admin.catalogue.base import BY_MODEL, MOST, CatalogueFormAdmin
from byok.admin.catalogue.dollars import DollarsField, HoursField
from byok.catalogue import hours
from byok.catalogue.changes import dollars_a_million
from byok.models import Offering, Price
from orgs.admin.base import Row, page_link, row_action
from orgs.origin import Origin
from orgs.requests import SignedInRequest

A_MILLION = "Dollars a million tokens, with up to six places."
AS_INPUT = "Empty: as input."
EXISTS = "There is a price from that moment for prompts of this length and these hours."


class PriceForm(forms.ModelForm):  # type: ignore[type-arg]  # It takes none at run time.
    offering = forms.ModelChoiceField(Offering.objects.all(), widget=forms.HiddenInput)
    starts_at = forms.DateTimeField(
        required=False,
        widget=forms.DateTimeInput(
            attrs={"type": "datetime-local", "step": 1}, format="%Y-%m-%dT%H:%M:%S"
        ),
        help_text="UTC. Empty: from this moment on.",
    )
    above_tokens = forms.IntegerField(
        min_value=0,
        max_value=MOST,
        initial=0,
        help_text="For prompts longer than so many tokens; 0 for all.",
    )
    hours = HoursField(
        required=False,
        help_text=(
            "UTC, one span a line, such as “Mon–Fri 01:00–04:00”. Empty: always, but for hours "
            "that have a price of their own."
        ),
    )
    input = DollarsField(help_text=A_MILLION)
    output = DollarsField(help_text=A_MILLION)
    cache_read = DollarsField(required=False, help_text=AS_INPUT)
    cache_write = DollarsField(required=False, help_text=AS_INPUT)
    cache_write_long = DollarsField(
        required=False,
        label="Cache write, 1 h",
        help_text="Of what is to stay for an hour or longer. Empty: as cache write.",
    )

    class Meta:
        model = Price
        fields = ["offering", *PRICE_FIELDS]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            del self.fields["offering"]

    def clean_starts_at(self) -> Any:  # Any: of the form's own field.
        moment = self.cleaned_data["starts_at"]
        if "starts_at" not in self.changed_data and self.instance.starts_at:
            # The field has no room for parts of a second.
            return self.instance.starts_at
        return moment or timezone.now()

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        offering = cleaned.get("offering") or getattr(self.instance, "offering", None)
        if offering and {"starts_at", "above_tokens", "hours"} <= cleaned.keys():
            try:
                refuse_second(
                    Price(
                        pk=self.instance.pk,
                        offering=offering,
                        **{name: cleaned[name] for name in ("starts_at", "above_tokens", "hours")},
                    )
                )
            except PriceExists:
                self.add_error("starts_at", EXISTS)
        return cleaned


@admin.register(Price)
class PriceAdmin(CatalogueFormAdmin):
    list_display = [
        "of_offering",
        "starts_at",
        "above_tokens",
        "at_hours",
        "input_dollars",
        "output_dollars",
        "source",
    ]
    list_filter = ["source"]
    list_select_related = ["offering"]
    ordering = ["offering_id", "-starts_at"]
    search_fields = [
        "offering__model_id",
        "offering__upstream_id",
        "offering__model__id__startswith",
    ]
    search_help_text = BY_MODEL
    form = PriceForm
    add_fields = ["offering", *PRICE_FIELDS]
    fields = ["of_offering", *PRICE_FIELDS, "source"]
    readonly_fields = ["of_offering", "source"]
    actions = ["remove"]
    refusals = {
        OfferingGone: "{row}: its offering has left the catalogue.",
        PriceGone: "{row}: was removed meanwhile. Look its offering up again.",
        PriceExists: f"{{row}}: nothing was saved. {EXISTS}",
    }

    def called(self, row: Row) -> str:
        return f"{row.offering}: {row}"

    @admin.display(description="Offering")
    def of_offering(self, price: Price) -> SafeString:
        return page_link("byok_offering", price.offering_id, price.offering)

    @admin.display(description="Hours, UTC")
    def at_hours(self, price: Price) -> str:
        return "; ".join(hours.told(price.hours)) if price.hours else "Always"

    @admin.display(description="Input, a million")
    def input_dollars(self, price: Price) -> str:
        return dollars_a_million(price.input)

    @admin.display(description="Output, a million")
    def output_dollars(self, price: Price) -> str:
        return dollars_a_million(price.output)

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """A price of the offering that the address names."""
        asked = request.GET.get("offering", "")
        number = int(asked) if asked.isdecimal() and len(asked) < 19 else 0
        offering = Offering.objects.filter(pk=number).first()
        if offering is None:
            messages.info(request, "Choose an offering, and add the price on its page.")
            return HttpResponseRedirect(reverse("admin:byok_offering_changelist"))
        kwargs["extra_context"] = {"title": "Add a price", "subtitle": str(offering)}
        return super().add_view(request, *args, **kwargs)

    def save_model(self, request: Any, obj: Row, form: Any, change: bool) -> None:
        origin, given = Origin.of(request), form.cleaned_data
        if change:
            values = {name: given[name] for name in form.changed_data}
            change_price(actor=request.user, price=obj, values=values, origin=origin)
            return
        values = {name: given[name] for name in PRICE_FIELDS}
        added = add_price(
            actor=request.user, offering=given["offering"], values=values, origin=origin
        )
        obj.pk = added.pk

    def response_add(self, request: HttpRequest, obj: Row, *args: Any) -> HttpResponse:
        return self._to_offering(request, obj, "added")

    def response_change(self, request: HttpRequest, obj: Row) -> HttpResponse:
        if "_continue" in request.POST:
            return super().response_change(request, obj)
        return self._to_offering(request, obj, "saved")

    def _to_offering(self, request: HttpRequest, price: Price, done: str) -> HttpResponse:
        """Back to where all its prices are."""
        messages.success(request, f"{self.called(price)}: {done}.")
        return HttpResponseRedirect(reverse("admin:byok_offering_change", args=[price.offering_id]))

    @row_action("Remove", warning="Calls cost what the prices that are left say, or nothing known.")
    def remove(self, request: SignedInRequest, price: Price) -> str:
        remove_price(actor=request.user, price=price, origin=Origin.of(request))
        return "removed"
