"""An organization's members: the list, one member, role, limit, API tokens, removal, leaving."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import push_url

from orgs.access import account_or_404, account_url
from orgs.actions import (
    LastOwner,
    change_role,
    leave_organization,
    limit_member,
    remove_member,
    revoke_token,
)
from orgs.forms.members import LimitForm, RoleForm
from orgs.member_calls import calls_of_members
from orgs.models import ApiToken, Invitation, Membership
from orgs.models.tokens import ApiTokenQuerySet
from orgs.origin import Origin
from orgs.permissions import Permission, may
from orgs.requests import SignedInRequest, fragment
from orgs.views.people import last_active, listed, managed_or_404, member_or_404, page


@require_safe
@page
def members(request: SignedInRequest, slug: str) -> HttpResponse:
    account = account_or_404(request, slug, Permission.USE_ACCOUNT)
    context = listed(request, account)
    if request.htmx:
        answer = render(request, "orgs/members.html#people", context)
        return push_url(answer, context["address"])
    return render(request, "orgs/members.html", context)


@require_safe
@page
def member(request: SignedInRequest, slug: str, id: UUID) -> HttpResponse:  # noqa: A002
    account = managed_or_404(request, slug)
    membership = member_or_404(account, id)
    tokens = tokens_of(membership)
    calls = calls_of_members(account, [membership.user_id])[membership.user_id]
    context = {
        "account": account,
        "membership": membership,
        "limit": membership.requests_per_minute or account.member_requests_per_minute,
        "calls": calls,
        "tokens": tokens.usable().order_by("-created_at"),
        "last_active": last_active(membership, calls),
        "is_visitor": membership.user == request.user,
    }
    return render(request, "orgs/member.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def role(request: SignedInRequest, slug: str, id: UUID) -> HttpResponse:  # noqa: A002
    account = managed_or_404(request, slug, recent_login=True)
    membership = member_or_404(account, id)
    posted = request.POST if request.method == "POST" else None
    form = RoleForm(posted, initial={"role": membership.role})
    if form.is_valid():
        chosen = form.cleaned_data["role"]
        try:
            change_role(
                actor=request.user, membership=membership, role=chosen, origin=Origin.of(request)
            )
        except LastOwner:
            form.add_error("role", only_owner_told(membership))
        else:
            word = Membership.Role(chosen).label.lower()
            messages.success(
                request, f"{membership.user.get_full_name()} is now {article(word)} of {account}."
            )
            # Whoever gave away their own right to manage members may not see this page any more.
            if may(request.user, Permission.MANAGE_MEMBERS, account):
                return redirect(account_url("orgs:member", account, id=membership.pk))
            return redirect(account_url("orgs:members", account))
    context = {"account": account, "membership": membership, "form": form}
    return render(
        request,
        fragment(request, "orgs/member_role"),
        context,
        status=422 if form.errors else 200,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@page
def limit(request: SignedInRequest, slug: str, id: UUID) -> HttpResponse:  # noqa: A002
    account = managed_or_404(request, slug, recent_login=True)
    membership = member_or_404(account, id)
    posted = request.POST if request.method == "POST" else None
    form = LimitForm(account, posted, {"requests_per_minute": membership.requests_per_minute})
    if form.is_valid():
        wanted = form.cleaned_data["requests_per_minute"]
        limit_member(
            actor=request.user,
            membership=membership,
            requests_per_minute=wanted,
            origin=Origin.of(request),
        )
        who = membership.user.get_full_name()
        messages.success(
            request,
            f"{who} may now make {wanted:,} requests a minute."
            if wanted
            else f"{who} may now ask for as much as every other member.",
        )
        return redirect(account_url("orgs:member", account, id=membership.pk))
    context = {"account": account, "membership": membership, "form": form}
    return render(
        request,
        fragment(request, "orgs/member_limit"),
        context,
        status=422 if form.errors else 200,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@page
def remove(request: SignedInRequest, slug: str, id: UUID) -> HttpResponse:  # noqa: A002
    account = managed_or_404(request, slug, recent_login=True)
    membership = member_or_404(account, id)
    if membership.user == request.user:
        return redirect(account_url("orgs:leave", account))
    status = 200
    if request.method == "POST":
        try:
            remove_member(actor=request.user, membership=membership, origin=Origin.of(request))
        except LastOwner:
            status = 422
        else:
            who = membership.user.get_full_name()
            messages.success(request, f"Removed {who}. Their access and API tokens have ended.")
            return redirect(account_url("orgs:members", account))
    return render(
        request,
        fragment(request, "orgs/member_remove"),
        {"account": account, "membership": membership, **what_ends(membership)},
        status=status,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@page
def leave(request: SignedInRequest, slug: str) -> HttpResponse:
    account = account_or_404(request, slug, Permission.LEAVE)
    status = 200
    if request.method == "POST":
        try:
            leave_organization(actor=request.user, account=account, origin=Origin.of(request))
        except LastOwner:
            status = 422
        else:
            messages.success(request, f"You left {account}. Your API tokens there have ended.")
            return redirect("dashboard")
    membership = get_object_or_404(
        Membership.objects.select_related("account", "user"), account=account, user=request.user
    )
    return render(
        request,
        fragment(request, "orgs/leave"),
        {"account": account, "membership": membership, **what_ends(membership)},
        status=status,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@page
def revoke_members_token(
    request: SignedInRequest,
    slug: str,
    id: UUID,  # noqa: A002 -- of a member.
    token: UUID,
) -> HttpResponse:
    account = managed_or_404(request, slug)
    membership = member_or_404(account, id)
    found = get_object_or_404(tokens_of(membership), pk=token)
    if request.method == "POST":
        revoke_token(actor=request.user, token=found, origin=Origin.of(request))
        messages.success(request, f"Revoked “{found.name}”. Whatever still uses it is turned away.")
        return redirect(account_url("orgs:member", account, id=membership.pk))
    return render(
        request,
        fragment(request, "orgs/member_token_revoke"),
        {"account": account, "membership": membership, "token": found},
    )


def tokens_of(membership: Membership) -> ApiTokenQuerySet:
    return ApiToken.objects.for_account(membership.account).filter(user=membership.user)


def what_ends(membership: Membership) -> dict[str, object]:
    """What a person loses with their membership, or that the organization cannot lose them."""
    open_invitations = Invitation.objects.for_account(membership.account).open()
    return {
        "only_owner": is_only_owner(membership),
        "tokens": tokens_of(membership).usable().count(),
        "invitations": open_invitations.filter(invited_by=membership.user).count(),
    }


def is_only_owner(membership: Membership) -> bool:
    if membership.role != Membership.Role.OWNER:
        return False
    others = Membership.objects.for_account(membership.account).owners().exclude(pk=membership.pk)
    return not others.exists()


def only_owner_told(membership: Membership) -> str:
    return (
        f"{membership.user.get_full_name()} is the only owner, and {membership.account} needs one. "
        "Make another member an owner first."
    )


def article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"
