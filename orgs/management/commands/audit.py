"""`audit verify`: whether every chain of the audit log is as it was written."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from orgs.chain import verify
from orgs.models import Account


class Command(BaseCommand):
    help = "Works on the audit log. See docs/audit.md."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="verify")
        one = actions.add_parser(
            "verify",
            help="Look for edits, gaps, swaps and cut-off ends; exit with 1 if there are any.",
        )
        one.add_argument(
            "--account", help="A user's e-mail, an organization's slug, or platform; else all."
        )

    # Any: the options as argparse read them.
    def handle(self, *args: Any, **options: Any) -> None:
        chains = events = broken = 0
        for chain in verify(self._account_id(options["account"])):
            chains += 1
            events += chain.events
            if chain.fault:
                broken += 1
                self.stdout.write(
                    f"Account {chain.account_id}, event {chain.first_bad}: {chain.fault}."
                )
        if broken:
            raise CommandError(
                f"{broken} of {chains} chains {'is' if broken == 1 else 'are'} not as written."
            )
        self.stdout.write(
            f"{events} event{'' if events == 1 else 's'} in {chains} "
            f"chain{'' if chains == 1 else 's'}: all as written."
        )

    def _account_id(self, name: str | None) -> Any:  # Any: a UUID or None.
        if name is None:
            return None
        try:
            return Account.objects.named(name).pk
        except Account.DoesNotExist:
            raise CommandError(f"There is no account {name!r}.") from None
