"""`add_key`: store a provider key for an account, read from standard input."""

import getpass
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from byok.actions import AccountGone, KeyAlreadyExists, add_key
from byok.providers import PROVIDERS
from byok.providers.base import Provider, UnusableSecret
from byok.vault import Secret
from orgs.management.accounts import account_named, add_account_option
from orgs.origin import Origin


class Command(BaseCommand):
    help = "Stores a provider key, read from standard input: add_key … < file, or typed unseen."

    def add_arguments(self, parser: CommandParser) -> None:
        add_account_option(parser)
        parser.add_argument("--provider", required=True, choices=PROVIDERS)

    # Any: the options as argparse read them.
    def handle(self, *args: Any, **options: Any) -> None:
        provider = PROVIDERS[options["provider"]]
        account = account_named(options["account"])
        secret = secret_from_input(provider)
        for doubt in provider.warnings(secret.reveal()):
            self.stderr.write(f"Warning: {doubt}")
        try:
            key = add_key(
                actor=None,
                account=account,
                provider=provider.id,
                secret=secret,
                origin=Origin.command("add_key"),
            )
        except KeyAlreadyExists:
            raise CommandError(f"{account} has a key for {provider.name} already.") from None
        except AccountGone:
            raise CommandError(f"{account} was deleted meanwhile.") from None
        self.stdout.write(f"Stored the {provider.name} key of {account} as {key.pk}.")


def secret_from_input(provider: Provider) -> Secret:
    """What was typed or piped in, as the site's form would take it. Raises CommandError."""
    typed = sys.stdin.isatty()
    what = "credentials, as JSON on one line" if provider.kind == "aws" else "key"
    text = getpass.getpass(f"{provider.name} {what}: ") if typed else sys.stdin.read()
    try:
        return Secret(provider.clean(text))
    except UnusableSecret as unusable:
        reason = str(unusable)
    raise CommandError(reason)
