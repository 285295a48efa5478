"""Paying in: the amount, the checkout and what came of it; automatic top-ups; webhooks."""

import time
from dataclasses import dataclass
from uuid import UUID

import structlog
from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.models import AutoTopUp, Payment, Wallet
from billing.payments import cards, hearing, paying, provider, topping_up
from billing.payments.base import Forged, Provider
from billing.payments.forms import CreditForm, TopUpForm
from orgs import keyset
from orgs.access import account_or_404, account_page, account_url
from orgs.models import Account
from orgs.origin import Origin
from orgs.permissions import Permission
from orgs.requests import SignedInRequest, fragment

log = structlog.get_logger(__name__)

#: More than any event that is listened to.
EVENT_LIMIT = 256 * 1024
#: Payments on a page of them.
SHOWN = 25
#: So many seconds the page of a payment asks by itself what has come of it.
ASKS_FOR = 120


@dataclass(frozen=True, slots=True)
class Page:
    """A page of payments, newest first, and the addresses of its neighbours."""

    rows: list[Payment]
    newer: str
    older: str


@require_http_methods(["GET", "HEAD", "POST"])
@account_page
def add_credits(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    account, taking = _account(request, slug)
    form = CreditForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            payment = paying.begin(
                actor=request.user, account=account, origin=Origin.of(request), **form.values()
            )
        except paying.TooManyPayments:
            form.add_error(None, "Too many checkouts were begun in the last hour. Try again later.")
        except paying.NotBegun as error:
            form.add_error(None, f"{error} Nothing was charged. Try again in a minute.")
        else:
            return redirect(account_url("billing:payment_checkout", account, id=payment.pk))
    context = {"form": form, "provider": taking, **topping_up.state_of(account)}
    return render(request, "billing/credits.html", context, status=422 if form.errors else 200)


@require_safe
@account_page
def payments(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    """All of them, and what has become of each."""
    account, _ = _account(request, slug)
    return render(request, "billing/payments.html", {"page": _page(request, account)})


@require_safe
@account_page
def payment_checkout(request: SignedInRequest, id: UUID, slug: str | None = None) -> HttpResponse:  # noqa: A002 -- of a payment.
    """On the way to the provider's checkout.

    A page and not a redirect: forms of ours lead to ourselves alone, says our policy, and it would
    hold for where the answer to a form redirects to.
    """
    account, taking = _account(request, slug)
    payment = _payment(account, id)
    if not (payment.is_pending and payment.checkout_url):
        return redirect(account_url("billing:payment", account, id=payment.pk))
    return render(request, "billing/checkout.html", {"payment": payment, "provider": taking})


@require_safe
@account_page
def payment(request: SignedInRequest, id: UUID, slug: str | None = None) -> HttpResponse:  # noqa: A002 -- as above.
    """What came of it. While that is open, the page of whoever comes back from paying asks again by
    itself for a while: it gets an empty answer, and so is left alone, until there is news."""
    account, taking = _account(request, slug)
    payment, now = _payment(account, id), int(time.time())
    returned = request.GET.get("back", "")
    waits = payment.is_pending and returned == "paid"
    if waits and request.htmx and now < _until(request):
        return HttpResponse(status=204)
    wallet = Wallet.objects.filter(pk=account.pk).first()
    context = {
        "payment": payment,
        "provider": taking,
        "returned": returned,
        "asks_until": now + ASKS_FOR if waits and not request.htmx else None,
        "card_is_asked_for": cards.is_asked_for(payment),
        "balance": wallet.posted_micros if wallet else 0,
    }
    part = "#outcome" if request.htmx else ""
    return render(request, f"billing/payment.html{part}", context)


@require_http_methods(["GET", "HEAD", "POST"])
@account_page
def auto_top_up(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    account, taking = _account(request, slug, recent_login=True)
    kept = AutoTopUp.objects.filter(pk=account.pk).exclude(card="").first()
    form = TopUpForm(kept, request.POST if request.method == "POST" else None) if kept else None
    if form is not None and form.is_valid():
        try:
            topping_up.turn_on(
                actor=request.user, account=account, origin=Origin.of(request), **form.values()
            )
        except topping_up.OutOfOrder as error:
            form.add_error(None, str(error))
        except (topping_up.NoCard, topping_up.OtherCard):
            messages.error(
                request, "The card was replaced or removed meanwhile. Nothing was changed."
            )
            return redirect(account_url("billing:auto_top_up", account))
        else:
            messages.success(
                request, "Automatic top-ups are on. Each one is in the ledger and the audit log."
            )
            return redirect(account_url("billing:balance", account))
    return render(
        request,
        "billing/auto_top_up.html",
        {"form": form, "kept": kept, "provider": taking},
        status=422 if form is not None and form.errors else 200,
    )


@require_POST
@account_page
def auto_top_up_off(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    """Without a fresh sign-in: whoever wants to spend less is not held up."""
    account, _ = _account(request, slug)
    if topping_up.turn_off(actor=request.user, account=account, origin=Origin.of(request)):
        messages.success(
            request, "Automatic top-ups are off. The card is kept until you remove it."
        )
    return redirect(account_url("billing:balance", account))


@require_http_methods(["GET", "HEAD", "POST"])
@account_page
def card_remove(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    account, taking = _account(request, slug)
    if request.method != "POST":
        kept = AutoTopUp.objects.filter(pk=account.pk).exclude(card="").first()
        context = {"kept": kept, "provider": taking}
        return render(request, fragment(request, "billing/card_remove"), context)
    if cards.remove_card(actor=request.user, account=account, origin=Origin.of(request)):
        messages.success(request, "The card was removed, and automatic top-ups are off.")
    return redirect(account_url("billing:balance", account))


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """Where Stripe tells what happened: 400 for what it did not sign a moment ago.

    Whatever was understood is answered 200, acted upon or not, as Stripe would only say it again.
    """
    taking = provider()
    if taking is None:
        raise Http404
    if len(request.body) > EVENT_LIMIT:
        return HttpResponse("It is too long.\n", status=413, content_type="text/plain")
    try:
        event = taking.read_event(request.body, request.headers.get("stripe-signature", ""))
    except Forged as why:
        log.warning("payments.forged", why=str(why))
        return HttpResponse(f"{why}\n", status=400, content_type="text/plain")
    hearing.receive(event)
    return HttpResponse("Heard.\n", content_type="text/plain")


def _account(
    request: SignedInRequest, slug: str | None, *, recent_login: bool = False
) -> tuple[Account, Provider]:
    """The account, for who pays for it; where nobody takes payments these pages are not there."""
    account = account_or_404(request, slug, Permission.MANAGE_BILLING, recent_login=recent_login)
    taking = provider()
    if taking is None:
        raise Http404
    return account, taking


def _payment(account: Account, id_: UUID) -> Payment:
    return get_object_or_404(Payment.objects.for_account(account), pk=id_)


def _until(request: HttpRequest) -> int:
    """When the page stops to ask by itself, as it was told when it was first shown."""
    text = request.GET.get("until", "")[:15]
    return int(text) if text.isascii() and text.isdigit() else 0


def _page(request: HttpRequest, account: Account) -> Page:
    """The payments older than the one that `before` names, or newer than the one of `after`."""
    payments = Payment.objects.for_account(account)

    def chosen(name: str) -> Payment | None:
        try:
            return payments.filter(pk=UUID(request.GET.get(name, ""))).first()
        except ValueError:
            return None

    def onwards(place: Payment | None, most: int) -> list[Payment]:
        older = payments
        if place:
            at = place.created_at
            older = older.filter(Q(created_at__lt=at) | Q(created_at=at, pk__lt=place.pk))
        return list(older.order_by("-created_at", "-pk")[:most])

    def backwards(place: Payment, most: int) -> list[Payment]:
        at = place.created_at
        newer = payments.filter(Q(created_at__gt=at) | Q(created_at=at, pk__gt=place.pk))
        return list(newer.order_by("created_at", "pk")[:most])

    cut = keyset.cut(
        SHOWN,
        after=chosen("before"),
        before=chosen("after"),
        onwards=onwards,
        backwards=backwards,
    )
    url = account_url("billing:payments", account)
    return Page(
        cut.rows,
        newer=f"{url}?after={cut.rows[0].pk}" if cut.before else "",
        older=f"{url}?before={cut.rows[-1].pk}" if cut.after else "",
    )
