"""The Subscription Center of an account: plans, what it subscribes to, and what it paid.

Each view takes the slug of an organization, or None for the personal account.
"""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.forms import AgreedForm
from billing.ledger import Frozen, NotEnough
from billing.models import Plan, Subscription
from billing.subscriptions import actions
from billing.subscriptions.center import center_of, offer_of
from byok.actions import KeyAlreadyExists
from byok.views.page import page
from orgs.access import account_or_404, account_url
from orgs.models import Account
from orgs.money import dollars
from orgs.origin import Origin
from orgs.permissions import Permission
from orgs.requests import SignedInRequest, fragment

METHODS = ["GET", "HEAD", "POST"]


@require_safe
@page
def subscriptions(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    account = account_or_404(request, slug, Permission.MANAGE_BILLING)
    context = {"account": account, "center": center_of(account)}
    return render(request, "billing/subscriptions.html", context)


@require_http_methods(METHODS)
@page
def subscribe(request: SignedInRequest, plan: str, slug: str | None = None) -> HttpResponse:
    """Say what it costs and what it brings, then do it. It adds a key, so one signs in for it."""
    account = account_or_404(request, slug, Permission.MANAGE_BILLING, recent_login=True)
    chosen = get_object_or_404(Plan, slug=plan)
    if request.method != "POST":
        return _asked(request, account, chosen)
    try:
        actions.subscribe(
            actor=request.user,
            account=account,
            plan=chosen,
            **AgreedForm(request.POST).agreed,
            origin=Origin.of(request),
            now=timezone.now(),
        )
    except actions.PlanChanged:
        return _asked(request, account, chosen, changed=True)
    except (
        actions.AlreadySubscribed,
        actions.NotOnSale,
        actions.OutOfStock,
        KeyAlreadyExists,
        NotEnough,
        Frozen,
    ) as refused:
        messages.error(request, _refusal(refused, chosen))
    else:
        messages.success(
            request,
            f"Subscribed to {chosen.name}. Its {chosen.provider_name} key is in use from now on"
            f"{' for all members' if account.is_organization else ''}.",
        )
    return _answer(account)


def _asked(
    request: SignedInRequest, account: Account, plan: Plan, *, changed: bool = False
) -> HttpResponse:
    """What it costs now, to be agreed to; anew where somebody agreed to something else."""
    offer = offer_of(account, plan)
    if offer is None:
        raise Http404
    return render(
        request,
        fragment(request, "billing/subscribe"),
        {
            "account": account,
            "offer": offer,
            "form": AgreedForm(
                initial={
                    "price_micros": offer.plan.price_micros,
                    "period_days": offer.plan.period_days,
                }
            ),
            "changed": changed,
        },
        status=422 if changed else 200,
    )


@require_http_methods(METHODS)
@page
def cancel(
    request: SignedInRequest,
    id: UUID,  # noqa: A002 -- of a subscription.
    slug: str | None = None,
) -> HttpResponse:
    """Say what ends and when, then let it end with its period."""
    account = account_or_404(request, slug, Permission.MANAGE_BILLING)
    subscription = _subscription(account, id)
    if request.method != "POST":
        offer = offer_of(account, subscription.plan)
        context = {"account": account, "subscription": subscription, "offer": offer}
        return render(request, fragment(request, "billing/subscription_cancel"), context)
    name = subscription.plan.name
    try:
        actions.cancel(
            actor=request.user,
            subscription=subscription,
            origin=Origin.of(request),
            now=timezone.now(),
        )
    except actions.SubscriptionGone:
        messages.error(request, f"The subscription to {name} has ended already.")
        return _answer(account)
    subscription.refresh_from_db()
    if subscription.is_live:
        day = f"{subscription.renews_at:%-d %B %Y}"
        messages.success(
            request, f"Cancelled {name}. You have it until {day}, and nothing more is charged."
        )
    else:
        messages.success(request, f"Cancelled {name}. It has ended, and nothing more is charged.")
    return _answer(account)


@require_POST
@page
def resume(
    request: SignedInRequest,
    id: UUID,  # noqa: A002 -- as above.
    slug: str | None = None,
) -> HttpResponse:
    account = account_or_404(request, slug, Permission.MANAGE_BILLING)
    subscription = _subscription(account, id)
    name = subscription.plan.name
    try:
        actions.resume(actor=request.user, subscription=subscription, origin=Origin.of(request))
    except actions.SubscriptionGone:
        messages.error(
            request, f"The subscription to {name} has ended meanwhile. You can subscribe again."
        )
    else:
        day = f"{subscription.renews_at:%-d %B %Y}"
        messages.success(request, f"{name} goes on: it is renewed on {day}.")
    return _answer(account)


@require_POST
@page
def pay(
    request: SignedInRequest,
    id: UUID,  # noqa: A002 -- as above.
    slug: str | None = None,
) -> HttpResponse:
    """Try a renewal again that the balance did not pay for."""
    account = account_or_404(request, slug, Permission.MANAGE_BILLING)
    subscription = _subscription(account, id)
    name = subscription.plan.name
    try:
        paid = actions.pay_now(
            actor=request.user,
            subscription=subscription,
            origin=Origin.of(request),
            now=timezone.now(),
        )
    except actions.SubscriptionGone:
        messages.error(
            request, f"The subscription to {name} has ended meanwhile. You can subscribe again."
        )
    except (NotEnough, Frozen) as refused:
        messages.error(request, _refusal(refused, subscription.plan))
    else:
        if paid:
            messages.success(request, f"Paid: {name} is active.")
        else:
            messages.info(request, f"There was nothing to pay for: {name} is active.")
    return _answer(account)


def _subscription(account: Account, id_: UUID) -> Subscription:
    subscriptions = Subscription.objects.for_account(account).select_related("plan")
    return get_object_or_404(subscriptions, pk=id_)


def _answer(account: Account) -> HttpResponse:
    return redirect(account_url("billing:subscriptions", account))


def _refusal(refused: Exception, plan: Plan) -> str:
    """Why nothing was changed, and what to do about it."""
    if isinstance(refused, actions.AlreadySubscribed):
        return f"There is a subscription to {plan.name} already. Nothing was charged."
    if isinstance(refused, actions.NotOnSale):
        return f"{plan.name} is no longer offered. Nothing was charged."
    if isinstance(refused, actions.OutOfStock):
        return (
            f"No {plan.provider_name} key is in stock just now. Nothing was charged. "
            "Try again later."
        )
    if isinstance(refused, KeyAlreadyExists):
        return (
            f"There is a {plan.provider_name} key already, and there can be one. Delete it under "
            "Bring Your Own Key, then subscribe. Nothing was charged."
        )
    if isinstance(refused, NotEnough):
        return (
            f"{plan.name} costs {dollars(plan.price_micros)}, and the balance has "
            f"{dollars(max(0, refused.available_micros))}. Nothing was charged. Add credits, then "
            "try again."
        )
    return (
        "Payments from this balance are stopped until MegaBrain has looked at it. Nothing was "
        "charged."
    )
