"""The list of members and invitations, and what the views of both begin and end with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Max, OuterRef, Prefetch, Q, Subquery
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render

from orgs import keyset
from orgs.access import account_or_404, account_page, account_url
from orgs.actions import InvitationGone, MemberGone
from orgs.forms.members import FilterForm
from orgs.member_calls import MemberCalls, calls_of_members
from orgs.models import Account, ApiToken, Invitation, Membership, User
from orgs.models.accounts import MembershipQuerySet
from orgs.models.invitations import InvitationQuerySet
from orgs.permissions import Permission
from orgs.requests import SignedInRequest, on_screen, path_on_screen

SHOWN = 50
#: Open invitations, which stand above the members.
INVITATIONS_SHOWN = 10
#: Who a membership is of. Asked for each membership and not joined, or the database may as well
#: read the people of the whole installation, and look for members among them.
PERSON = User.objects.filter(pk=OuterRef("user"))

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Member:
    """A line of the list. Limits are those that apply, whether they are theirs or everybody's.

    What they spend and may is in micro-dollars, and None where it is not for the visitor to see.
    """

    membership: Membership
    last_active: datetime | None
    limit: int | None
    daily_limit: int | None
    spent_today: int | None
    tells_spending: bool


@dataclass(frozen=True, slots=True)
class Invited:
    """A page of the open invitations, how many there are, and the addresses of its neighbours."""

    invitations: list[Invitation]
    count: int
    newer: str
    older: str

    @property
    def title(self) -> str:
        return f"{self.count:,} open invitation{'' if self.count == 1 else 's'}"


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


def managed_or_404(request: SignedInRequest, slug: str, *, recent_login: bool = False) -> Account:
    """The organization, if the visitor may manage its members."""
    return account_or_404(request, slug, Permission.MANAGE_MEMBERS, recent_login=recent_login)


def member_or_404(account: Account, member: UUID) -> Membership:
    members = Membership.objects.for_account(account).select_related("account")
    return get_object_or_404(members.prefetch_related(person_in(account)), pk=member)


def answer_with_list(request: SignedInRequest, account: Account) -> HttpResponse:
    """After a change: the list anew where it is on the screen, else the way to it."""
    if on_list(request, account):
        return render(request, "orgs/members.html#people", listed(request, account))
    return redirect(account_url("orgs:members", account))


def on_list(request: SignedInRequest, account: Account) -> bool:
    """Whether htmx asks from the list, which can then be brought up to date where it stands."""
    return bool(request.htmx) and path_on_screen(request) == account_url("orgs:members", account)


def listed(request: SignedInRequest, account: Account) -> dict[str, Any]:
    """Who is in the organization, and for those who manage it, on the first page, who is invited.

    Any: it goes to a template.
    """
    url = account_url("orgs:members", account)
    form = FilterForm(request.GET if request.path == url else query_on_screen(request))
    members = found(Membership.objects.for_account(account), form)
    shown = page_of(members.prefetch_related(person_in(account)), form, request, url)
    may_manage = Permission.MANAGE_MEMBERS in request.permissions
    return {
        "account": account,
        "filter": form,
        "address": address(url, form),
        "filtered": bool(form.chosen("q") or form.chosen("role")),
        "page": shown,
        "count": members.count(),
        # A dialog's answer brings the list along; what asked for the list itself replaces it.
        "beside": request.htmx.target == "dialogs",
        "may_manage": may_manage,
        "may_limit_spending": Permission.MANAGE_BILLING in request.permissions,
        "invited": invited(account, form, url) if may_manage and not shown.previous else None,
    }


def query_on_screen(request: SignedInRequest) -> QueryDict:
    return QueryDict(on_screen(request.htmx).query)


def found(members: MembershipQuerySet, form: FilterForm) -> MembershipQuerySet:
    text, role = form.chosen("q").strip(), form.chosen("role")
    if text:
        told = members.alias(
            email=Subquery(PERSON.values("email")), name=Subquery(PERSON.values("name"))
        )
        members = told.filter(Q(email__icontains=text) | Q(name__icontains=text))
    return members.filter(role=role) if role else members


def page_of(
    members: MembershipQuerySet, form: FilterForm, request: SignedInRequest, url: str
) -> Page:
    """The members after `after`, or before `before`, in the order of their addresses."""
    placed = members.alias(place=Subquery(PERSON.values("email")))

    def onwards(place: str | None, most: int) -> list[Membership]:
        return list(placed.filter(place__gt=place or "").order_by("place")[:most])

    def backwards(place: str, most: int) -> list[Membership]:
        return list(placed.filter(place__lt=place).order_by("-place")[:most])

    after, before = form.chosen("after"), form.chosen("before")
    cut = keyset.cut(SHOWN, after=after, before=before, onwards=onwards, backwards=backwards)
    return Page(
        people(cut.rows, request),
        previous=address(url, form, before=cut.rows[0].user.email) if cut.before else "",
        next=address(url, form, after=cut.rows[-1].user.email) if cut.after else "",
    )


def address(url: str, form: FilterForm, **place: str) -> str:
    """The list as it is filtered, at a place; nothing that is empty is in it."""
    kept = {name: form.chosen(name) for name in ("q", "role")}
    query = urlencode({name: text for name, text in (kept | place).items() if text})
    return f"{url}?{query}" if query else url


def person_in(account: Account) -> "Prefetch[str]":
    """Who a member is, with when their API tokens in the account were used last."""
    tokens = ApiToken.objects.for_account(account).filter(user=OuterRef("pk"))
    used = tokens.order_by().values("user").annotate(used_at=Max("last_used_at")).values("used_at")
    return Prefetch("user", User.objects.annotate(used_at=Subquery(used)))


def people(rows: list[Membership], request: SignedInRequest) -> list[Member]:
    """The members, loaded with `person_in`, with what else the list tells of them."""
    account = request.account
    calls = calls_of_members(account, [row.user_id for row in rows])
    sees_all = Permission.SEE_ALL_USAGE in request.permissions
    found = []
    for row in rows:
        row.account = account  # Loaded once, and not with each.
        of_row = calls[row.user_id]
        is_seen = sees_all or row.user_id == request.user.pk
        found.append(
            Member(
                row,
                last_active(row, of_row),
                row.requests_per_minute or account.member_requests_per_minute,
                row.spends_at_most if is_seen else None,
                of_row.spent_today if is_seen else None,
                is_seen,
            )
        )
    return found


def last_active(row: Membership, calls: MemberCalls) -> datetime | None:
    """When they last called for the account: with one of its tokens, or with one of their own and
    the account's name. An API token also notes calls that came to nothing."""
    used_at: datetime | None = getattr(row.user, "used_at", None)
    return max(filter(None, (used_at, calls.last_at)), default=None)


def invited(account: Account, form: FilterForm, url: str) -> Invited:
    """The open invitations that match, the newest first, around where the visitor is in them."""
    matching = Invitation.objects.for_account(account).open().select_related("invited_by")
    if text := form.chosen("q").strip():
        matching = matching.filter(email__icontains=text)
    if role := form.chosen("role"):
        matching = matching.filter(role=role)

    def onwards(place: Invitation | None, most: int) -> list[Invitation]:
        rows = older(matching, place) if place else matching
        return list(rows.order_by("-created_at", "-pk")[:most])

    def backwards(place: Invitation, most: int) -> list[Invitation]:
        return list(newer(matching, place).order_by("created_at", "pk")[:most])

    after, before = (
        place_of(account, form.chosen(name)) for name in ("invited_after", "invited_before")
    )
    read = partial(keyset.cut, INVITATIONS_SHOWN, onwards=onwards, backwards=backwards)
    cut = read(after=after, before=before)
    if not cut.rows and (after or before):  # Those of the page may have gone meanwhile.
        cut = read(after=None, before=None)
    rows = cut.rows
    return Invited(
        rows,
        count=matching.count(),
        newer=address(url, form, invited_before=str(rows[0].pk)) if cut.before else "",
        older=address(url, form, invited_after=str(rows[-1].pk)) if cut.after else "",
    )


def place_of(account: Account, invitation: str) -> Invitation | None:
    """Also of one that was accepted or revoked meanwhile; None for none."""
    if not invitation:
        return None
    return Invitation.objects.for_account(account).filter(pk=invitation).first()


def older(invitations: InvitationQuerySet, place: Invitation) -> InvitationQuerySet:
    until = invitations.filter(created_at__lte=place.created_at)
    return until.exclude(created_at=place.created_at, pk__gte=place.pk)


def newer(invitations: InvitationQuerySet, place: Invitation) -> InvitationQuerySet:
    since = invitations.filter(created_at__gte=place.created_at)
    return since.exclude(created_at=place.created_at, pk__lte=place.pk)
