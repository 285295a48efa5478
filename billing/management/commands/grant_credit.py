"""`grant_credit`: add to an account's balance, once for each idempotency key."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.actions import KeyReused, NotEnough, TooMuch, UnusableKey, grant_credit
from billing.ledger import NOTE_LENGTH
from billing.models import Wallet
from orgs.forms.fields import NameField
from orgs.management.accounts import account_named, add_account_option
from orgs.money import NotDollars, dollars, micros_in
from orgs.origin import Origin


class Command(BaseCommand):
    help = (
        "Adds credit to an account's balance. Done again with the same idempotency key it changes "
        "nothing, so that it may be tried again after any failure."
    )
    name = "grant_credit"
    action = staticmethod(grant_credit)

    def add_arguments(self, parser: CommandParser) -> None:
        add_account_option(parser)
        parser.add_argument(
            "--usd", required=True, help="Dollars, with up to six decimals, such as 20 or 2.50."
        )
        parser.add_argument(
            "--idempotency-key", required=True, help="What this, and nothing else, is called."
        )
        parser.add_argument("--note", default="", help="What it is for; the account sees it.")

    # Any: the options as argparse read them.
    def handle(self, *args: Any, **options: Any) -> None:
        account = account_named(options["account"])
        try:
            amount = micros_in(options["usd"])
        except NotDollars as error:
            raise CommandError(f"--usd: {error}") from None
        if not amount:
            raise CommandError("--usd: Enter more than nothing.")
        try:
            note = NameField(required=False, max_length=NOTE_LENGTH).clean(options["note"])
        except ValidationError as error:
            raise CommandError(f"--note: {' '.join(error.messages)}") from None
        try:
            entry = self.action(
                actor=None,
                account=account,
                amount_micros=amount,
                idempotency_key=options["idempotency_key"],
                note=note,
                origin=Origin.command(self.name),
            )
        except UnusableKey as error:
            raise CommandError(f"--idempotency-key: {error}") from None
        except KeyReused:
            raise CommandError(
                "--idempotency-key: It was used for another account, amount or note. Nothing was "
                "changed."
            ) from None
        except TooMuch as error:
            raise CommandError(f"Nothing was added. {error}") from None
        except NotEnough as error:
            available = dollars(error.available_micros)
            raise CommandError(f"Nothing was taken. {available} is available.") from None
        balance = Wallet.objects.get(pk=account.pk).posted_micros
        self.stdout.write(
            f"{self.said(dollars(abs(entry.amount_micros)))} the balance of {account}, by entry "
            f"{entry.number} of its ledger. It is {dollars(balance)} now."
        )

    def said(self, amount: str) -> str:
        return f"{amount} are in"
