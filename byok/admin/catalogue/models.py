"""The models of the catalogue."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from byok.actions import (
    MODEL_FIELDS,
    ModelGone,
    ModelInUse,
    NameTaken,
    NotOurs,
    add_model,
    change_model,
    reload_catalogue,
    remove_model,
    restore_model,
)
from byok.admin.catalogue.base import (
    CatalogueFormAdmin,
    LinesField,
    PinnedForm,
    date_field,
    tokens_field,
)
from byok.catalogue.naming import refuse_taken
from byok.models import CatalogModel, Source
from orgs.admin.base import Row, links, row_action, searched
from orgs.origin import Origin
from orgs.requests import SignedInRequest


class ModelForm(PinnedForm):
    id = forms.RegexField(
        r"\A[a-z0-9][a-z0-9.-]*/[a-z0-9][a-z0-9._:/-]*\Z",
        max_length=120,
        help_text="As callers send it: the vendor, a slash and a name, such as “acme/mini-2”.",
        error_messages={
            "invalid": "A vendor, a slash and a name, in small letters, digits, dots and dashes."
        },
    )
    context = tokens_field()
    max_output = tokens_field()
    capabilities = LinesField(required=False, help_text="One a line, such as “tools”.")
    aliases = LinesField(
        required=False,
        help_text="Other ids that callers send, one a line. None may be another model's.",
    )
    released_on = date_field()

    class Meta:
        model = CatalogModel
        fields = ["id", *MODEL_FIELDS]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields.pop("id", None)

    def clean_id(self) -> str:
        id_: str = self.cleaned_data["id"]
        if CatalogModel.objects.filter(pk=id_).exists():
            raise forms.ValidationError("There is a model of this id.")
        _taken(id_, [])
        return id_

    def clean_aliases(self) -> list[str]:
        aliases: list[str] = self.cleaned_data["aliases"]
        id_ = self.cleaned_data.get("id") or self.instance.pk
        if id_ and aliases != self.instance.aliases:
            _taken(id_, aliases)
        return aliases


def _taken(id_: str, aliases: list[str]) -> None:
    try:
        refuse_taken(id_, aliases=aliases)
    except NameTaken as taken:
        raise forms.ValidationError(str(taken)) from None


@admin.register(CatalogModel)
class CatalogModelAdmin(CatalogueFormAdmin):
    list_display = ["id", "name", "context", "max_output", "released_on", "source"]
    list_filter = ["source"]
    ordering = ["id"]
    search_fields = ["id", "id__startswith"]
    search_help_text = "The model's id, or its beginning, such as “anthropic/”."
    form = ModelForm
    add_fields = ["id", *MODEL_FIELDS]
    fields = ["id", *MODEL_FIELDS, "pinned", "source", "places"]
    readonly_fields = ["id", "source", "places"]
    actions = ["restore", "remove"]
    refusals = {
        ModelGone: "{row}: has left the catalogue.",
        ModelInUse: "{row}: somebody serves it. Remove its offerings first.",
        NotOurs: "{row}: its sources tell it, so it cannot be removed. Disable its offerings.",
        NameTaken: "{row}: nothing was saved. {why}",
    }

    @admin.display(description="Look up")
    def places(self, model: CatalogModel) -> SafeString:
        return links(
            [
                (searched("byok_offering", model.pk), "Offerings"),
                (searched("byok_price", model.pk), "Prices"),
            ]
        )

    def tools_on(self, request: HttpRequest, row: Row) -> list[tuple[str, str]]:
        add = reverse("admin:byok_offering_add", query={"model": row.pk})
        return [(add, "Add an offering")]

    def save_model(self, request: Any, obj: Row, form: Any, change: bool) -> None:
        origin = Origin.of(request)
        if not change:
            values = {name: form.cleaned_data[name] for name in MODEL_FIELDS}
            add_model(actor=request.user, id_=obj.pk, values=values, origin=origin)
            return
        change_model(
            actor=request.user,
            model=obj,
            values=form.values,
            pinned=form.pinned_now,
            taken_back=form.taken_back,
            origin=origin,
        )

    @row_action(
        "Take back what staff said",
        warning="Every field that staff set is again as its sources tell it.",
        sensible=lambda model: Source.STAFF in model.told_by.values(),
    )
    def restore(self, request: SignedInRequest, model: CatalogModel) -> str:
        restored = restore_model(actor=request.user, model=model, origin=Origin.of(request))
        return "is as its sources tell it again" if restored else "is as its sources tell it"

    @row_action(
        "Remove (what staff added)",
        warning="Nobody can ask for it any more.",
        sensible=lambda model: model.source == Source.STAFF,
    )
    def remove(self, request: SignedInRequest, model: CatalogModel) -> str:
        remove_model(actor=request.user, model=model, origin=Origin.of(request))
        return "removed"

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
