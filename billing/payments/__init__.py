"""Paying in, by a company that takes cards. Without one, credit is granted by staff alone."""

from django.conf import settings

from billing.payments.base import Provider
from billing.payments.stripe import Stripe
from byok.vault import Secret


def provider() -> Provider | None:
    """Who takes payments here; None if the operator has set up nobody."""
    if not (settings.MEGABRAIN_STRIPE_SECRET_KEY and settings.MEGABRAIN_STRIPE_WEBHOOK_SECRET):
        return None
    return Stripe(
        settings.MEGABRAIN_STRIPE_URL,
        key=Secret(settings.MEGABRAIN_STRIPE_SECRET_KEY),
        webhook_secret=Secret(settings.MEGABRAIN_STRIPE_WEBHOOK_SECRET),
    )
