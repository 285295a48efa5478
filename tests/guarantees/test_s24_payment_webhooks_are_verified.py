"""S24: payment webhooks are verified. Credit comes only of what Stripe signed a moment ago, once,
about the checkout we asked for, over the amount and in the currency we asked for.
"""

import json
import subprocess
import sys
import tempfile
import time
import uuid
from functools import partial

import pytest
from django.conf import LazySettings
from django.urls import reverse

from billing.models import LedgerEntry, Payment, PaymentEvent, Wallet
from orgs.models import Account, AuditEvent, User
from tests.fake_stripe import WEBHOOK_SECRET, FakeStripe, Fields, signature
from tests.production import environment
from tests.stripe_fixture import DOLLAR, Deliver, begun
from tests.together import at_once

NOBODYS = "whsec_" + "N0bodyKnowsThisSecretButTheThief"


def paid_in(account: Account) -> list[int]:
    """The credit of an account, entry by entry, after a look whether its wallet says the same."""
    entries = list(LedgerEntry.objects.for_account(account).values_list("amount_micros", flat=True))
    wallet = Wallet.objects.filter(pk=account.pk).first()
    assert (wallet.posted_micros if wallet else 0) == sum(entries)
    return entries


@pytest.fixture
def payment(owner: User, account: Account, stripe: FakeStripe) -> Payment:
    return begun(owner, account)


@pytest.fixture
def told(payment: Payment, stripe: FakeStripe) -> Fields:
    """What Stripe tells once it was paid."""
    return stripe.pay(payment.reference)


pytestmark = pytest.mark.django_db


def test_what_stripe_signed_is_credited(account, payment, told, deliver: Deliver):
    assert deliver(told) == 200
    assert paid_in(account) == [25 * DOLLAR]
    payment.refresh_from_db()
    assert payment.state == Payment.State.PAID
    event = AuditEvent.objects.for_account(account.pk).newest_first()[0]
    assert (event.event, event.target_id) == ("billing.payment.received", str(payment.pk))


def test_what_nobody_signed_is_refused(account, told, deliver: Deliver):
    body = json.dumps(told).encode()
    moment = int(time.time())
    for header in (
        "",
        "t=",
        f"t={moment}",
        f"t={moment},v1=",
        f"t={moment},v0={signature(body).partition('v1=')[2]}",
        "v1=" + "0" * 64,
        f"t={moment},v1=" + "0" * 64,
        f"t={moment},v1=é",
        "t=²,v1=" + "0" * 64,
        f"{signature(body)},t={moment - 1}",
    ):
        assert deliver(told, **{"stripe-signature": header}) == 400, header
    assert deliver(told, **{"x-signature": signature(body)}) == 400
    assert paid_in(account) == []
    assert not PaymentEvent.objects.exists()


def test_what_somebody_else_signed_is_refused(account, told, deliver: Deliver):
    body = json.dumps(told).encode()
    for secret in (NOBODYS, "", WEBHOOK_SECRET.removeprefix("whsec_"), WEBHOOK_SECRET.lower()):
        assert deliver(told, **{"stripe-signature": signature(body, secret=secret)}) == 400
    assert paid_in(account) == []


def test_a_body_that_was_changed_is_refused(account, told, deliver: Deliver):
    signed = signature(json.dumps(told).encode())
    told["data"]["object"]["amount_total"] *= 100
    assert deliver(told, **{"stripe-signature": signed}) == 400
    assert paid_in(account) == []


@pytest.mark.parametrize("seconds", [-301, -86_400, 400, 10**9])
def test_what_was_signed_at_another_time_is_refused(account, told, deliver: Deliver, seconds):
    late = signature(json.dumps(told).encode(), at=time.time() + seconds)
    assert deliver(told, **{"stripe-signature": late}) == 400
    assert paid_in(account) == []


def test_the_time_is_part_of_what_is_signed(account, told, deliver: Deliver):
    old = signature(json.dumps(told).encode(), at=time.time() - 400)
    fresh = f"t={int(time.time())},{old.partition(',')[2]}"
    assert deliver(told, **{"stripe-signature": fresh}) == 400
    assert paid_in(account) == []


def test_while_a_secret_is_replaced_one_of_two_signatures_is_enough(
    account, told, deliver: Deliver
):
    body = json.dumps(told).encode()
    now = time.time()
    other = signature(body, secret=NOBODYS, at=now)
    both = f"{other},{signature(body, at=now).partition(',')[2]}"
    assert deliver(told, **{"stripe-signature": both}) == 200
    assert paid_in(account) == [25 * DOLLAR]


def test_without_a_secret_nothing_is_heard(account, told, deliver: Deliver, settings: LazySettings):
    """Whoever signs with nothing would be believed by whoever compares with nothing."""
    settings.MEGABRAIN_STRIPE_WEBHOOK_SECRET = ""
    body = json.dumps(told).encode()
    assert deliver(told, **{"stripe-signature": signature(body, secret="")}) == 404
    assert paid_in(account) == []


BAD_SETTINGS = {
    "no webhook secret": ({"MEGABRAIN_STRIPE_WEBHOOK_SECRET": ""}, "WEBHOOK_SECRET is missing"),
    "blank": ({"MEGABRAIN_STRIPE_WEBHOOK_SECRET": "  \n"}, "WEBHOOK_SECRET is missing"),
    "a short one": (
        {"MEGABRAIN_STRIPE_WEBHOOK_SECRET": "whsec_123"},
        "WEBHOOK_SECRET is missing or weak",
    ),
    "a dull one": (
        {"MEGABRAIN_STRIPE_WEBHOOK_SECRET": "whsec_" + "a" * 32},
        "WEBHOOK_SECRET is missing or weak",
    ),
    "something else": (
        {"MEGABRAIN_STRIPE_WEBHOOK_SECRET": "0123456789abcdef0123456789abcdef"},
        "WEBHOOK_SECRET is missing or weak",
    ),
    "no key": ({"MEGABRAIN_STRIPE_SECRET_KEY": ""}, "SECRET_KEY is missing"),
    "the publishable key": (
        {"MEGABRAIN_STRIPE_SECRET_KEY": "pk_live_0123456789"},
        "SECRET_KEY is none of Stripe's",
    ),
}


@pytest.mark.parametrize(("wrong", "said"), BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_half_a_configuration_or_a_weak_secret_stops_it_at_the_start(wrong, said):
    with tempfile.TemporaryDirectory() as home:
        ran = subprocess.run(
            [sys.executable, "manage.py", "check"],
            env={
                **environment(home),
                "MEGABRAIN_STRIPE_SECRET_KEY": "sk_live_0123456789abcdef",
                "MEGABRAIN_STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
                **wrong,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ran.returncode != 0
    assert f"MEGABRAIN_STRIPE_{said}" in ran.stderr
    assert "0123456789" not in ran.stderr.partition("ImproperlyConfigured:")[2]


def test_what_was_delivered_before_is_not_credited_again(account, told, deliver: Deliver):
    assert [deliver(told) for _ in range(3)] == [200, 200, 200]
    assert paid_in(account) == [25 * DOLLAR]
    received = AuditEvent.objects.for_account(account.pk).filter(event="billing.payment.received")
    assert received.count() == 1


def test_the_same_payment_told_by_another_event_is_not_credited_again(
    account, told, stripe, deliver: Deliver
):
    session = told["data"]["object"]
    again = stripe.event("checkout.session.async_payment_succeeded", session)
    intent = stripe.event("payment_intent.succeeded", stripe.intents[session["payment_intent"]])
    assert [deliver(event) for event in (told, again, intent)] == [200, 200, 200]
    assert paid_in(account) == [25 * DOLLAR]


@pytest.mark.parametrize(
    "lie",
    [
        {"amount_total": 2499},
        {"amount_total": 2501},
        {"amount_total": 0},
        {"amount_total": None},
        {"amount_total": "2500"},
        {"amount_total": 2500.0},
        {"amount_total": True},
        {"currency": "jpy"},
        {"currency": "USD "},
        {"currency": None},
    ],
    ids=str,
)
def test_another_amount_or_currency_is_not_credited_and_staff_see_it(
    account, payment, told, deliver: Deliver, lie
):
    told["data"]["object"] |= lie
    assert deliver(told) == 200
    assert paid_in(account) == []
    payment.refresh_from_db()
    assert payment.state == Payment.State.PENDING
    assert payment.attention


def test_what_is_not_paid_yet_is_not_credited(account, told, deliver: Deliver):
    for status in ("unpaid", "no_payment_required", None):
        told["data"]["object"]["payment_status"] = status
        assert deliver(told) == 200
    assert paid_in(account) == []
    told["data"]["object"]["payment_status"] = "paid"
    assert deliver(told) == 200, "what was of no matter did not use up the event"
    assert paid_in(account) == [25 * DOLLAR]


def test_the_checkout_of_another_account_pays_for_nothing(
    account, payment, stripe, organization, billing_manager, deliver: Deliver
):
    """Paid for one account, and made out to the payment of another."""
    theirs = begun(billing_manager, organization)
    lie = stripe.pay(theirs.reference)
    lie["data"]["object"]["metadata"] = {"payment": str(payment.pk)}
    assert deliver(lie) == 200
    assert paid_in(account) == []
    assert paid_in(organization) == []
    payment.refresh_from_db()
    assert payment.attention


@pytest.mark.parametrize("metadata", [None, {}, {"payment": "1"}, {"payment": [1]}, "text"])
def test_an_unknown_checkout_pays_for_nothing(account, told, deliver: Deliver, metadata):
    told["data"]["object"] |= {"metadata": metadata, "payment_intent": "pi_unknown"}
    assert deliver(told) == 200
    told["data"]["object"] |= {"metadata": {"payment": str(uuid.uuid4())}}
    assert deliver(told) == 200
    assert not LedgerEntry.objects.exists()


def test_a_payment_of_the_other_mode_is_refused(
    account, told, deliver: Deliver, settings: LazySettings
):
    """With a live key, test cards make no credit, and the other way round."""
    assert deliver({**told, "livemode": True}) == 400
    settings.MEGABRAIN_STRIPE_SECRET_KEY = "sk_live_0123456789abcdef"
    assert deliver(told) == 400
    assert paid_in(account) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"id": "evt_1"}', b"\xff" * 40])
def test_what_is_signed_and_no_event_is_refused(account, payment, deliver: Deliver, body):
    assert deliver(body) == 400


def test_an_event_of_another_kind_is_heard_and_changes_nothing(
    account, told, stripe, deliver: Deliver
):
    assert deliver(stripe.event("customer.created", {"id": "cus_1"})) == 200
    assert paid_in(account) == []


def test_a_long_delivery_is_not_read(told, deliver: Deliver):
    assert deliver(b" " * 300_000) == 413


def test_the_webhook_takes_nothing_but_posts(client, stripe):
    assert client.get(reverse("billing:stripe_webhook")).status_code == 405


def test_an_event_that_could_not_be_acted_upon_is_not_used_up(
    account, told, deliver: Deliver, broken_audit_log
):
    with pytest.raises(Exception, match=r"no room|refuse_events"):
        deliver(told)
    assert not PaymentEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_one_event_delivered_twenty_times_at_once_is_one_credit(
    account, payment, told, stripe, live_server
):
    stripe.webhook = live_server.url + reverse("billing:stripe_webhook")
    assert at_once(*[partial(stripe.deliver, told)] * 20) == [200] * 20
    assert paid_in(account) == [25 * DOLLAR]
    assert PaymentEvent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_twenty_events_of_one_payment_at_once_are_one_credit(
    account, payment, told, stripe, live_server
):
    """Without the note of events, the payment and the ledger each hold by themselves."""
    stripe.webhook = live_server.url + reverse("billing:stripe_webhook")
    events = [{**told, "id": f"evt_{number}"} for number in range(20)]
    assert at_once(*(partial(stripe.deliver, event) for event in events)) == [200] * 20
    assert paid_in(account) == [25 * DOLLAR]
