"""Find the account a page is about, and turn away who may not see it."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar
from urllib.parse import urlencode, urlsplit, urlunsplit

from allauth.account import app_settings
from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

from orgs.models import Account, User
from orgs.permissions import Permission, permissions_of

P = ParamSpec("P")
R = TypeVar("R", bound=HttpRequest)


def account_or_404(user: User, slug: str | None, permission: Permission) -> Account:
    """The user's personal account (no slug) or the organization with that slug.

    A stranger gets 404, so that nothing tells whether it exists; a member without the right 403.
    """
    if slug is None:
        account = user.account
    else:
        found = Account.objects.filter(kind=Account.Kind.ORGANIZATION, slug=slug).first()
        if found is None:
            raise Http404
        account = found
    held = permissions_of(user, account)
    if not held:
        raise Http404
    if permission not in held:
        raise PermissionDenied
    return account


def signed_in_recently(request: HttpRequest) -> bool:
    """Whether this person proved who they are, in this session, a short while ago.

    Signing in counts like confirming it again later.
    """
    if not request.user.is_authenticated:
        return False
    proofs = get_authentication_records(request, request.user)
    return bool(proofs) and time.time() - proofs[-1]["at"] < app_settings.REAUTHENTICATION_TIMEOUT


def recent_login_required(
    view: Callable[Concatenate[R, P], HttpResponse],
) -> Callable[Concatenate[R, P], HttpResponse]:
    """Ask whoever signed in a while ago for password, passkey or code, and then come back.

    What was posted is dropped, not kept for afterwards: it may hold a secret, and a session is
    no place for one. So guard the page with the form, too, and it is asked for before.
    """

    @wraps(view)
    def guarded(request: R, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if signed_in_recently(request):
            return view(request, *args, **kwargs)
        if not request.user.is_authenticated:
            return redirect_to_login(_page(request))
        ways = get_adapter().get_reauthentication_methods(request.user)
        if not ways:
            raise PermissionDenied("There is no password or passkey to confirm with.")
        if request.method != "GET":
            messages.warning(request, "Nothing was changed yet. Confirm it is you, then try again.")
        return HttpResponseRedirect(f"{ways[0]['url']}?{urlencode({'next': _page(request)})}")

    return guarded


def _page(request: HttpRequest) -> str:
    """The page to come back to: this one, or the one a form was sent from."""
    if request.method == "GET":
        return request.get_full_path()
    page = request.headers.get("referer", "")
    if url_has_allowed_host_and_scheme(page, {request.get_host()}, request.is_secure()):
        parts = urlsplit(page)
        return urlunsplit(("", "", parts.path or "/", parts.query, ""))
    return resolve_url("dashboard")
