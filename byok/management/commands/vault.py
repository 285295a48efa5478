"""`manage.py vault`: look after the vault keys. docs/vault.md says when to use which."""

from argparse import ArgumentParser
from collections import Counter
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseFailure

from byok.models import VaultKey
from byok.vault import CannotSeal, KeyInUse, KeyringError, rotation, verify_keyring
from byok.vault.keyring import current_keyring

LISTED = 20  # rows named one by one; the rest are counted


class Command(BaseCommand):
    help = "Shows, rotates and retires the keys that provider secrets are sealed under."
    requires_system_checks = []  # It is needed most when something is wrong.

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        commands.add_parser("verify", help="whether a server would start with these vault keys")
        commands.add_parser("status", help="rows by vault key, and the rows that do not open")
        rewrap = commands.add_parser("rewrap", help="bring every row under the first vault key")
        reencrypt = commands.add_parser(
            "reencrypt", help="seal every secret afresh, after a suspected leak"
        )
        for rotation_ in (rewrap, reencrypt):
            rotation_.add_argument(
                "--batch", type=int, default=rotation.BATCH, help="rows in one transaction"
            )
        retire = commands.add_parser("retire", help="stop using a vault key that no row needs")
        retire.add_argument("key_id")

    # Any: whatever argparse was told.
    def handle(self, *args: Any, command: str, **options: Any) -> None:
        try:
            match command:
                case "verify":
                    verify_keyring()
                case "status":
                    self.status()
                case "rewrap":
                    self.report("brought under", rotation.rewrap_all(batch=options["batch"]))
                case "reencrypt":
                    self.report(
                        "sealed afresh under", rotation.reencrypt_all(batch=options["batch"])
                    )
                case "retire":
                    self.retire(options["key_id"])
        except (CannotSeal, KeyInUse, KeyringError) as failure:
            raise CommandError(str(failure)) from None
        except DatabaseFailure as failure:
            raise CommandError(f"The database cannot be used: {failure}") from None

    def status(self) -> None:
        rows = rotation.rows_by_key()
        keyring = current_keyring()
        registered = {entry.key_id: entry for entry in VaultKey.objects.order_by("key_id")}
        configured = [key.id for key in keyring.keys]
        for key_id in [*configured, *sorted((registered.keys() | rows.keys()) - set(configured))]:
            state = "configured" if key_id in configured else "NOT CONFIGURED"
            if key_id == keyring.primary.id:
                state = "first: seals what is saved"
            entry = registered.get(key_id)
            if entry and entry.retired_at:
                state = f"retired {entry.retired_at:%Y-%m-%d}, {state}"
            self.stdout.write(f"{key_id}  {rows[key_id]} values  {state}")
            if entry and entry.reencrypted_up_to:
                self.stdout.write("  vault reencrypt was interrupted: start it again to go on.")
        self.list_closed(list(rotation.closed_rows()))

    def report(self, what: str, tally: rotation.Tally) -> None:
        primary = current_keyring().primary.id
        self.stdout.write(f"{tally.written} values {what} {primary}.")
        self.list_closed(tally.closed)
        if tally.unfinished:
            raise CommandError(
                f"{tally.unfinished} values were written under another key meanwhile: restart "
                f"every process with {primary} as the first key, then run this again."
            )
        if tally.closed:
            raise CommandError(f"{len(tally.closed)} values were left as they are.")

    def list_closed(self, rows: list[rotation.Closed]) -> None:
        if not rows:
            self.stdout.write("Every value opens.")
            return
        names = rotation.key_names()
        reasons = Counter((rotation.key_name(row.header, names), row.reason) for row in rows)
        for (key_id, reason), count in reasons.items():
            self.stdout.write(f"{count} values under {key_id} do not open. {reason.sentence}")
        for row in islice(rows, LISTED):
            self.stdout.write(f"  {row.table} {row.row_id}: {row.reason}")
        if len(rows) > LISTED:
            self.stdout.write(f"  and {len(rows) - LISTED} more")

    def retire(self, key_id: str) -> None:
        try:
            rotation.retire(key_id)
        except VaultKey.DoesNotExist:
            raise CommandError(f"No key {key_id} has ever been used here.") from None
        self.stdout.write(f"{key_id} is retired: remove it from MEGABRAIN_VAULT_KEYS.")
