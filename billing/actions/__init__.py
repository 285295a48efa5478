"""What people and MegaBrain itself do to balances: each change with its event, or not at all."""

from billing.actions.alerts import change_alert
from billing.actions.credits import UnusableKey, grant_credit, take_credit
from billing.actions.freezing import freeze, note_drift, unfreeze
from billing.ledger import KeyReused, NotEnough, TooMuch

__all__ = [
    "KeyReused",
    "NotEnough",
    "TooMuch",
    "UnusableKey",
    "change_alert",
    "freeze",
    "grant_credit",
    "note_drift",
    "take_credit",
    "unfreeze",
]
