"""The API tokens page: list, create and show once, revoke."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from orgs.access import account_or_404, account_page, account_url
from orgs.actions import MAX_TOKENS, TokenExists, TooManyTokens, create_token, revoke_token
from orgs.catalogue import known_models
from orgs.connect import Examples
from orgs.forms.tokens import TokenForm
from orgs.member_calls import spent_this_month
from orgs.models import Account, ApiToken, Membership
from orgs.models.tokens import ApiTokenQuerySet
from orgs.money import dollars
from orgs.origin import Origin
from orgs.permissions import Permission
from orgs.requests import SignedInRequest, fragment, path_on_screen

ENDED_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that a token may not go beyond, in words; `title` holds what they leave out."""

    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the list; `spent` is what the token spent this month, in micro-dollars."""

    token: ApiToken
    limits: list[Limit]
    spent: int


@require_safe
@account_page
def tokens(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    account = account_or_404(request, slug, Permission.OWN_TOKENS)
    context = {**listed(request, account), "organizations": named_by_header(request, account)}
    return render(request, "orgs/tokens.html", context)


# A token outlives the session it is made in, so whoever makes one shows first who they are.
# Revoking one is never held up.
@require_http_methods(["GET", "HEAD", "POST"])
@account_page
@sensitive_variables("text")
def token_create(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    account = account_or_404(request, slug, Permission.OWN_TOKENS, recent_login=True)
    form = TokenForm(account, request.POST if request.method == "POST" else None)
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
                f"You have {MAX_TOKENS} API tokens in use here, which is as many as one may. "
                "Revoke one that is no longer needed.",
            )
        else:
            return shown_once(request, account, token, text)
    return render(
        request,
        fragment(request, "orgs/token_create"),
        {
            "form": form,
            "account": account,
            "purpose": purpose_of(account),
            "all_models": "All" if account.allowed_models is None else f"All that {account} allows",
        },
        status=422 if form.errors else 200,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@account_page
def token_revoke(
    request: SignedInRequest,
    id: UUID,  # noqa: A002 -- of a token.
    slug: str | None = None,
) -> HttpResponse:
    account = account_or_404(request, slug, Permission.OWN_TOKENS)
    token = get_object_or_404(own_tokens(request, account), pk=id)
    if request.method != "POST":
        return render(request, fragment(request, "orgs/token_revoke"), {"token": token})
    revoke_token(actor=request.user, token=token, origin=Origin.of(request))
    messages.success(request, f"Revoked “{token.name}”. Whatever still uses it is turned away.")
    if on_list(request, account):
        return render(
            request, "orgs/tokens.html#list", {**listed(request, account), "replace": True}
        )
    return redirect(account_url("orgs:tokens", account))


def purpose_of(account: Account) -> str:
    """Whose keys a token of this account uses."""
    if account.is_personal:
        return "For your personal account. An agent that has it can use your provider keys."
    return f"For {account}. An agent that has it can use the organization's provider keys."


@sensitive_variables("text")
def shown_once(
    request: SignedInRequest, account: Account, token: ApiToken, text: str
) -> HttpResponse:
    """The only answer that ever holds the token: not stored anywhere on its way, nor by caches."""
    shown = {
        "token": token,
        "account": account,
        "text": text,
        "base_url": settings.MEGABRAIN_BASE_URL,
        "models": Examples.of(token),
    }
    if on_list(request, account):
        shown |= {**listed(request, account), "replace": True}
    response = render(request, fragment(request, "orgs/token_created"), shown)
    response["Cache-Control"] = "no-store"
    return response


def listed(request: SignedInRequest, account: Account) -> dict[str, Any]:  # Any: template context
    """The visitor's tokens: all that can be used, and the latest of those that no longer can."""
    tokens = own_tokens(request, account).order_by("-created_at")
    usable = list(tokens.usable())
    ended = list(tokens.ended()[: ENDED_SHOWN + 1])
    spent = spent_this_month([token.pk for token in usable])
    return {
        "account": account,
        "usable": [Line(token, limits_on(token, account), spent[token.pk]) for token in usable],
        "ended": ended[:ENDED_SHOWN],
        "more_ended": len(ended) > ENDED_SHOWN,
        "can_read_audit": Permission.READ_AUDIT in request.permissions,
        "limits": limits_of(request.membership),
        "allowed": allowed_by(account),
        "base_url": settings.MEGABRAIN_BASE_URL,
    }


def limits_of(membership: Membership) -> str:
    """What the account allows this member, in words; nothing where it sets no limit."""
    account, parts = membership.account, []
    if account.allowed_models is not None:
        parts.append(models_in_words(account.allowed_models))
    of_member = membership.requests_per_minute or account.member_requests_per_minute
    if of_member is not None:
        parts.append(f"{of_member:,} requests a minute")
    if account.token_requests_per_minute is not None:
        requests = "" if of_member else "requests "
        parts.append(
            f"{account.token_requests_per_minute:,} {requests}a minute with each API token"
        )
    if (daily := membership.spends_at_most) is not None:
        parts.append(f"{dollars(daily)} of its balance a day")
    return ", ".join(parts)


def limits_on(token: ApiToken, account: Account) -> list[Limit]:
    """What applies to a token, and of what is not its own who set it."""
    found = []
    if (models := models_of(token, account)) is not None:
        found.append(models)
    own, everybodys = token.requests_per_minute, account.token_requests_per_minute
    if own is not None and (everybodys is None or own <= everybodys):
        found.append(Limit(f"{own:,} requests a minute"))
    elif everybodys is not None:
        found.append(Limit(f"{everybodys:,} requests a minute, set by {account}"))
    if token.monthly_limit is not None:
        found.append(Limit(f"{dollars(token.monthly_limit)} a month"))
    return found


def models_of(token: ApiToken, account: Account) -> Limit | None:
    own, everybodys = token.allowed_models, account.allowed_models
    if own is None:
        if everybodys is None:
            return None
        return Limit(f"{models_in_words(everybodys)}, set by {account}", ", ".join(everybodys))
    both = [model for model in own if everybodys is None or model in everybodys]
    if not both:
        return Limit(f"No model: {account} allows none of its own", ", ".join(own))
    return Limit(f"{models_in_words(both)} only", ", ".join(both))


def models_in_words(models: Sequence[str]) -> str:
    return f"{len(models)} model{'' if len(models) == 1 else 's'}"


def allowed_by(account: Account) -> list[tuple[str, str]]:
    """(id, name) of each model that the account restricts its members to; nothing where to none."""
    if account.allowed_models is None:
        return []
    names = dict(known_models())
    return [(model, names.get(model, "")) for model in sorted(account.allowed_models)]


def own_tokens(request: SignedInRequest, account: Account) -> ApiTokenQuerySet:
    return ApiToken.objects.for_account(account).filter(user=request.user)


def named_by_header(request: SignedInRequest, account: Account) -> list[str]:
    """Slugs of the organizations that a token of this account can act for by naming them."""
    if not account.is_personal:
        return []
    organizations = Account.objects.of_member(request.user).filter(kind=Account.Kind.ORGANIZATION)
    return list(organizations.values_list("slug", flat=True))


def on_list(request: SignedInRequest, account: Account) -> bool:
    """Whether htmx asks from the list, which can then be brought up to date where it stands."""
    return bool(request.htmx) and path_on_screen(request) == account_url("orgs:tokens", account)
