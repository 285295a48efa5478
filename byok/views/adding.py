"""Adding a key and replacing its secret: the two places where plaintext comes in.

What was typed is never sent back. When htmx submits the form and something is wrong, the answer
replaces only the words below the field, so that its contents stay in the browser.
"""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from byok.actions import KeyAlreadyExists, add_key, update_key
from byok.forms import SecretForm, form_for
from byok.models import ProviderKey
from byok.providers import PROVIDERS
from byok.providers.base import Provider
from byok.views.covered import covered, offered
from byok.views.page import (
    account_of,
    answer_with_list,
    key_of,
    page,
    template,
)
from byok.views.rows import Pages, bare_row, still_billed
from orgs.models import Account
from orgs.origin import Origin
from orgs.requests import SignedInRequest

METHODS = ["GET", "HEAD", "POST"]


@sensitive_post_parameters()
@require_http_methods(METHODS)
@page
def add(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    """Choose a provider, then paste its key. Without JavaScript these are two steps."""
    account = account_of(request, slug, to_change=True)
    if request.method == "POST":
        return _add(request, account)
    chosen = PROVIDERS.get(request.GET.get("provider", ""))
    form = form_for(chosen)(provider=chosen, account=account) if chosen is not None else None
    part = "chosen" if request.htmx.target == "chosen" else "dialog"
    context = _choices(request, account, form)
    return render(request, template(request, "byok/add.html", part), context)


def _add(request: SignedInRequest, account: Account) -> HttpResponse:
    provider = PROVIDERS.get(request.POST.get("provider", ""))
    if provider is None:
        raise Http404
    form = form_for(provider)(request.POST, provider=provider, account=account)
    if form.is_valid():
        try:
            key = add_key(
                actor=request.user,
                account=account,
                provider=provider.id,
                secret=form.cleaned_data["secret"],
                origin=Origin.of(request),
            )
        except KeyAlreadyExists:
            taken = _taken(request, account, provider)
            form.add_error(None, f"{taken} Update that one instead.")
        else:
            whose = " for all members" if account.is_organization else ""
            messages.success(
                request, f"The {provider.name} key is saved and in use{whose}. Test it to be sure."
            )
            return answer_with_list(request, account, saved=key)
    return _refused(request, "byok/add.html", _choices(request, account, form))


def _choices(request: SignedInRequest, account: Account, form: SecretForm | None) -> dict[str, Any]:
    """What the page to add a key shows. Any: it goes to a template."""
    pages = Pages(account)
    configured = set(ProviderKey.objects.for_account(account).values_list("provider", flat=True))
    taken = form is not None and form.provider.id in configured
    return {
        "pages": pages,
        "providers": PROVIDERS.values(),
        "configured": configured,
        "full": configured.issuperset(PROVIDERS),
        "taken": _taken(request, account, form.provider) if form and taken else "",
        **_about(form, pages, pages.add),
    }


def _taken(request: SignedInRequest, account: Account, provider: Provider) -> str:
    """That there is a key for this provider already, and who added it."""
    keys = ProviderKey.objects.for_account(account).filter(provider=provider.id)
    key = keys.select_related("created_by").first()
    if key is None or key.created_by is None:
        return f"There is a key for {provider.name} already."
    if key.created_by == request.user:
        return f"You have added a key for {provider.name} already."
    return f"{key.created_by} has added a key for {provider.name} already."


def _about(
    form: SecretForm | None, pages: Pages, action: str, key: ProviderKey | None = None
) -> dict[str, Any]:
    """What the part about one provider shows: its form, and what its key is good for."""
    if form is None:
        return {"form": None}
    provider = form.provider
    return {
        "form": form,
        "provider": provider,
        "action": action,
        "covers": covered([key])[key.pk] if key is not None else offered(provider.id),
        "search": pages.to("models", provider=provider.id),
    }


@sensitive_post_parameters()
@require_http_methods(METHODS)
@page
def update(request: SignedInRequest, key_id: UUID, slug: str | None = None) -> HttpResponse:
    """Replace the secret of a key; until then the stored one stays in use."""
    key = key_of(request, slug, key_id, to_change=True)
    pages = Pages(key.account)
    shown = bare_row(key)
    provider = PROVIDERS.get(key.provider)
    if provider is None:
        raise Http404
    data = request.POST if request.method == "POST" else None
    form = form_for(provider)(data, provider=provider, account=key.account, key=key)
    context = {"pages": pages, "row": shown, **_about(form, pages, shown.update_url, key)}
    if data is None:
        return render(request, template(request, "byok/update.html", "dialog"), context)
    if not form.is_valid():
        return _refused(request, "byok/update.html", context)
    update_key(
        actor=request.user,
        key=key,
        secret=form.cleaned_data["secret"],
        origin=Origin.of(request),
    )
    said = f"The {provider.name} key is replaced. Test it to be sure."
    if shown.manager is not None:
        said += f" {still_billed(shown.manager)}"
    messages.success(request, said)
    return answer_with_list(request, key.account, saved=key)


def _refused(request: SignedInRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    if not request.htmx:
        return render(request, name, context, status=422)
    answer = render(request, "byok/secret_form.html#verdict", context, status=422)
    answer["HX-Retarget"] = "#verdict"
    answer["HX-Reswap"] = "innerHTML"
    return answer
