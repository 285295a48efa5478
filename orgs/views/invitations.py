"""Invitations: sent, sent again, revoked, accepted."""

from dataclasses import dataclass, field
from uuid import UUID

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from orgs import actions
from orgs.access import account_url
from orgs.actions import (
    AlreadyInvited,
    AlreadyMember,
    InvitationGone,
    NotTheInvited,
    TooManyInvitations,
    TooSoon,
    accept_invitation,
    find_invitation,
    resend_invitation,
    revoke_invitation,
)
from orgs.actions.invitations import is_for
from orgs.forms.members import InviteForm
from orgs.models import Account, Invitation, Membership, User
from orgs.origin import Origin
from orgs.requests import SignedInRequest, fragment
from orgs.tokens import digest
from orgs.views.people import (
    answer_with_list,
    listed,
    managed_or_404,
    on_list,
    page,
)

#: So many letters that do not go out mean that the mail server is away, not that one address is
#: refused. Each may have taken as long as EMAIL_TIMEOUT, and somebody waits for the answer.
MOST_UNSENT = 2


@dataclass
class Outcome:
    """What became of each address, and which are `left` to be sent again."""

    invited: list[str] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)

    @property
    def left(self) -> list[str]:
        return [*self.malformed, *self.refused, *self.untried]

    @property
    def changed(self) -> bool:
        return bool(self.invited or self.unsent)

    @property
    def clean(self) -> bool:
        """Whether everybody was invited, and nothing else is to be told."""
        return not (self.unsent or self.members or self.waiting or self.left)

    @property
    def welcome(self) -> str:
        return f"Invited {all_of(self.invited)}." if self.invited else ""


@require_http_methods(["GET", "HEAD", "POST"])
@page
def invite(request: SignedInRequest, slug: str) -> HttpResponse:
    account = managed_or_404(request, slug, recent_login=True)
    form = InviteForm(request.POST if request.method == "POST" else None)
    context: dict[str, object] = {"account": account, "form": form}
    status = 422 if form.errors else 200
    if form.is_valid():
        outcome = invite_all(request, account, form)
        if outcome.clean:
            told = f"{outcome.welcome} The invitation is good for seven days."
            messages.success(request, told + in_terminal())
            return answer_with_list(request, account)
        context |= {"form": form.for_the(outcome.left), "outcome": outcome}
        if not outcome.changed:
            status = 422
        elif on_list(request, account):
            context |= listed(request, account)
    return render(request, fragment(request, "orgs/invite"), context, status=status)


def invite_all(request: SignedInRequest, account: Account, form: InviteForm) -> Outcome:
    """Each address by itself: what is wrong with one keeps none of the others from joining."""
    outcome = Outcome(malformed=form.malformed)
    for email in form.addresses:
        if len(outcome.unsent) == MOST_UNSENT:
            outcome.untried.append(email)
            continue
        try:
            invitation = actions.invite(
                actor=request.user,
                account=account,
                email=email,
                role=form.cleaned_data["role"],
                origin=Origin.of(request),
            )
        except AlreadyMember:
            outcome.members.append(email)
        except AlreadyInvited:
            outcome.waiting.append(email)
        except TooManyInvitations as refusal:
            outcome.refused.append(email)
            outcome.refusals.append(str(refusal))
        else:
            (outcome.invited if invitation.sent_at else outcome.unsent).append(email)
    outcome.refusals = list(dict.fromkeys(outcome.refusals))
    return outcome


@require_POST
@page
def resend(request: SignedInRequest, slug: str, id: UUID) -> HttpResponse:  # noqa: A002
    account = managed_or_404(request, slug, recent_login=True)
    invitation = invitation_or_404(account, id)
    try:
        invitation = resend_invitation(
            actor=request.user, invitation=invitation, origin=Origin.of(request)
        )
    except TooSoon as soon:
        messages.warning(
            request,
            f"The letter to {invitation.email} went out a moment ago. "
            f"You can send it again in {soon.seconds} seconds.",
        )
    except TooManyInvitations as refusal:
        messages.error(request, str(refusal))
    else:
        if invitation.sent_at:
            messages.success(
                request,
                f"Sent {invitation.email} another letter. The link in the former one is void."
                + in_terminal(),
            )
        else:
            messages.error(
                request,
                f"The mail server did not take the letter to {invitation.email}. "
                "Try again in a few minutes.",
            )
    return answer_with_list(request, account)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def revoke(request: SignedInRequest, slug: str, id: UUID) -> HttpResponse:  # noqa: A002
    account = managed_or_404(request, slug)
    invitation = invitation_or_404(account, id)
    if request.method == "POST":
        revoke_invitation(actor=request.user, invitation=invitation, origin=Origin.of(request))
        messages.success(
            request, f"Revoked the invitation of {invitation.email}. Its link no longer works."
        )
        return answer_with_list(request, account)
    context = {"account": account, "invitation": invitation}
    return render(request, fragment(request, "orgs/invitation_revoke"), context)


def invitation_or_404(account: Account, invitation: UUID) -> Invitation:
    return get_object_or_404(Invitation.objects.for_account(account).open(), pk=invitation)


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables("token")
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Where the link in the letter leads. Looking at it changes nothing."""
    try:
        answer = _accept(request, token) if request.method == "POST" else _offer(request, token)
    except InvitationGone:
        answer = _gone(request, token)
    answer["Cache-Control"] = "no-store"
    # The address is the credential: no request that starts here tells it, not even to ourselves.
    # With `no-referrer` browsers would send the form from the origin "null", which is refused.
    answer["Referrer-Policy"] = "strict-origin"
    return answer


@sensitive_variables("token")
def _accept(request: HttpRequest, token: str) -> HttpResponse:
    if not request.user.is_authenticated:
        find_invitation(token)
        return redirect("orgs:invitation", token)
    try:
        membership = accept_invitation(actor=request.user, token=token, origin=Origin.of(request))
    except NotTheInvited:
        return _offer(request, token, status=403)
    messages.success(
        request, f"Welcome to {membership.account}. To start, create an API token here."
    )
    return redirect(account_url("dashboard", membership.account))


@sensitive_variables("token")
def _offer(request: HttpRequest, token: str, status: int = 200) -> HttpResponse:
    found = find_invitation(token)
    context: dict[str, object] = {"invitation": found, "masked": masked(found.email)}
    if request.user.is_authenticated:
        if _is_member(request.user, found.account):
            return _member_already(request, found.account)
        context |= {
            "mine": is_for(request.user, found),
            "unconfirmed": EmailAddress.objects.filter(
                user=request.user, email=found.email, verified=False
            ).exists(),
        }
    return render(request, "orgs/invitation.html", context, status=status)


@sensitive_variables("token")
def _gone(request: HttpRequest, token: str) -> HttpResponse:
    """One page for whatever does not work any more, but kind words for who it has worked for."""
    used = Invitation.objects.select_related("account").filter(
        digest=digest(token), accepted_at__isnull=False
    )
    found = used.first()
    if found is not None and _is_member(request.user, found.account):
        return _member_already(request, found.account)
    return render(request, "orgs/invitation_gone.html", status=404)


def _is_member(user: User | AnonymousUser, account: Account) -> bool:
    if not user.is_authenticated:
        return False
    return Membership.objects.for_account(account).filter(user=user).exists()


def _member_already(request: HttpRequest, account: Account) -> HttpResponse:
    context = {"account": account, "dashboard_url": account_url("dashboard", account)}
    return render(request, "orgs/invitation_used.html", context)


def masked(email: str) -> str:
    """`ann@example.com` as `a•••@e•••.com`: enough to know one's own by."""
    local, _, domain = email.rpartition("@")
    name, dot, ending = domain.rpartition(".")
    return f"{local[:1]}•••@{name[:1]}•••{dot}{ending}"


def in_terminal() -> str:
    """Where to look for letters on a machine without a mail server."""
    if not settings.MEGABRAIN_MAIL_IN_TERMINAL:
        return ""
    return " No mail server is set up here: see the terminal that runs MegaBrain."


def all_of(emails: list[str]) -> str:
    return emails[0] if len(emails) == 1 else f"{len(emails)} people"
