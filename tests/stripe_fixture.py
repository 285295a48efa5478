"""Stripe's stand-in, with settings that name it, and the words for what happens there."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Payment
from billing.payments import paying
from orgs.models import Account, User
from orgs.origin import Origin
from tests.fake_stripe import KEY, WEBHOOK_SECRET, FakeStripe, Fields, signature

DOLLAR = 1_000_000

#: Delivers an event as Stripe would; the status of the answer.
Deliver = Callable[..., int]


@pytest.fixture
def stripe(settings: Any) -> Iterator[FakeStripe]:  # Any: pytest-django's own.
    server = FakeStripe()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    settings.MEGABRAIN_STRIPE_URL = server.url
    settings.MEGABRAIN_STRIPE_SECRET_KEY = KEY
    settings.MEGABRAIN_STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def deliver() -> Deliver:
    """To our webhook, by whoever, with or without a signature of one's own."""

    def deliver_one(event: Fields | bytes, **headers: str) -> int:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        headers = headers or {"stripe-signature": signature(body)}
        answer = Client(enforce_csrf_checks=True).post(
            reverse("billing:stripe_webhook"), body, "application/json", headers=headers
        )
        return answer.status_code

    return deliver_one


def begun(actor: User, account: Account, dollars: int = 25, *, saves_card: bool = False) -> Payment:
    """A payment whose checkout is open."""
    return paying.begin(
        actor=actor,
        account=account,
        amount_micros=dollars * DOLLAR,
        saves_card=saves_card,
        origin=Origin(),
        id=uuid.uuid4(),
    )
