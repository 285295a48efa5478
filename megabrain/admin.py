"""The admin site: for active staff, behind the sign-in that everyone has.

Signed out, one is asked to sign in there, so that second factors, passkeys and rate limits hold
here, too. Whoever is signed in and no staff finds nothing here.
"""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar, cast

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.views import redirect_to_login
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver, path, reverse

from orgs.access import recent_login_required
from orgs.permissions import assists

V = TypeVar("V", bound=Callable[..., HttpResponseBase])
#: Django's own addresses that lead nowhere here, or by another way.
NOWHERE = {"app_list", "autocomplete", "password_change_done", "view_on_site"}


class StaffSite(admin.AdminSite):
    site_title = "MegaBrain"
    site_header = "MegaBrain"
    index_title = "Administration"
    site_url = None
    # An address that does not exist is not found, by anyone.
    final_catch_all_view = False

    def has_permission(self, request: HttpRequest) -> bool:
        return assists(request.user)

    def admin_view(self, view: V, cacheable: bool = False) -> V:
        """Staff only; and whoever changes something has signed in a moment ago."""
        changing = recent_login_required(cast("Any", view))  # Any: it takes each view.

        def page(request: HttpRequest, /, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method in ("GET", "HEAD"):
                return view(request, *args, **kwargs)
            return changing(request, *args, **kwargs)

        inner = super().admin_view(update_wrapper(page, view), cacheable)

        def guarded(request: HttpRequest, /, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if self.has_permission(request):
                return inner(request, *args, **kwargs)
            if request.user.is_authenticated:
                raise Http404
            return redirect_to_login(request.get_full_path())

        return cast("V", update_wrapper(guarded, view))

    def get_urls(self) -> list[URLPattern | URLResolver]:
        kept = [
            pattern
            for pattern in super().get_urls()
            if getattr(pattern, "name", None) not in NOWHERE
        ]
        # Django's own is a pattern of all the names there are, which no list of addresses can fill.
        app = path("<slug:app_label>/", self.admin_view(self.app_index), name="app_list")
        return [*kept, app]

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Where bookmarks may lead: to the site's own page, or on for whoever is signed in."""
        index = reverse("admin:index")
        if self.has_permission(request):
            return HttpResponseRedirect(index)
        if request.user.is_authenticated:
            raise Http404
        return redirect_to_login(index)

    def logout(  # type: ignore[override]  # Django's answer is of another kind.
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return redirect("account_logout")

    def password_change(  # type: ignore[override]  # As above.
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return redirect("account_change_password")

    def get_log_entries(self, request: HttpRequest) -> QuerySet[LogEntry]:
        """None: the audit log is the one record of what was done here."""
        return LogEntry.objects.none()
