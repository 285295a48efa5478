"""The seam between MegaBrain and a company that takes payments.

A provider is something that can do what `Provider` says. It keeps nothing and decides nothing:
what its words mean for a balance is in `billing.payments.hearing`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

#: The one currency of balances.
CURRENCY = "usd"


class Forged(Exception):
    """What was delivered is not a word of the provider, or an old one. Nothing was read from it."""


class Unavailable(Exception):
    """The provider gave no answer about what it was asked. To ask again later is safe."""


class Refused(Exception):
    """The provider does not do it, and would not do it later. Its text is for people."""


class Declined(Refused):
    """The card was not charged, for a reason that its owner can mend."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be paid. `id` stands for it: the same order given twice is one."""

    id: UUID
    amount_micros: int
    description: str


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who is at the checkout; a `customer` that the provider knows already, or an empty text."""

    email: str
    customer: str
    saves_card: bool


@dataclass(frozen=True, slots=True)
class Checkout:
    """A page of the provider's where an order is paid."""

    reference: str
    url: str


@dataclass(frozen=True, slots=True)
class Card:
    """A card that the provider keeps: its ids of customer and card, and what people call it."""

    customer: str
    id: str
    label: str


@dataclass(frozen=True, slots=True)
class Charge:
    """A card was charged; not `paid` while the provider waits for the bank."""

    reference: str
    paid: bool


class Told(StrEnum):
    """What an event tells."""

    PAID = "paid"
    FAILED = "failed"
    EXPIRED = "expired"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"
    DISPUTED = "disputed"
    DISPUTE_WON = "dispute_won"
    DISPUTE_LOST = "dispute_lost"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Event:
    """A word of the provider whose signature was verified."""

    id: str
    kind: str
    told: Told
    #: The order that it says it is about, if it names one.
    payment: UUID | None = None
    #: Of the checkout, of the charge where there was no checkout (`at_checkout` says which), or of
    #: a refund that failed.
    reference: str = ""
    at_checkout: bool = False
    intent: str = ""
    #: What was paid, or is disputed; all that was refunded so far, or what was not after all. -1 if
    #: it does not say.
    amount_micros: int = -1
    currency: str = ""


class Provider(Protocol):
    name: str
    #: Whether money moves; otherwise only test cards work.
    live: bool

    def begin_checkout(
        self, order: Order, buyer: Buyer, *, success_url: str, cancel_url: str
    ) -> Checkout:
        """A page where the order is paid; the same one for the same order. Raises Unavailable and
        Refused."""

    def read_event(self, body: bytes, signature: str) -> Event:
        """What was delivered. Raises Forged."""

    def charge(self, order: Order, card: Card) -> Charge:
        """Charge a kept card while its owner is away, once for an order. Raises Unavailable,
        Declined and Refused."""

    def card_of(self, intent: str) -> Card | None:
        """The card that a payment kept. Raises Unavailable and Refused."""

    def forget(self, card: str) -> None:
        """Keep that card no longer. Raises Unavailable and Refused."""
