"""The API tokens page: list, create and show once, revoke."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from orgs.access import account_or_404, recent_login_required
from orgs.actions import MAX_TOKENS, TokenExists, TooManyTokens, create_token, revoke_token
from orgs.connect import Examples
from orgs.models import Account, ApiToken
from orgs.models.tokens import ApiTokenQuerySet
from orgs.origin import Origin
from orgs.permissions import Permission
from orgs.requests import SignedInRequest, path_on_screen
from orgs.token_forms import TokenForm

ENDED_SHOWN = 20


@require_safe
@login_required
def tokens(request: SignedInRequest) -> HttpResponse:
    account = account_or_404(request.user, None, Permission.OWN_TOKENS)
    return render(request, "orgs/tokens.html", listed(request, account))


# A token outlives the session it is made in, so whoever makes one shows first who they are.
# Revoking one is never held up.
@recent_login_required
@require_http_methods(["GET", "POST"])
@login_required
@sensitive_variables("text")
def token_create(request: SignedInRequest) -> HttpResponse:
    account = account_or_404(request.user, None, Permission.OWN_TOKENS)
    form = TokenForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            token, text = create_token(
                actor=request.user, account=account, origin=Origin.of(request), **form.values()
            )
        except TokenExists as exists:
            return render(request, fragment(request, "orgs/token_exists"), {"token": exists.token})
        except TooManyTokens:
            form.add_error(
                None,
                f"You have {MAX_TOKENS} API tokens in use, which is as many as there may be. "
                "Revoke one that is no longer needed.",
            )
        else:
            return shown_once(request, account, token, text)
    return render(
        request,
        fragment(request, "orgs/token_create"),
        {"form": form},
        status=422 if form.errors else 200,
    )


@require_http_methods(["GET", "POST"])
@login_required
def token_revoke(request: SignedInRequest, id: UUID) -> HttpResponse:  # noqa: A002
    account = account_or_404(request.user, None, Permission.OWN_TOKENS)
    token = get_object_or_404(own_tokens(request, account), pk=id)
    if request.method == "GET":
        return render(request, fragment(request, "orgs/token_revoke"), {"token": token})
    revoke_token(actor=request.user, token=token, origin=Origin.of(request))
    messages.success(request, f"Revoked “{token.name}”. Whatever still uses it is turned away.")
    if on_list(request):
        return render(
            request, "orgs/tokens.html#list", {**listed(request, account), "replace": True}
        )
    return redirect("orgs:tokens")


@sensitive_variables("text")
def shown_once(
    request: SignedInRequest, account: Account, token: ApiToken, text: str
) -> HttpResponse:
    """The only answer that ever holds the token: not stored anywhere on its way, nor by caches."""
    shown = {
        "token": token,
        "text": text,
        "base_url": settings.MEGABRAIN_BASE_URL,
        "models": Examples.of(token),
    }
    if on_list(request):
        shown |= {**listed(request, account), "replace": True}
    response = render(request, fragment(request, "orgs/token_created"), shown)
    response["Cache-Control"] = "no-store"
    return response


def listed(request: SignedInRequest, account: Account) -> dict[str, Any]:  # Any: template context
    """The visitor's tokens: all that can be used, and the latest of those that no longer can."""
    tokens = own_tokens(request, account).order_by("-created_at")
    ended = list(tokens.ended()[: ENDED_SHOWN + 1])
    return {
        "usable": tokens.usable(),
        "ended": ended[:ENDED_SHOWN],
        "more_ended": len(ended) > ENDED_SHOWN,
        "base_url": settings.MEGABRAIN_BASE_URL,
    }


def own_tokens(request: SignedInRequest, account: Account) -> ApiTokenQuerySet:
    return ApiToken.objects.for_account(account).filter(user=request.user)


def on_list(request: SignedInRequest) -> bool:
    """Whether htmx asks from the list, which can then be brought up to date where it stands."""
    return bool(request.htmx) and path_on_screen(request) == reverse("orgs:tokens")


def fragment(request: SignedInRequest, name: str) -> str:
    """The page, or for htmx only its dialog."""
    return f"{name}.html#dialog" if request.htmx else f"{name}.html"
