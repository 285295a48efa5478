"""The model catalogue: what staff change here stays when the bundled one is loaded again.

That is why a price cannot be edited, and of an offering only whether it is in use: a later
edition would undo the rest, or could not bring its own prices any more.
"""

import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from byok.actions import (
    MODEL_FIELDS,
    ModelGone,
    OfferingGone,
    change_model,
    reload_catalogue,
    restore_model,
    set_offering_enabled,
)
from byok.models import CatalogModel, Offering, Price, Source
from orgs.admin.base import Row, StaffAdmin, fresh_sign_in, links, row_action, searched
from orgs.models import Account
from orgs.origin import Origin
from orgs.requests import SignedInRequest

LONGEST = 120
MOST = 10**9
BY_MODEL = "A model's id or its beginning, such as “anthropic/”, or an upstream id."


class LinesField(forms.CharField):
    """A list of words, one a line."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line for line in (super().to_python(value) or "").split("\n") if line.strip()]

    def clean(self, value: Any) -> list[str]:
        lines = list(dict.fromkeys(line.strip() for line in self.to_python(value)))
        for line in lines:
            if len(line) > LONGEST or not line.isprintable() or len(line.split()) != 1:
                raise forms.ValidationError(
                    f"Each line is one word of at most {LONGEST} characters."
                )
        return lines


class ModelForm(forms.ModelForm):  # type: ignore[type-arg]  # It takes none at run time.
    context = forms.IntegerField(required=False, min_value=1, max_value=MOST, help_text="Tokens.")
    max_output = forms.IntegerField(
        required=False, min_value=1, max_value=MOST, help_text="Tokens."
    )
    capabilities = LinesField(required=False, help_text="One a line, such as “tools”.")
    aliases = LinesField(required=False, help_text="Other ids that callers send, one a line.")

    class Meta:
        model = CatalogModel
        fields = list(MODEL_FIELDS)


@admin.register(CatalogModel)
class CatalogModelAdmin(StaffAdmin):
    list_display = ["id", "name", "context", "max_output", "released_on", "source"]
    list_filter = ["source"]
    ordering = ["id"]
    search_fields = ["id", "id__startswith"]
    search_help_text = "The model's id, or its beginning, such as “anthropic/”."
    form = ModelForm
    fields = ["id", *MODEL_FIELDS, "released_on", "source", "places"]
    readonly_fields = ["id", "released_on", "source", "places"]
    actions = ["restore"]
    refusals = {ModelGone: "{row}: has left the catalogue."}

    @admin.display(description="Look up")
    def places(self, model: CatalogModel) -> SafeString:
        return links(
            [
                (searched("byok_offering", model.pk), "Offerings"),
                (searched("byok_price", model.pk), "Prices"),
            ]
        )

    def has_change_permission(self, request: HttpRequest, obj: Row = None) -> bool:
        return self.has_view_permission(request, obj)

    def account_id_of(self, row: Row) -> uuid.UUID:
        return Account.objects.platform().pk

    @fresh_sign_in
    def change_view(self, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().change_view(*args, **kwargs)

    def save_model(self, request: Any, obj: Row, form: Any, change: bool) -> None:
        change_model(
            actor=request.user,
            model=obj,
            values={field: form.cleaned_data[field] for field in MODEL_FIELDS},
            origin=Origin.of(request),
        )

    @row_action(
        "Take the bundled values again", sensible=lambda model: model.source == Source.STAFF
    )
    def restore(self, request: SignedInRequest, model: CatalogModel) -> str:
        restored = restore_model(actor=request.user, model=model, origin=Origin.of(request))
        return "is as bundled again" if restored else "is as bundled already"

    def get_urls(self) -> list[URLPattern]:
        reload = path(
            "reload/",
            self.admin_site.admin_view(self.reload_view),
            name="byok_catalogmodel_reload",
        )
        return [reload, *super().get_urls()]

    @method_decorator(require_POST)
    def reload_view(self, request: SignedInRequest) -> HttpResponse:
        """Load the bundled catalogue again."""
        reload_catalogue(actor=request.user, origin=Origin.of(request))
        messages.success(request, "The bundled catalogue is loaded. What staff changed stayed.")
        return HttpResponseRedirect(self.address("changelist"))


@admin.register(Offering)
class OfferingAdmin(StaffAdmin):
    list_display = ["model", "enabled", "provider", "upstream_id", "last_seen_at"]
    list_filter = ["enabled", "provider"]
    list_select_related = ["model"]
    ordering = ["model_id", "provider"]
    search_fields = ["model_id", "upstream_id", "model__id__startswith"]
    search_help_text = BY_MODEL
    fields = [
        "model",
        "provider",
        "upstream_id",
        "enabled",
        "direct",
        "endpoints",
        "confidence",
        "note",
        "source",
        "last_seen_at",
        "places",
    ]
    actions = ["disable", "enable"]
    refusals = {OfferingGone: "{row}: has left the catalogue."}

    @admin.display(description="Look up")
    def places(self, offering: Offering) -> SafeString:
        return links([(searched("byok_price", offering.upstream_id), "Prices")])

    def account_id_of(self, row: Row) -> uuid.UUID:
        return Account.objects.platform().pk

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


def _switch(request: SignedInRequest, offering: Offering, *, enabled: bool) -> str:
    word = "enabled" if enabled else "disabled"
    changed = set_offering_enabled(
        actor=request.user, offering=offering, enabled=enabled, origin=Origin.of(request)
    )
    return word if changed else f"was {word} already"


@admin.register(Price)
class PriceAdmin(StaffAdmin):
    list_display = ["offering", "starts_at", "above_tokens", "input", "output", "source"]
    list_filter = ["source"]
    list_select_related = ["offering"]
    ordering = ["offering_id", "-starts_at"]
    search_fields = [
        "offering__model_id",
        "offering__upstream_id",
        "offering__model__id__startswith",
    ]
    search_help_text = BY_MODEL
    fields = [
        "offering",
        "starts_at",
        "above_tokens",
        "hours",
        "input",
        "output",
        "cache_read",
        "cache_write",
        "source",
    ]
