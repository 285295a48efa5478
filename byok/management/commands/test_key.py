"""`test_key`: try a stored provider key now, without waiting for a worker, and say what came."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from byok.actions import TooManyTests, request_test
from byok.key_tests import RUN_LIMIT, perform
from byok.models import KeyTest, ProviderKey
from byok.providers import PROVIDERS
from orgs.models import Account
from orgs.origin import Origin


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--account", required=True, help="A user's e-mail, an organization's slug, or platform."
        )
        parser.add_argument("--provider", required=True, choices=PROVIDERS)

    # Any: the options as argparse read them.
    def handle(self, *args: Any, **options: Any) -> None:
        key = stored_key(options["account"], options["provider"])
        try:
            test = request_test(actor=None, key=key, origin=Origin.command("test_key"))
        except TooManyTests as error:
            raise CommandError(str(error)) from None
        perform(test.pk)
        finished = awaited(test)
        if finished.state != KeyTest.State.PASSED:
            raise CommandError(finished.message)
        self.stdout.write(finished.message)


def stored_key(account_name: str, provider: str) -> ProviderKey:
    try:
        account = Account.objects.named(account_name)
        return ProviderKey.objects.for_account(account).get(provider=provider)
    except Account.DoesNotExist:
        raise CommandError(f"There is no account {account_name!r}.") from None
    except ProviderKey.DoesNotExist:
        raise CommandError(f"{account_name} has no {provider} key.") from None


def awaited(test: KeyTest) -> KeyTest:
    """The finished test: a worker may have taken it up before this process did."""
    until = time.monotonic() + RUN_LIMIT.total_seconds()
    while time.monotonic() < until:
        test.refresh_from_db()
        if test.is_finished:
            return test
        time.sleep(0.2)
    raise CommandError("A worker took this test up and has not finished it. Try again.")
