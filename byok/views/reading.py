"""The list of keys, a key's own page, and the models of a provider."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from byok.key_tests import QUEUE_LIMIT, expire_stuck_tests
from byok.models import ProviderKey
from byok.providers import PROVIDERS
from byok.views.covered import covered, offered
from byok.views.page import (
    account_of,
    answer_with_key,
    details_context,
    key_of,
    page,
    tell_result,
    template,
)
from byok.views.rows import (
    KeyRow,
    Pages,
    configured_providers,
    key_row,
    key_rows,
)
from orgs.access import account_or_404
from orgs.models import Account
from orgs.permissions import Permission, those_who_may
from orgs.requests import SignedInRequest

#: A member is told of as many people who may add a key.
MANAGERS_NAMED = 3


@require_safe
@page
def keys(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    """The account's keys, how they are doing, and everything one can do with them.

    Those who may not manage them see which providers are configured, and nothing more.
    """
    account = account_or_404(request, slug, Permission.SEE_PROVIDERS)
    if Permission.MANAGE_KEYS not in request.permissions:
        return _providers(request, account)
    rows = key_rows(account, fresh=request.GET.get("saved", ""))
    managers = sorted({row.manager.name for row in rows if row.manager is not None})
    context = {"pages": Pages(account), "rows": rows, "managers": managers}
    return render(request, "byok/keys.html", context)


def _providers(request: SignedInRequest, account: Account) -> HttpResponse:
    """What members see instead: which providers are configured, and whom to ask."""
    context = {
        "account": account,
        "providers": configured_providers(account),
        "managers": those_who_may(Permission.MANAGE_KEYS, account)[:MANAGERS_NAMED],
    }
    return render(request, "byok/providers.html", context)


@require_safe
@page
def row(request: SignedInRequest, key_id: UUID, slug: str | None = None) -> HttpResponse:
    """What a page asks while a test runs: please wait, or the key anew with the test's result."""
    key = key_of(request, slug, key_id)
    shown = key_row(key)
    if shown.test is not None and timezone.now() - shown.test.created_at >= QUEUE_LIMIT:
        expire_stuck_tests()
        shown = key_row(key)
    if request.htmx and shown.waiting:
        return _ask_again(request, shown)
    if shown.test is not None and request.GET.get("test") == str(shown.test.pk):
        if shown.test.is_finished:
            tell_result(request, shown.test)
        else:
            messages.info(
                request,
                f"Testing the {shown.name} key takes longer than usual. "
                "Reload the page in a moment to see the result.",
            )
    return answer_with_key(request, shown)


@require_safe
@page
def details(request: SignedInRequest, key_id: UUID, slug: str | None = None) -> HttpResponse:
    """All about one key: health, use, age, tests and what happened to it."""
    key = key_of(request, slug, key_id)
    shown = key_row(key)
    return render(request, "byok/details.html", details_context(shown))


@require_safe
@page
def models(request: SignedInRequest, provider: str, slug: str | None = None) -> HttpResponse:
    """The models that the account's key of a provider covers, or would, searched by name or id."""
    account = account_of(request, slug)
    if provider not in PROVIDERS:
        raise Http404
    keys = ProviderKey.objects.for_account(account).filter(provider=provider).with_coverage()
    covers = next(iter(covered(keys).values()), None) or offered(provider)
    return render(
        request,
        template(request, "byok/models.html", "list"),
        {
            "covers": covers.found(request.GET.get("q", "")),
            "provider": PROVIDERS[provider],
            "pages": Pages(account),
            "q": request.GET.get("q", ""),
        },
    )


def _ask_again(request: SignedInRequest, shown: KeyRow) -> HttpResponse:
    """Only the part that asks is replaced, so that nothing on the screen moves while one waits."""
    answer = render(request, "byok/health.html#poll", {"row": shown})
    answer["HX-Retarget"] = f"#poll-{shown.key.pk}"
    return answer
