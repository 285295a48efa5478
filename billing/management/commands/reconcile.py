"""`reconcile`: compare every balance with its ledger, its holds and its counters."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import reconciling
from billing.mending import CannotMend, mend
from orgs.management.accounts import NAMES, account_named
from orgs.models import Account
from orgs.origin import Origin


class Command(BaseCommand):
    help = (
        "Compares every balance with its ledger, its holds and its counters; freezes those that "
        "do not agree, and exits with 1 if there are any. See docs/money.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--mend",
            metavar="ACCOUNT",
            help=(
                "First bring the wallet and the counters of this account to what its ledger and "
                f"holds come to. {NAMES[0].upper()}{NAMES[1:]}, or an account's id."
            ),
        )

    # Any: the options as argparse read them.
    def handle(self, *args: Any, **options: Any) -> None:
        if options["mend"]:
            self._mend(options["mend"])
        found = reconciling.reconcile()
        names = Account.objects.select_related("user").in_bulk(
            [drift.account_id for drift in found.drifts if drift.account_id]
        )
        for drift in found.drifts:
            account = names.get(drift.account_id) if drift.account_id else None
            name = (account.user.email if account.user else account.slug) if account else ""
            self.stdout.write(f"{name or drift.account_id or 'No account'}: {drift.what}.")
        looked = f"{found.wallets:,} balances, {found.entries:,} entries and {found.holds:,} calls"
        if found.drifts:
            raise CommandError(f"Of {looked}, {len(found.drifts):,} do not agree.")
        self.stdout.write(f"{looked}: all agree.")

    def _mend(self, name: str) -> None:
        try:
            account_id = UUID(name)  # Of one that is gone, too.
        except ValueError:
            account_id = account_named(name).pk
        try:
            changed = mend(account_id=account_id, origin=Origin.command("reconcile"))
        except CannotMend as refused:
            raise CommandError(f"Nothing was mended. {refused}") from None
        for what in changed or ["nothing was to be changed"]:
            self.stdout.write(f"Mended: {what}.")
