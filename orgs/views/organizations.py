"""An organization: created, its settings and limits, deleted."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from orgs.access import account_or_404, account_page, account_url
from orgs.actions import (
    SlugTaken,
    TooManyOrganizations,
    UnknownModels,
    UnusableSlug,
    change_limits,
    change_organization,
    create_organization,
    delete_organization,
)
from orgs.actions.organizations import MAX_OWNED
from orgs.closing import losses_with
from orgs.forms.organizations import (
    DeletionForm,
    LimitsForm,
    NewOrganizationForm,
    OrganizationForm,
)
from orgs.models import Account, ApiToken
from orgs.origin import Origin
from orgs.permissions import Permission
from orgs.requests import SignedInRequest, fragment

TAKEN = "Another organization has this slug. Choose another."


@require_http_methods(["GET", "HEAD", "POST"])
@account_page
def create(request: SignedInRequest) -> HttpResponse:
    form = NewOrganizationForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            account = create_organization(
                actor=request.user,
                owner=request.user,
                origin=Origin.of(request),
                **form.cleaned_data,
            )
        except UnusableSlug as error:
            form.add_error("slug", str(error))
        except SlugTaken:
            form.add_error("slug", TAKEN)
        except TooManyOrganizations:
            form.add_error(
                None,
                f"You own {MAX_OWNED} organizations, which is as many as one person may. Delete "
                "one that is no longer needed, or have somebody else create this one.",
            )
        else:
            messages.success(request, f"Created {account}. These are its first steps.")
            return redirect(account_url("dashboard", account))
    return render(
        request,
        fragment(request, "orgs/organization_create"),
        {"form": form},
        status=422 if form.errors else 200,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@account_page
def settings(request: SignedInRequest, slug: str) -> HttpResponse:
    account = account_or_404(request, slug, Permission.MANAGE_ORGANIZATION)
    if request.method != "POST":
        return settings_page(request, account)
    form = OrganizationForm(request.POST)
    if form.is_valid():
        try:
            changed = change_organization(
                actor=request.user,
                account=account,
                origin=Origin.of(request),
                **form.cleaned_data,
            )
        except UnusableSlug as error:
            form.add_error("slug", str(error))
        except SlugTaken:
            form.add_error("slug", TAKEN)
        else:
            messages.success(request, renamed(account, **form.cleaned_data, changed=changed))
            return redirect("orgs:settings", slug=form.cleaned_data["slug"])
    return settings_page(request, account, form=form)


@require_http_methods(["GET", "HEAD", "POST"])
@account_page
def limits(request: SignedInRequest, slug: str) -> HttpResponse:
    account = account_or_404(request, slug, Permission.MANAGE_ORGANIZATION)
    if request.method != "POST":
        # Where a form that was refused is shown again; reloaded, it is the page with the form.
        return redirect("orgs:settings", slug=account.slug)
    form = LimitsForm(account, request.POST)
    if form.is_valid():
        try:
            changed = change_limits(
                actor=request.user, account=account, origin=Origin.of(request), **form.values()
            )
        except UnknownModels as error:
            form.add_error("allowed_models", str(error))
        else:
            messages.success(
                request,
                f"Saved what members of {account} may use. It applies from now on."
                if changed
                else "Nothing was changed.",
            )
            return redirect("orgs:settings", slug=account.slug)
    return settings_page(request, account, limits_form=form)


@require_http_methods(["GET", "HEAD", "POST"])
@account_page
def delete(request: SignedInRequest, slug: str) -> HttpResponse:
    account = account_or_404(request, slug, Permission.MANAGE_ORGANIZATION, recent_login=True)
    form = DeletionForm(account, request.POST if request.method == "POST" else None)
    if form.is_valid():
        delete_organization(actor=request.user, account=account, origin=Origin.of(request))
        messages.success(
            request,
            f"Deleted {account} with its provider keys and API tokens. "
            "You are in your personal account now.",
        )
        return redirect("dashboard")
    return render(
        request,
        fragment(request, "orgs/organization_delete"),
        {
            "form": form,
            "account": account,
            "members": account.memberships.count(),
            "tokens": ApiToken.objects.for_account(account).usable().count(),
            "losses": losses_with(account),
        },
        status=422 if form.errors else 200,
    )


def settings_page(
    request: SignedInRequest,
    account: Account,
    *,
    form: OrganizationForm | None = None,
    limits_form: LimitsForm | None = None,
) -> HttpResponse:
    """Name and slug, limits, deletion; with one of the forms as it was sent, if it was refused."""
    refused = form is not None or limits_form is not None
    context = {
        "account": account,
        "form": form or OrganizationForm(initial={"name": account.name, "slug": account.slug}),
        "limits_form": limits_form or LimitsForm(account),
    }
    return render(
        request, "orgs/organization_settings.html", context, status=422 if refused else 200
    )


def renamed(account: Account, *, name: str, slug: str, changed: bool) -> str:
    """What has changed, and what has to follow it."""
    if not changed:
        return "Nothing was changed."
    if slug == account.slug:
        return f"{account} is now called {name}."
    return (
        f"The slug of {name} is now {slug}. Whatever sends {account.slug} in the header "
        f"X-MegaBrain-Organization has to send {slug} from now on."
    )
