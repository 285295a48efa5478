"""The list of members and invitations, and what the views of both begin and end with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from django.db.models import Max, Q
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render

from orgs.access import account_or_404, account_page, account_url
from orgs.actions import InvitationGone, MemberGone
from orgs.forms.members import FilterForm
from orgs.models import Account, ApiToken, Invitation, Membership
from orgs.models.accounts import MembershipQuerySet
from orgs.permissions import Permission
from orgs.requests import SignedInRequest, path_on_screen

SHOWN = 50

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Member:
    """A line of the list. `limit` is what applies, whether it is theirs or everybody's."""

    membership: Membership
    last_active: datetime | None
    limit: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of members in the order of their addresses, and the addresses of its neighbours."""

    members: list[Member]
    previous: str
    next: str


def page(
    view: Callable[Concatenate[SignedInRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """For signed-in visitors; a member or an invitation that goes meanwhile is not found."""

    @account_page
    @wraps(view)
    def guarded(request: SignedInRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except (MemberGone, InvitationGone):
            raise Http404 from None

    return guarded


def managed_or_404(request: SignedInRequest, slug: str) -> Account:
    """The organization, if the visitor may manage its members."""
    return account_or_404(request, slug, Permission.MANAGE_MEMBERS)


def member_or_404(account: Account, member: UUID) -> Membership:
    members = Membership.objects.for_account(account).select_related("account", "user")
    return get_object_or_404(members, pk=member)


def answer_with_list(request: SignedInRequest, account: Account) -> HttpResponse:
    """After a change: the list anew where it is on the screen, else the way to it."""
    if on_list(request, account):
        return render(request, "orgs/members.html#people", listed(request, account))
    return redirect(account_url("orgs:members", account))


def on_list(request: SignedInRequest, account: Account) -> bool:
    """Whether htmx asks from the list, which can then be brought up to date where it stands."""
    return bool(request.htmx) and path_on_screen(request) == account_url("orgs:members", account)


def listed(request: SignedInRequest, account: Account) -> dict[str, Any]:
    """Who is in the organization, and for those who manage it who is invited.

    Any: it goes to a template.
    """
    url = account_url("orgs:members", account)
    form = FilterForm(request.GET if request.path == url else query_on_screen(request))
    members = found(Membership.objects.for_account(account), form)
    context: dict[str, Any] = {
        "account": account,
        "filter": form,
        "filtered": bool(form.chosen("q") or form.chosen("role")),
        "page": page_of(members.select_related("user"), form, account, url),
        "count": members.count(),
        # A dialog's answer brings the list along; what asked for the list itself replaces it.
        "beside": request.htmx.target == "dialogs",
        "may_manage": Permission.MANAGE_MEMBERS in request.permissions,
    }
    return context | invited(account, form) if context["may_manage"] else context


def query_on_screen(request: SignedInRequest) -> QueryDict:
    return QueryDict(urlsplit(request.htmx.current_url_abs_path or "").query)


def found(members: MembershipQuerySet, form: FilterForm) -> MembershipQuerySet:
    text, role = form.chosen("q").strip(), form.chosen("role")
    if text:
        members = members.filter(Q(user__email__icontains=text) | Q(user__name__icontains=text))
    return members.filter(role=role) if role else members


def page_of(members: MembershipQuerySet, form: FilterForm, account: Account, url: str) -> Page:
    """The members after `after`, or before `before`.

    Pages are cut at addresses, so they neither shift while people come and go nor grow slower
    the further on one looks.
    """
    after, before = form.chosen("after"), form.chosen("before")
    if before:
        earlier = members.filter(user__email__lt=before).order_by("-user__email")
        rows = list(earlier[: SHOWN + 1])
        if len(rows) > SHOWN:
            return cut(rows[SHOWN - 1 :: -1], form, account, url, previous=True, more=True)
        after = ""  # The first page is always a full one.
    rows = list(members.filter(user__email__gt=after).order_by("user__email")[: SHOWN + 1])
    return cut(rows[:SHOWN], form, account, url, previous=bool(after), more=len(rows) > SHOWN)


def cut(
    rows: list[Membership],
    form: FilterForm,
    account: Account,
    url: str,
    *,
    previous: bool,
    more: bool,
) -> Page:
    first, last = (rows[0].user.email, rows[-1].user.email) if rows else ("", "")
    return Page(
        people(rows, account),
        previous=address(url, form, before=first) if previous and rows else "",
        next=address(url, form, after=last) if more else "",
    )


def address(url: str, form: FilterForm, **place: str) -> str:
    kept = {name: form.chosen(name) for name in ("q", "role")}
    return f"{url}?{urlencode({name: text for name, text in (kept | place).items() if text})}"


def people(rows: list[Membership], account: Account) -> list[Member]:
    """The members with what else the list tells of them, by one query for all."""
    used = dict(
        ApiToken.objects.for_account(account)
        .filter(user__in=[row.user_id for row in rows])
        .values_list("user")
        .annotate(Max("last_used_at"))
    )
    everybodys = account.member_requests_per_minute
    return [
        Member(row, used.get(row.user_id), row.requests_per_minute or everybodys) for row in rows
    ]


def invited(account: Account, form: FilterForm) -> dict[str, Any]:  # Any: template context.
    """The latest of the open invitations that match, and whether there are more."""
    invitations = Invitation.objects.for_account(account).open().select_related("invited_by")
    if text := form.chosen("q").strip():
        invitations = invitations.filter(email__icontains=text)
    if role := form.chosen("role"):
        invitations = invitations.filter(role=role)
    latest = list(invitations.order_by("-created_at")[: SHOWN + 1])
    return {"invitations": latest[:SHOWN], "more_invitations": len(latest) > SHOWN}
