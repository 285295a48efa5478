"""What members and API tokens may spend of a balance: for each member, for one, for a token."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from orgs.access import (
    SignInAgain,
    account_or_404,
    account_page,
    account_url,
    signed_in_recently,
)
from orgs.actions import (
    TokenGone,
    limit_member_spending,
    limit_members_spending,
    limit_token_spending,
)
from orgs.forms.spending import MemberSpendingForm, MembersSpendingForm, TokenSpendingForm
from orgs.member_calls import calls_of_members, spent_this_month
from orgs.models import ApiToken
from orgs.money import dollars
from orgs.origin import Origin
from orgs.permissions import Permission
from orgs.requests import SignedInRequest, fragment
from orgs.views.people import member_or_404, page


@require_http_methods(["GET", "HEAD", "POST"])
@page
def of_members(request: SignedInRequest, slug: str) -> HttpResponse:
    account = account_or_404(request, slug, Permission.MANAGE_BILLING, recent_login=True)
    form = MembersSpendingForm(account, request.POST if request.method == "POST" else None)
    if form.is_valid():
        wanted = form.cleaned_data["daily_limit"]
        limit_members_spending(
            actor=request.user,
            account=account,
            daily_limit_micros=wanted,
            origin=Origin.of(request),
        )
        messages.success(
            request,
            f"Each member of {account} may now spend as far as its balance goes."
            if wanted is None
            else f"Each member of {account} may now spend {dollars(wanted)} of its balance a day, "
            "unless a limit of their own says otherwise.",
        )
        return redirect(account_url("orgs:members", account))
    return render(
        request,
        fragment(request, "orgs/members_spending"),
        {"account": account, "form": form},
        status=422 if form.errors else 200,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@page
def of_member(request: SignedInRequest, slug: str, id: UUID) -> HttpResponse:  # noqa: A002
    account = account_or_404(request, slug, Permission.MANAGE_BILLING, recent_login=True)
    membership = member_or_404(account, id)
    posted = request.POST if request.method == "POST" else None
    form = MemberSpendingForm(account, posted, {"daily_limit": membership.daily_limit_micros})
    if form.is_valid():
        wanted = form.cleaned_data["daily_limit"]
        limit_member_spending(
            actor=request.user,
            membership=membership,
            daily_limit_micros=wanted,
            origin=Origin.of(request),
        )
        who = membership.user.get_full_name()
        messages.success(
            request,
            f"{who} may now spend as much as every other member."
            if wanted is None
            else f"{who} may now spend {dollars(wanted)} of {account}'s balance a day.",
        )
        return redirect(account_url("orgs:members", account))
    calls = calls_of_members(account, [membership.user_id])[membership.user_id]
    return render(
        request,
        fragment(request, "orgs/member_spending"),
        {"account": account, "membership": membership, "form": form, "calls": calls},
        status=422 if form.errors else 200,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@account_page
def of_token(
    request: SignedInRequest,
    id: UUID,  # noqa: A002 -- of a token.
    slug: str | None = None,
) -> HttpResponse:
    account = account_or_404(request, slug, Permission.OWN_TOKENS)
    own = ApiToken.objects.for_account(account).filter(user=request.user, revoked_at=None)
    token = get_object_or_404(own, pk=id)
    if not signed_in_recently(request):
        raise SignInAgain
    posted = request.POST if request.method == "POST" else None
    form = TokenSpendingForm(posted, {"monthly_limit": token.monthly_limit})
    if form.is_valid():
        wanted = form.cleaned_data["monthly_limit"]
        try:
            limit_token_spending(
                actor=request.user, token=token, monthly_limit=wanted, origin=Origin.of(request)
            )
        except TokenGone:
            raise Http404 from None
        messages.success(
            request,
            f"“{token.name}” may now spend as far as the balance goes."
            if wanted is None
            else f"“{token.name}” may now spend {dollars(wanted)} of the balance a month.",
        )
        return redirect(account_url("orgs:tokens", account))
    return render(
        request,
        fragment(request, "orgs/token_spending"),
        {"form": form, "token": token, "spent": spent_this_month([token.pk])[token.pk]},
        status=422 if form.errors else 200,
    )
