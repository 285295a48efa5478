"""The page a stranger sees."""

from typing import cast

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_safe

from byok.providers import PROVIDERS
from megabrain.site.requests import SiteRequest
from orgs.access import account_url, enter_last
from orgs.requests import SignedInRequest


@require_safe
def home(request: SiteRequest) -> HttpResponse:
    """What MegaBrain is; whoever is signed in goes to the dashboard they were on last."""
    if request.user.is_authenticated:
        visitor = cast("SignedInRequest", request)
        enter_last(visitor)
        return HttpResponseRedirect(account_url("dashboard", visitor.account))
    return render(
        request,
        "megabrain/landing.html",
        {
            "base_url": settings.MEGABRAIN_BASE_URL,
            "providers": [provider.name for provider in PROVIDERS.values() if not provider.direct],
            "direct": sum(provider.direct for provider in PROVIDERS.values()),
        },
    )
