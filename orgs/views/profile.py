"""*Profile & security*: name, address, password, second factor, passkeys and sessions on one page.

What is changed elsewhere (password, address, second factor) is changed on django-allauth's pages
in our frame; see `orgs.sign_in_urls`.
"""

from typing import cast

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from orgs.access import account_page
from orgs.actions import rename_user
from orgs.forms.fields import NameField
from orgs.origin import Origin
from orgs.requests import SignedInRequest
from orgs.sessions import end_sessions, open_sessions

Type = Authenticator.Type


class NameForm(forms.Form):
    name = NameField(
        max_length=100,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )


@require_safe
@login_required
def profile(request: SignedInRequest) -> HttpResponse:
    return _page(request, NameForm(initial={"name": request.user.name}))


@require_POST
@account_page
def rename(request: SignedInRequest) -> HttpResponse:
    form = NameForm(request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    name = form.cleaned_data["name"]
    rename_user(actor=request.user, name=name, origin=Origin.of(request))
    messages.success(request, f"You are now called {name}." if name else "Your name was removed.")
    return redirect("orgs:profile")


@require_POST
@login_required
def end_session(request: SignedInRequest, id: int) -> HttpResponse:  # noqa: A002 -- of a session.
    ended = end_sessions(
        actor=request.user, keep=request.session.session_key, only=id, origin=Origin.of(request)
    )
    if not ended:
        raise Http404
    messages.success(request, "That session was ended: its browser has to sign in again.")
    return redirect("orgs:profile")


@require_POST
@login_required
def end_other_sessions(request: SignedInRequest) -> HttpResponse:
    ended = end_sessions(
        actor=request.user, keep=request.session.session_key, origin=Origin.of(request)
    )
    other = "One other session was" if ended == 1 else f"{ended} other sessions were"
    messages.success(
        request,
        f"{other} ended. You are signed in only here." if ended else "You are signed in only here.",
    )
    return redirect("orgs:profile")


def _page(request: SignedInRequest, form: NameForm, status: int = 200) -> HttpResponse:
    user = request.user
    factors = list(Authenticator.objects.filter(user=user).order_by("created_at"))
    context = {
        "form": form,
        "email": user.email,
        "verified": EmailAddress.objects.filter(
            user=user, email=user.email, verified=True
        ).exists(),
        "app": next((factor for factor in factors if factor.type == Type.TOTP), None),
        "passkeys": [factor for factor in factors if factor.type == Type.WEBAUTHN],
        "recovery_codes": _codes_left(factors),
        "sessions": open_sessions(user, request.session.session_key),
    }
    return render(request, "orgs/profile.html", context, status=status)


def _codes_left(factors: list[Authenticator]) -> int | None:
    """How many recovery codes are unused; None when the person has none to use."""
    for factor in factors:
        if factor.type == Type.RECOVERY_CODES:
            return len(cast("RecoveryCodes", factor.wrap()).get_unused_codes())
    return None
