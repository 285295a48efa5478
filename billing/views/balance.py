"""The Billing page: balance, alert, spending limits and ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing import ledger_export
from billing.actions import change_alert
from billing.forms import AlertForm, LedgerForm
from billing.ledger_export import request_of
from billing.models import LedgerEntry, Wallet
from orgs import keyset
from orgs.access import account_or_404, account_page, account_url
from orgs.exports import AT_ONCE, Slot, TooManyDownloads, download, in_pieces
from orgs.models import Account
from orgs.money import dollars
from orgs.origin import Origin
from orgs.permissions import Permission
from orgs.requests import SignedInRequest

SHOWN = 25


@dataclass(frozen=True, slots=True)
class Row:
    """An entry of the ledger, and the request that it paid for; its record may be pruned."""

    entry: LedgerEntry
    request_id: UUID | None
    is_recorded: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A page of entries, newest first, and the addresses of its neighbours."""

    rows: list[Row]
    newer: str
    older: str


@require_safe
@account_page
def balance(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    account = account_or_404(request, slug, Permission.MANAGE_BILLING)
    return balance_page(request, account)


@require_http_methods(["GET", "HEAD", "POST"])
@account_page
def alert(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    account = account_or_404(request, slug, Permission.MANAGE_BILLING)
    if request.method != "POST":
        # Where a form that was refused is shown again; reloaded, it is the page with the form.
        return redirect(account_url("billing:balance", account))
    form = AlertForm(wallet_of(account), request.POST)
    if not form.is_valid():
        return balance_page(request, account, form)
    below = form.cleaned_data["below"]
    changed = change_alert(
        actor=request.user,
        account=account,
        alert_below_micros=below,
        origin=Origin.of(request),
    )
    messages.success(request, told(account, below) if changed else "Nothing was changed.")
    return redirect(account_url("billing:balance", account))


@require_POST
@account_page
def export(request: SignedInRequest, slug: str | None = None) -> HttpResponseBase:
    """The entries that the filter lets through, as a file.

    Here a value from elsewhere is an error: nobody is to take a file for less than it holds, or
    for more.
    """
    account = account_or_404(request, slug, Permission.MANAGE_BILLING)
    form = LedgerForm(request.POST, account)
    if not form.is_valid():
        raise BadRequest("An export with a filter that there is not.")
    try:
        slot = Slot(request.user.pk)
    except TooManyDownloads:
        messages.error(
            request,
            f"Nothing was exported: {AT_ONCE} exports of yours are still under way. "
            "Wait for one to finish, or stop it, then try again in a minute.",
        )
        return HttpResponseRedirect(address(form))
    with slot.unless_refused():
        lines = ledger_export.lines(actor=request.user, account=account, entries=form.entries)
    what = f"ledger-{account.slug}" if account.is_organization else "ledger"
    return download(
        request,
        slot.keep(in_pieces(lines)),
        name=f"{what}-{timezone.now():%Y-%m-%d}.csv",
        content_type="text/csv; charset=utf-8",
    )


def balance_page(
    request: SignedInRequest, account: Account, alert_form: AlertForm | None = None
) -> HttpResponse:
    """The page; with the alert's form as it was sent, if it was refused."""
    form = LedgerForm(request.GET, account)
    context: dict[str, Any] = {
        "account": account,
        "form": form,
        "filters": form.filters,
        "page": page_of(form),
    }
    if request.htmx and alert_form is None:
        return render(request, "billing/balance.html#ledger", context)
    wallet = wallet_of(account)
    context |= {"wallet": wallet, "alert_form": alert_form or AlertForm(wallet)}
    return render(request, "billing/balance.html", context, status=422 if alert_form else 200)


def wallet_of(account: Account) -> Wallet:
    """The account's wallet; an empty one where nothing was ever added."""
    return Wallet.objects.filter(pk=account.pk).first() or Wallet(account_id=account.pk)


def page_of(form: LedgerForm) -> Page:
    """The entries that the filter lets through, older than `before` or newer than `after`."""
    entries = form.entries

    def onwards(place: int | None, most: int) -> list[LedgerEntry]:
        older = entries.filter(number__lt=place) if place else entries
        return list(older.order_by("-number")[:most])

    def backwards(place: int, most: int) -> list[LedgerEntry]:
        return list(entries.filter(number__gt=place).order_by("number")[:most])

    cut = keyset.cut(
        SHOWN,
        after=form.chosen("before"),
        before=form.chosen("after"),
        onwards=onwards,
        backwards=backwards,
    )
    return Page(
        [Row(entry, request_of(entry), is_recorded(entry)) for entry in cut.rows],
        newer=address(form, after=cut.rows[0].number) if cut.before else "",
        older=address(form, before=cut.rows[-1].number) if cut.after else "",
    )


def is_recorded(entry: LedgerEntry) -> bool:
    """Whether the record of the call that it paid for is still kept."""
    days = settings.MEGABRAIN_USAGE_DAYS
    return not days or entry.created_at > timezone.now() - timedelta(days=days)


def address(form: LedgerForm, **also: int) -> str:
    """The list with this filter, and where it begins."""
    return with_query(account_url("billing:balance", form.account), {**form.filters, **also})


def with_query(url: str, query: Mapping[str, int | str]) -> str:
    return f"{url}?{urlencode(query)}" if query else url


def told(account: Account, below: int | None) -> str:
    """Who hears of what from now on."""
    if below is None:
        return "Nobody is told of a low balance from now on."
    whom = f"Those who manage billing in {account}" if account.is_organization else "You"
    return f"{whom} will get an e-mail when the balance is below {dollars(below)}."
