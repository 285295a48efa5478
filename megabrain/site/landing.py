"""The page a stranger sees."""

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.views.decorators.http import require_safe

from byok.providers import PROVIDERS
from megabrain.site.requests import SiteRequest


@require_safe
def home(request: SiteRequest) -> HttpResponse:
    """What MegaBrain is; whoever is signed in goes to the dashboard."""
    if request.user.is_authenticated:
        return HttpResponseRedirect(resolve_url("dashboard"))
    return render(
        request,
        "megabrain/landing.html",
        {
            "base_url": settings.MEGABRAIN_BASE_URL,
            "providers": [provider.name for provider in PROVIDERS.values()],
        },
    )
