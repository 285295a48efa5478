"""Find the account a page is about, and turn away who may not see it."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast
from urllib.parse import urlencode, urlsplit, urlunsplit

from allauth.account import app_settings
from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from orgs.models import Account, Membership, User
from orgs.permissions import NotPermitted, Permission, granted_to
from orgs.requests import SignedInRequest

P = ParamSpec("P")
R = TypeVar("R", bound=HttpRequest)
A = TypeVar("A", bound=HttpResponseBase)

#: Where the session keeps the id of the organization whose pages the visitor was on last.
LAST_ACCOUNT = "account"
#: Methods that change nothing.
LOOKING = {"GET", "HEAD"}


def account_page(
    view: Callable[Concatenate[SignedInRequest, P], A],
) -> Callable[Concatenate[HttpRequest, P], A]:
    """For signed-in visitors. Who loses the right while the view runs is refused as if before, and
    an account that is deleted meanwhile is not found.
    """

    @login_required
    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> A:
        try:
            return view(cast("SignedInRequest", request), *args, **kwargs)
        except SignInAgain:
            return cast("A", _sign_in_again(request))
        except NotPermitted:
            raise PermissionDenied from None
        except Account.DoesNotExist:
            raise Http404 from None

    return guarded


class SignInAgain(Exception):
    """The visitor may do this, but signed in a while ago: `account_page` asks them to confirm."""


def account_or_404(
    request: SignedInRequest,
    slug: str | None,
    permission: Permission,
    *,
    recent_login: bool = False,
) -> Account:
    """The visitor's personal account (no slug) or the organization with that slug.

    A stranger gets 404, so that nothing tells whether it exists; a member without the right 403.
    From then on `request.account` is that account, `request.membership` the visitor's place in it
    and `request.permissions` what they may do there. With `recent_login`, whoever signed in a while
    ago is asked who they are and then comes back. That goes for the page with the form, too: what
    is posted is dropped, as it may hold a secret.
    """
    membership = membership_of(request.user, slug)
    if membership is None:
        raise Http404
    enter(request, membership)
    if permission not in request.permissions:
        raise PermissionDenied
    if recent_login and not signed_in_recently(request):
        raise SignInAgain
    return request.account


def membership_of(user: User, slug: str | None) -> Membership | None:
    """The user's membership in the organization with that slug, or in their personal account."""
    memberships = Membership.objects.filter(user=user).select_related("account")
    if slug is None:
        return memberships.filter(account__user=user).first()
    return memberships.filter(account__kind=Account.Kind.ORGANIZATION, account__slug=slug).first()


def enter(request: SignedInRequest, membership: Membership) -> None:
    """Make this the account that the page is about, and that the frame around it shows.

    It stays so on pages that are about none, such as the documentation.
    """
    account = membership.account
    request.account, request.membership = account, membership
    request.permissions = granted_to(membership.role)
    last = str(account.pk) if account.is_organization else ""
    if request.session.get(LAST_ACCOUNT, "") != last:
        request.session[LAST_ACCOUNT] = last


def enter_last(request: SignedInRequest) -> None:
    """Enter the account that the visitor was in last, if they still may; else the personal one."""
    last = request.session.get(LAST_ACCOUNT)
    membership = None
    if last:
        membership = (
            Membership.objects.filter(user=request.user, account_id=last)
            .select_related("account")
            .first()
        )
    membership = membership or membership_of(request.user, None)
    if membership is not None:
        enter(request, membership)


def account_url(name: str, account: Account, **values: object) -> str:
    """The address of the account's page of that name: an organization's carries its slug."""
    if account.is_organization:
        values["slug"] = account.slug
    return reverse(name, kwargs=values)


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

    For pages that are about no account; the others have `account_or_404` ask, after the role.
    """

    @wraps(view)
    def guarded(request: R, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if signed_in_recently(request):
            return view(request, *args, **kwargs)
        if not request.user.is_authenticated:
            return redirect_to_login(_page(request))
        return _sign_in_again(request)

    return guarded


def _sign_in_again(request: HttpRequest) -> HttpResponse:
    """The way to the confirmation and back. What was posted is not kept: a session is no place
    for a secret."""
    ways = get_adapter().get_reauthentication_methods(request.user)
    if not ways:
        raise PermissionDenied("There is no password or passkey to confirm with.")
    if request.method not in LOOKING:
        messages.warning(request, "Nothing was changed yet. Confirm it is you, then try again.")
    return HttpResponseRedirect(f"{ways[0]['url']}?{urlencode({'next': _page(request)})}")


def _page(request: HttpRequest) -> str:
    """The page to come back to: this one, or the one a form was sent from."""
    if request.method in LOOKING:
        return request.get_full_path()
    page = request.headers.get("referer", "")
    if url_has_allowed_host_and_scheme(page, {request.get_host()}, request.is_secure()):
        parts = urlsplit(page)
        return urlunsplit(("", "", parts.path or "/", parts.query, ""))
    return resolve_url("dashboard")
