"""Stripe: Checkout, off-session charges and webhooks, as far as paying in needs them.

Nothing but five calls of its HTTP interface and the check of a signature, so its library is not
needed; the calls go out as those of key tests do, with one deadline and without redirects.
"""

import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import structlog

from billing.models.payments import CENT
from billing.payments.base import (
    CURRENCY,
    Buyer,
    Card,
    Charge,
    Checkout,
    Declined,
    Event,
    Forged,
    Order,
    Refused,
    Told,
    Unavailable,
)
from byok.providers.calls import USER_AGENT, UpstreamRequest
from byok.sending import CallFailed, send
from byok.vault import Secret

log = structlog.get_logger(__name__)

#: What the fields below are called and mean in.
VERSION = "2024-06-20"
SECONDS = 20.0
#: How old a signed event may be, and how far in the future, in seconds.
TOLERANCE = 300
#: The statuses of an error that is not about what was asked for: our own key, or not now. Whatever
#: else it refuses it would refuse again.
NOT_OUR_KEY = {401, 403}
NOT_NOW = {408, 409, 425, 429}
#: The same order is being dealt with, of a form that was sent twice: seconds between looks.
IN_USE = 409
PAUSES = (0.3, 0.6, 1.2)

Fields = dict[str, Any]  # Any: JSON of Stripe's.


class Stripe:
    """Valid secrets only: `billing.payments.provider` and the settings see to that."""

    name = "Stripe"

    def __init__(self, url: str, *, key: Secret, webhook_secret: Secret) -> None:
        if not webhook_secret.reveal():
            raise ValueError("Without a webhook secret, anybody could sign.")
        self._url = url
        self._key = key
        self._webhook_secret = webhook_secret
        self.live = not key.reveal().startswith(("sk_test_", "rk_test_"))

    def begin_checkout(
        self, order: Order, buyer: Buyer, *, success_url: str, cancel_url: str
    ) -> Checkout:
        asked = {
            "mode": "payment",
            "submit_type": "pay",
            "client_reference_id": str(order.id),
            "metadata[payment]": str(order.id),
            "payment_intent_data[metadata][payment]": str(order.id),
            "payment_intent_data[description]": order.description,
            "line_items[0][quantity]": "1",
            "line_items[0][price_data][currency]": CURRENCY,
            "line_items[0][price_data][unit_amount]": str(_cents(order)),
            "line_items[0][price_data][product_data][name]": order.description,
            "success_url": success_url,
            "cancel_url": cancel_url,
        }
        if buyer.saves_card:
            # Only what can be charged later without its owner.
            asked["payment_method_types[0]"] = "card"
            asked["payment_intent_data[setup_future_usage]"] = "off_session"
        if buyer.saves_card and buyer.customer:
            asked["customer"] = buyer.customer
        else:
            asked["customer_email"] = buyer.email
            if buyer.saves_card:
                asked["customer_creation"] = "always"
        session = self._call("POST", "/v1/checkout/sessions", asked, once=f"checkout-{order.id}")
        return Checkout(_text(session, "id"), _text(session, "url"))

    def charge(self, order: Order, card: Card) -> Charge:
        asked = {
            "amount": str(_cents(order)),
            "currency": CURRENCY,
            "customer": card.customer,
            "payment_method": card.id,
            "payment_method_types[0]": "card",
            "off_session": "true",
            "confirm": "true",
            "description": order.description,
            "metadata[payment]": str(order.id),
        }
        intent = self._call("POST", "/v1/payment_intents", asked, once=f"charge-{order.id}")
        paid = intent.get("status") == "succeeded"
        if not paid and intent.get("status") != "processing":
            raise Declined("The card asks for a confirmation that only its owner can give.")
        if (intent.get("amount"), intent.get("currency")) != (_cents(order), CURRENCY):
            raise Unavailable("It tells of another amount.")
        return Charge(_text(intent, "id"), paid)

    def card_of(self, intent: str) -> Card | None:
        path = f"/v1/payment_intents/{quote(intent, safe='')}?expand[]=payment_method"
        found = self._call("GET", path)
        method, customer = found.get("payment_method"), found.get("customer")
        if not isinstance(method, dict) or not isinstance(customer, str):
            return None
        card = method.get("card")
        if not isinstance(card, dict):
            return None
        brand = str(card.get("brand") or "card").replace("_", " ").title()
        return Card(customer, _text(method, "id"), f"{brand} ···· {card.get('last4')}")

    def forget(self, card: str) -> None:
        self._call("POST", f"/v1/payment_methods/{quote(card, safe='')}/detach", {})

    def read_event(self, body: bytes, signature: str) -> Event:
        self._verify(body, signature)
        try:
            event = json.loads(body)
            about = event["data"]["object"]
            told = Event(id=_text(event, "id"), kind=_text(event, "type"), told=Told.NOTHING)
            read = _read(told, about) if isinstance(about, dict) else told
        except (ValueError, KeyError, TypeError, Unavailable):
            raise Forged("It is signed, and not an event.") from None
        if bool(event.get("livemode")) != self.live:
            raise Forged("It is of the other mode: live keys hear of live payments alone.")
        return read

    def _verify(self, body: bytes, signature: str) -> None:
        """Stripe's scheme v1: HMAC-SHA-256 of the time and the body. While a secret is being
        replaced there are two signatures."""
        parts = [part.partition("=") for part in signature.split(",")]
        times = [value for name, _, value in parts if name.strip() == "t"]
        if len(times) != 1 or not (times[0].isascii() and times[0].isdigit()):
            raise Forged("It is not signed.")
        signed = times[0].encode() + b"." + body
        secret = self._webhook_secret.reveal().encode()
        expected = hmac.new(secret, signed, hashlib.sha256).hexdigest().encode()
        given = [value.encode() for name, _, value in parts if name.strip() == "v1"]
        if not any(hmac.compare_digest(expected, one) for one in given):
            raise Forged("It is signed by somebody else.")
        if abs(time.time() - int(times[0][:15])) > TOLERANCE:
            raise Forged("It was signed long ago, or a clock is wrong.")

    def _call(
        self, method: str, path: str, asked: dict[str, str] | None = None, *, once: str = ""
    ) -> Fields:
        headers = {
            "authorization": f"Bearer {self._key.reveal()}",
            "stripe-version": VERSION,
            "user-agent": USER_AGENT,
        }
        if asked is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
        if once:
            headers["idempotency-key"] = once
        body = None if asked is None else urlencode(asked).encode()
        request = UpstreamRequest(method, self._url + path, headers, body)
        try:
            answer = send(request, SECONDS)
            for pause in PAUSES:
                if answer.status != IN_USE:
                    break
                time.sleep(pause)
                answer = send(request, SECONDS)
            said = json.loads(answer.body)
        except (CallFailed, ValueError):
            log.warning("payments.stripe_unavailable", path=path.partition("?")[0])
            raise Unavailable("Stripe does not answer.") from None
        if answer.status == 200 and isinstance(said, dict):
            return said
        error = said.get("error") if isinstance(said, dict) else None
        error = error if isinstance(error, dict) else {}
        # Its message is left out: it may repeat a part of the key.
        facts = {name: error.get(name) for name in ("type", "code", "decline_code", "param")}
        log.warning("payments.stripe_refused", path=path, status=answer.status, **facts)
        if answer.status == 402:
            raise Declined(_why(error))
        if answer.status in NOT_OUR_KEY:
            log.error("payments.stripe_key_refused", status=answer.status)
            raise Unavailable("Stripe does not accept the key that MegaBrain has for it.")
        if 400 <= answer.status < 500 and answer.status not in NOT_NOW:
            raise Refused("Stripe does not accept the payment as it was asked for.")
        raise Unavailable("Stripe cannot say just now.")


#: Why a card is declined, for its owner; any other reason is a decline and no more.
_DECLINED = {
    "authentication_required": "The bank wants its owner to confirm the payment.",
    "expired_card": "The card has expired.",
    "insufficient_funds": "The card has insufficient funds.",
    "lost_card": "The bank has declined the card.",
    "stolen_card": "The bank has declined the card.",
}


def _why(error: Fields) -> str:
    for name in ("code", "decline_code"):
        if (known := _DECLINED.get(str(error.get(name)))) is not None:
            return known
    return "The bank has declined the card."


def _read(told: Event, about: Fields) -> Event:
    """What an event tells of its object, which is a session, a charge's intent, a charge, a refund
    or a dispute."""
    match told.kind:
        case "checkout.session.completed" | "checkout.session.async_payment_succeeded":
            # Completed and not paid: the bank takes days, and the other event follows.
            paid = about.get("payment_status") == "paid"
            return _of_session(told, about, Told.PAID if paid else Told.NOTHING)
        case "checkout.session.async_payment_failed":
            return _of_session(told, about, Told.FAILED)
        case "checkout.session.expired":
            return _of_session(told, about, Told.EXPIRED)
        case "payment_intent.succeeded":
            return _of_intent(told, about, Told.PAID, about.get("amount_received"))
        case "payment_intent.payment_failed":
            return _of_intent(told, about, Told.FAILED, about.get("amount"))
        case "charge.refunded":
            return Event(
                id=told.id,
                kind=told.kind,
                told=Told.REFUNDED,
                payment=_payment(about),
                intent=_optional(about, "payment_intent"),
                amount_micros=_micros(about.get("amount_refunded")),
                currency=_optional(about, "currency"),
            )
        case "refund.failed" | "charge.refund.updated" if about.get("status") == "failed":
            return _of_charge(told, about, Told.REFUND_FAILED)
        case "charge.dispute.created":
            return _of_charge(told, about, Told.DISPUTED)
        case "charge.dispute.closed":
            # Otherwise it was won, or only asked about.
            lost = about.get("status") == "lost"
            return _of_charge(told, about, Told.DISPUTE_LOST if lost else Told.DISPUTE_WON)
    return told


def _of_session(told: Event, session: Fields, what: Told) -> Event:
    return Event(
        id=told.id,
        kind=told.kind,
        told=what,
        payment=_payment(session),
        reference=_text(session, "id"),
        at_checkout=True,
        intent=_optional(session, "payment_intent"),
        amount_micros=_micros(session.get("amount_total")),
        currency=_optional(session, "currency"),
    )


def _of_intent(told: Event, intent: Fields, what: Told, cents: object) -> Event:
    return Event(
        id=told.id,
        kind=told.kind,
        told=what,
        payment=_payment(intent),
        reference=_text(intent, "id"),
        intent=_text(intent, "id"),
        amount_micros=_micros(cents),
        currency=_optional(intent, "currency"),
    )


def _of_charge(told: Event, about: Fields, what: Told) -> Event:
    """Of a dispute or a refund, which name the charge's intent and nothing of ours."""
    return Event(
        id=told.id,
        kind=told.kind,
        told=what,
        reference=_optional(about, "id"),
        intent=_optional(about, "payment_intent"),
        amount_micros=_micros(about.get("amount")),
        currency=_optional(about, "currency"),
    )


def _payment(about: Fields) -> UUID | None:
    """Our payment that a thing of Stripe's names. Whatever else it names is none of ours."""
    metadata = about.get("metadata")
    try:
        return UUID(metadata["payment"]) if isinstance(metadata, dict) else None
    except (KeyError, ValueError, AttributeError, TypeError):
        return None


def _text(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise Unavailable(f"There is no {name}.")
    return value


def _optional(fields: Fields, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _micros(cents: object) -> int:
    return cents * CENT if isinstance(cents, int) and not isinstance(cents, bool) else -1


def _cents(order: Order) -> int:
    cents, rest = divmod(order.amount_micros, CENT)
    if rest:
        raise ValueError("A payment is of whole cents.")
    return cents
