"""Stripe as far as payments use it, over HTTP on this machine: checkouts, charges, signed webhooks.

A stand-in that is strict where Stripe is: keys, parameters, whole cents, idempotency. What it tells
is signed as Stripe signs and delivered over TCP, to whatever address a test names.
"""

import hashlib
import hmac
import html
import itertools
import json
import re
import secrets
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import requests

KEY = "sk_test_" + "4eC39HqLyjWDarjtT1zdp7dc"
WEBHOOK_SECRET = "whsec_" + "q8ZpT3vX1mK7sYd0RfB5nJ2wLhC6uGaE"

Fields = dict[str, Any]  # Any: JSON of Stripe's.
#: The cards of Stripe's own documentation, and what comes of charging each without its owner.
GOOD, DECLINES_LATER, ASKS_LATER = "4242424242424242", "4000000000000341", "4000002760003184"
CARDS = {
    GOOD: ("pm_good", ""),
    DECLINES_LATER: ("pm_declines", "card_declined"),
    ASKS_LATER: ("pm_asks", "authentication_required"),
}


@dataclass(frozen=True)
class Asked:
    """A call that reached it."""

    method: str
    path: str
    fields: dict[str, str]
    once: str


def signature(body: bytes, *, secret: str = WEBHOOK_SECRET, at: float | None = None) -> str:
    """The header of a delivery."""
    moment = str(int(time.time() if at is None else at))
    signed = moment.encode() + b"." + body
    return f"t={moment},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


class FakeStripe(ThreadingHTTPServer):
    """`fails` is a status to answer instead; with `loses` it does what it is asked, and the answer
    is lost; while `opens` is not set, it has the call and does not answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls: list[Asked] = []
        self.fails: int | None = None
        self.loses = False
        self.opens = threading.Event()
        self.opens.set()
        self.webhook = ""
        self.sessions: dict[str, Fields] = {}
        self.intents: dict[str, Fields] = {}
        self.answered: dict[str, tuple[dict[str, str], int, Fields]] = {}
        self.detached: list[str] = []
        self.lock = threading.Lock()
        self.numbers = itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(self.numbers)}{secrets.token_hex(8)}"

    def charges(self) -> list[Asked]:
        return [call for call in self.calls if call.path == "/v1/payment_intents"]

    # What people do at its pages ---------------------------------------------------------------

    def pay(self, session_id: str, card: str = GOOD) -> Fields:
        """The buyer pays at the checkout; the event that tells of it, not delivered yet."""
        session = self.sessions[session_id]
        intent = self.new_id("pi")
        customer = session["customer"] or (
            self.new_id("cus") if session["customer_creation"] == "always" else None
        )
        self.intents[intent] = {
            "id": intent,
            "object": "payment_intent",
            "amount": session["amount_total"],
            "amount_received": session["amount_total"],
            "currency": session["currency"],
            "customer": customer,
            "payment_method": CARDS[card][0],
            "last4": card[-4:],
            "metadata": session["metadata"],
            "status": "succeeded",
        }
        session |= {
            "status": "complete",
            "payment_status": "paid",
            "payment_intent": intent,
            "customer": customer,
        }
        return self.event("checkout.session.completed", session)

    def expire(self, session_id: str) -> Fields:
        self.sessions[session_id]["status"] = "expired"
        return self.event("checkout.session.expired", self.sessions[session_id])

    def refund(self, intent: str, cents: int) -> Fields:
        """`cents` is all that was refunded so far."""
        charge = {
            "id": self.new_id("ch"),
            "object": "charge",
            "payment_intent": intent,
            "amount_refunded": cents,
            "currency": "usd",
            "metadata": self.intents[intent]["metadata"],
        }
        return self.event("charge.refunded", charge)

    def refund_failed(self, intent: str, cents: int, name: str = "refund.failed") -> Fields:
        refund = {
            "id": f"re_of_{intent}",
            "object": "refund",
            "payment_intent": intent,
            "amount": cents,
            "currency": "usd",
            "status": "failed",
            "failure_reason": "lost_or_stolen_card",
            "metadata": {},
        }
        return self.event(name, refund)

    def dispute(self, intent: str) -> Fields:
        return self.event("charge.dispute.created", self.about_dispute(intent, "needs_response"))

    def dispute_closed(self, intent: str, status: str) -> Fields:
        """`won`, `lost` or `warning_closed`."""
        return self.event("charge.dispute.closed", self.about_dispute(intent, status))

    def about_dispute(self, intent: str, status: str) -> Fields:
        return {
            "id": f"dp_of_{intent}",
            "object": "dispute",
            "payment_intent": intent,
            "amount": self.intents[intent]["amount"],
            "currency": "usd",
            "status": status,
            "metadata": {},
        }

    def event(self, kind: str, about: Fields) -> Fields:
        return {
            "id": self.new_id("evt"),
            "object": "event",
            "type": kind,
            "livemode": False,
            "created": int(time.time()),
            "data": {"object": json.loads(json.dumps(about))},
        }

    def deliver(self, event: Fields) -> int:
        """Tell the webhook over TCP; the status of its answer."""
        body = json.dumps(event).encode()
        answer = requests.post(
            self.webhook,
            data=body,
            headers={
                "Content-Type": "application/json",
                "Stripe-Signature": signature(body),
                "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            },
            timeout=60,
        )
        return answer.status_code

    # What is asked of its interface ------------------------------------------------------------

    def checkout(self, asked: dict[str, str]) -> tuple[int, Fields]:
        if asked.get("mode") != "payment" or asked.get("line_items[0][quantity]") != "1":
            return refusal(400, "parameter_missing", param="line_items")
        if asked.get("customer") and asked.get("customer_email"):
            return refusal(400, "parameter_invalid", param="customer_email")
        reference = self.new_id("cs_test")
        self.sessions[reference] = {
            "id": reference,
            "object": "checkout.session",
            "amount_total": int(asked["line_items[0][price_data][unit_amount]"]),
            "currency": asked["line_items[0][price_data][currency]"],
            "client_reference_id": asked["client_reference_id"],
            "metadata": {"payment": asked["metadata[payment]"]},
            "customer": asked.get("customer"),
            "customer_creation": asked.get("customer_creation", "if_required"),
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "success_url": asked["success_url"],
            "cancel_url": asked["cancel_url"],
            "url": f"{self.url}/c/pay/{reference}",
        }
        return 200, self.sessions[reference]

    def charge(self, asked: dict[str, str]) -> tuple[int, Fields]:
        if asked.get("off_session") != "true" or asked.get("confirm") != "true":
            return refusal(400, "parameter_missing", param="off_session")
        intent = {
            "id": self.new_id("pi"),
            "object": "payment_intent",
            "amount": int(asked["amount"]),
            "amount_received": int(asked["amount"]),
            "currency": asked["currency"],
            "customer": asked["customer"],
            "payment_method": asked["payment_method"],
            "metadata": {"payment": asked["metadata[payment]"]},
            "status": "succeeded",
        }
        problem = dict(CARDS.values()).get(asked["payment_method"])
        if problem is None:
            return refusal(400, "resource_missing", param="payment_method")
        self.intents[str(intent["id"])] = intent
        if problem:
            intent |= {"status": "requires_payment_method", "amount_received": 0}
            return refusal(402, problem, kind="card_error")
        return 200, intent

    def intent(self, intent_id: str) -> tuple[int, Fields]:
        found = self.intents.get(intent_id)
        if found is None:
            return refusal(404, "resource_missing", param="intent")
        card = {"brand": "visa", "last4": found.get("last4", "4242")}
        return 200, {**found, "payment_method": {"id": found["payment_method"], "card": card}}


def refusal(
    status: int, code: str, *, kind: str = "invalid_request_error", param: str = ""
) -> tuple[int, Fields]:
    return status, {"error": {"type": kind, "code": code, "param": param, "message": "Told so."}}


class Handler(BaseHTTPRequestHandler):
    server: FakeStripe
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        if place.path.startswith("/c/pay/"):
            self.page(self.server.sessions[place.path.removeprefix("/c/pay/")])
        elif place.path == "/favicon.ico":
            self.answer(204, b"", "image/x-icon")
        else:
            self.interface("GET", place.path, {}, parse_qs(place.query))

    def do_POST(self) -> None:
        place = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        fields = dict(parse_qsl(body, keep_blank_values=True))
        if place.path.startswith("/c/pay/"):
            self.paid(place.path.removeprefix("/c/pay/"), fields)
        else:
            self.interface("POST", place.path, fields, {})

    def interface(
        self, method: str, path: str, fields: dict[str, str], query: dict[str, list[str]]
    ) -> None:
        stripe, once = self.server, self.headers.get("Idempotency-Key", "")
        stripe.calls.append(Asked(method, path, fields, once))
        stripe.opens.wait(30)
        with stripe.lock:
            if self.headers.get("Authorization") != f"Bearer {KEY}":
                return self.json(*refusal(401, "api_key_invalid"))
            if not self.headers.get("Stripe-Version"):
                return self.json(*refusal(400, "version_missing"))
            if stripe.fails:
                return self.json(*refusal(stripe.fails, "told_to_fail", kind="api_error"))
            before = stripe.answered.get(once)
            if once and before:
                if before[0] != fields:
                    return self.json(*refusal(400, "reused", kind="idempotency_error"))
                return self.json(*before[1:])
            status, said = self.act(method, path, fields)
            if once:
                stripe.answered[once] = (fields, status, said)
            return self.json(status, said)

    def act(self, method: str, path: str, fields: dict[str, str]) -> tuple[int, Fields]:
        stripe = self.server
        if (method, path) == ("POST", "/v1/checkout/sessions"):
            return stripe.checkout(fields)
        if (method, path) == ("POST", "/v1/payment_intents"):
            return stripe.charge(fields)
        if method == "GET" and path.startswith("/v1/payment_intents/"):
            return stripe.intent(path.rpartition("/")[2])
        if found := re.fullmatch("/v1/payment_methods/([a-z_]+)/detach", path):
            stripe.detached.append(found[1])
            return 200, {"id": found[1]}
        return refusal(404, "unknown_path")

    def page(self, session: Fields) -> None:
        """The hosted checkout, as plain as can be."""
        cents = session["amount_total"]
        back = html.escape(session["cancel_url"])
        text = (
            f"<!doctype html><html lang=en><title>Checkout</title><h1>Checkout</h1>"
            f"<p>{session['currency'].upper()} {cents // 100}.{cents % 100:02}</p>"
            f"<form method=post><label>Card <input name=card value={GOOD}></label>"
            f'<button>Pay</button></form><a href="{back}">Back</a>'
        )
        self.answer(200, text.encode(), "text/html; charset=utf-8")

    def paid(self, session_id: str, fields: dict[str, str]) -> None:
        event = self.server.pay(session_id, fields["card"])
        if self.server.webhook:
            threading.Thread(target=self.server.deliver, args=(event,), daemon=True).start()
        self.send_response(303)
        self.send_header("Location", self.server.sessions[session_id]["success_url"])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def json(self, status: int, content: Fields) -> None:
        if self.server.loses:
            self.close_connection = True
            return
        self.answer(status, json.dumps(content).encode(), "application/json")

    def answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""
