"""The dashboard: first steps for a new account, afterwards what was used and what it cost."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from megabrain.site.first_steps import first_steps
from megabrain.site.overview import (
    METRICS,
    PERIODS,
    DayUsage,
    latest_calls,
    totals,
    usage_chart,
    usage_of,
    visible_calls,
    visible_days,
)
from megabrain.site.provider_keys import key_rows, provider_names
from orgs.access import account_or_404, account_page
from orgs.permissions import Permission
from orgs.requests import SignedInRequest


@require_safe
@account_page
def dashboard(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    """First steps until a call has succeeded, afterwards the overview.

    The list of steps asks for itself again every few seconds; it gets an empty answer, and so is
    left alone, until one more of them is done.
    """
    account_or_404(request, slug, Permission.USE_ACCOUNT)
    if request.htmx:
        context = first_steps(request)
        if request.GET.get("done") == context["mark"]:
            return HttpResponse(status=204)
        return render(request, "megabrain/dashboard.html#steps", context)
    days = 30 if request.GET.get("days") == "30" else 7
    today = timezone.now().date()
    first = today - timedelta(days=days - 1)
    usage = usage_of(visible_days(request).between(first, today))
    if (
        any(each.succeeded for each in usage)
        or visible_calls(request).filter(outcome="ok").exists()
    ):
        context = overview(request, usage, first, today, show=request.GET.get("show", ""))
        return render(request, "megabrain/overview.html", context)
    return render(request, "megabrain/dashboard.html", first_steps(request))


def overview(
    request: SignedInRequest, usage: Sequence[DayUsage], first: date, last: date, *, show: str
) -> dict[str, Any]:  # Any: a template's context
    """What was used from one day to another, by whom it was paid; the keys; the latest calls.

    Hints and health of keys are for those who manage them; others see who provides.
    """
    account, days = request.account, (last - first).days + 1
    chosen = show if show in METRICS else "requests"
    manages_keys = Permission.MANAGE_KEYS in request.permissions
    keys = key_rows(account) if manages_keys else []
    sees_all = Permission.SEE_ALL_USAGE in request.permissions
    return {
        "account": account,
        "days": days,
        "totals": totals(usage),
        "chart": usage_chart(account, usage, METRICS[chosen], first=first, last=last),
        "periods": [
            {"label": f"{each} days", "url": f"?days={each}&show={chosen}", "current": each == days}
            for each in PERIODS
        ],
        "metrics": [
            {"label": metric.label, "url": f"?days={days}&show={name}", "current": name == chosen}
            for name, metric in METRICS.items()
        ],
        "manages_keys": manages_keys,
        "keys": keys,
        "providers": [] if manages_keys else provider_names(account),
        "sees_all": sees_all,
        "names_callers": sees_all and account.is_organization,
        "calls": latest_calls(request, keys),
    }
