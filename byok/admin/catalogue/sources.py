"""Where the catalogue comes from, and how asking there goes."""

from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from byok.actions import NotAsked, UnknownSource, refresh_source
from byok.admin.catalogue.base import CatalogueAdmin
from byok.admin.catalogue.change_sets import source_name
from byok.catalogue import refresh
from byok.models import CatalogueSource
from orgs.admin.base import Row, links, row_action, searched
from orgs.origin import Origin
from orgs.requests import SignedInRequest

#: A source that gave nothing readable for so many rounds is stale.
ROUNDS = 4
NOT_ASKED = "The task queue cannot be reached, so nobody will ask it. Try again."


@admin.register(CatalogueSource)
class CatalogueSourceAdmin(CatalogueAdmin):
    list_display = ["called", "state", "read_at", "asked_at", "trouble"]
    ordering = ["name"]
    search_fields = ["name"]
    search_help_text = "A provider's id, “feed” or “bundled”."
    fields = ["called", "state", "read_at", "asked_at", "trouble", "told_at", "edition", "places"]
    actions = ["ask"]
    refusals = {
        UnknownSource: "{row}: cannot be asked. It needs an enabled key of MegaBrain's own.",
        NotAsked: f"{{row}}: {NOT_ASKED}",
    }

    @admin.display(description="Source", ordering="name")
    def called(self, row: Row) -> str:
        return source_name(row.name)

    @admin.display(description="State")
    def state(self, source: CatalogueSource) -> str:
        if source.lease_until and source.lease_until > timezone.now():
            return "Is being asked"
        if source.trouble:
            return "In trouble, and stale" if is_stale(source) else "In trouble"
        return "Stale" if is_stale(source) else "Fine"

    @admin.display(description="Look up")
    def places(self, source: CatalogueSource) -> SafeString:
        return links([(searched("byok_changeset", source.name), "Change sets")])

    @row_action("Refresh now", sensible=lambda source: source.name != CatalogueSource.BUNDLED)
    def ask(self, request: SignedInRequest, source: CatalogueSource) -> str:
        refresh_source(actor=request.user, source=source.name, origin=Origin.of(request))
        return "is asked for its models; what comes of it is here in a moment"

    def get_urls(self) -> list[URLPattern]:
        ask_all = path(
            "refresh/",
            self.admin_site.admin_view(self.refresh_view),
            name="byok_cataloguesource_refresh",
        )
        return [ask_all, *super().get_urls()]

    @method_decorator(require_POST)
    def refresh_view(self, request: SignedInRequest) -> HttpResponse:
        """Ask every source there is, those included that nobody has asked yet."""
        asked = []
        try:
            for name in refresh.sources():
                # Its key may be switched off at this moment.
                with suppress(UnknownSource):
                    refresh_source(actor=request.user, source=name, origin=Origin.of(request))
                    asked.append(source_name(name))
        except NotAsked:
            messages.error(request, NOT_ASKED)
        else:
            messages.success(request, f"Asked for their models: {', '.join(asked) or 'none'}.")
        return HttpResponseRedirect(self.address("changelist"))


def is_stale(source: CatalogueSource) -> bool:
    """Whether it is asked by itself, and yet what it told is old."""
    hours = settings.MEGABRAIN_CATALOGUE_HOURS
    if not hours or source.name == CatalogueSource.BUNDLED:
        return False
    since = timezone.now() - ROUNDS * timedelta(hours=hours)
    return source.read_at is None or source.read_at < since
