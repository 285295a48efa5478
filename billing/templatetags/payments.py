"""The part of the Billing page about paying in."""

from typing import Any

from django import template
from django.template.context import Context

from billing.payments import provider, topping_up
from billing.payments.forms import CreditForm

register = template.Library()


@register.inclusion_tag("billing/add_credits.html", takes_context=True)
def add_credits(context: Context) -> dict[str, Any]:  # Any: a template's context.
    """Pay in, and automatic top-ups of the account that the page is about."""
    request = context["request"]
    taking = provider()
    return {
        "request": request,
        "csrf_token": context.get("csrf_token"),
        "provider": taking,
        "form": CreditForm() if taking else None,
        **(topping_up.state_of(request.account) if taking else {}),
    }
