"""`take_credit`: take back what was given wrongly, once for each idempotency key."""

from billing.actions import take_credit
from billing.management.commands import grant_credit


class Command(grant_credit.Command):
    help = (
        "Takes credit that was given wrongly back from an account's balance, as far as it is "
        "available. Done again with the same idempotency key it changes nothing."
    )
    name = "take_credit"
    action = staticmethod(take_credit)

    def said(self, amount: str) -> str:
        return f"{amount} were taken from"
