"""The dashboard: first steps for a new account, afterwards what was used and what it cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Exists, Q
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.models import UsageRecord
from byok.models import KeyTest, ProviderKey
from megabrain.site.overview import (
    METRICS,
    PERIODS,
    DayUsage,
    latest_calls,
    totals,
    usage_chart,
    usage_of,
)
from megabrain.site.provider_keys import key_rows
from orgs.access import account_or_404
from orgs.models import Account, ApiToken
from orgs.permissions import Permission
from orgs.requests import SignedInRequest


@dataclass(frozen=True, slots=True)
class Step:
    """One of the first steps: `url` is where to take it."""

    title: str
    text: str
    done: bool
    label: str
    url: str
    dialog: bool = False


@login_required
@require_safe
def dashboard(request: SignedInRequest) -> HttpResponse:
    """First steps until a call has succeeded, afterwards the overview.

    The list of steps asks for itself again every few seconds; it gets an empty answer, and so is
    left alone, until one more of them is done.
    """
    account = account_or_404(request.user, None, Permission.USE_ACCOUNT)
    if request.htmx:
        context = first_steps(account)
        if request.GET.get("done") == context["mark"]:
            return HttpResponse(status=204)
        return render(request, "megabrain/dashboard.html#steps", context)
    days = 30 if request.GET.get("days") == "30" else 7
    usage = usage_of(account, days=days, today=timezone.now().date())
    if any(each.succeeded for each in usage) or has_succeeded(account):
        context = overview(account, usage, days=days, show=request.GET.get("show", ""))
        return render(request, "megabrain/overview.html", context)
    return render(request, "megabrain/dashboard.html", first_steps(account))


def has_succeeded(account: Account) -> bool:
    """Whether any call of the account was ever answered."""
    return UsageRecord.objects.for_account(account).filter(outcome="ok").exists()


def first_steps(account: Account) -> dict[str, Any]:  # Any: a template's context
    """The steps of a new account, found in one query, and a mark of which are done."""
    keys = ProviderKey.objects.for_account(account)
    works = keys.filter(Q(health=ProviderKey.Health.WORKS) | Q(tests__state=KeyTest.State.PASSED))
    tokens = ApiToken.objects.for_account(account).usable()
    calls = UsageRecord.objects.for_account(account).filter(outcome="ok")
    done = Account.objects.filter(pk=account.pk).values_list(
        Exists(keys),
        Exists(works),
        Exists(tokens),
        Exists(calls),
    )[0]
    steps = [
        Step(
            "Add a provider key",
            "Paste a key from Anthropic, OpenAI or another provider. They bill you directly.",
            done[0],
            "Add a key",
            reverse("byok:add"),
            dialog=True,
        ),
        Step(
            "Test it",
            "One tiny request shows that the key is accepted and has credit.",
            done[1],
            "Test the key",
            reverse("byok:keys"),
        ),
        Step(
            "Create an API token",
            "Your agents sign in to MegaBrain with it. You see it once.",
            done[2],
            "Create a token",
            reverse("orgs:token_create"),
            dialog=True,
        ),
        Step(
            "Make the first call",
            "Set the base URL and the token in your agent and ask it something.",
            done[3],
            "Connect an agent",
            reverse("docs_page", args=["agents"]),
        ),
    ]
    taken = [step.done for step in steps]
    return {
        "steps": steps,
        "next": next((step for step in steps if not step.done), None),
        "count": sum(taken),
        "progress": f"{sum(taken)} of {len(steps)} done",
        "mark": "".join("1" if step else "0" for step in taken),
    }


def overview(
    account: Account, usage: Sequence[DayUsage], *, days: int, show: str
) -> dict[str, Any]:  # Any: as above
    """What was used over 7 or 30 days, by whom it was paid; the keys; the latest calls."""
    chosen = show if show in METRICS else "requests"
    keys = key_rows(account)
    return {
        "days": days,
        "totals": totals(usage),
        "chart": usage_chart(usage, METRICS[chosen], days=days, today=timezone.now().date()),
        "periods": [
            {"label": f"{each} days", "url": f"?days={each}&show={chosen}", "current": each == days}
            for each in PERIODS
        ],
        "metrics": [
            {"label": metric.label, "url": f"?days={days}&show={name}", "current": name == chosen}
            for name, metric in METRICS.items()
        ],
        "keys": keys,
        "calls": latest_calls(account, keys),
    }
