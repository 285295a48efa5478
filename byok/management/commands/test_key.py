"""`test_key`: try a stored provider key now, without waiting for a worker, and say what came."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from byok.actions import KeyGone, TooManyTests, request_test
from byok.catalogue.coverage import learn
from byok.key_tests import RUN_LIMIT, perform
from byok.models import KeyTest, ProviderKey
from byok.providers import PROVIDERS, name_of
from orgs.management.accounts import account_named, add_account_option
from orgs.origin import Origin


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        add_account_option(parser)
        parser.add_argument("--provider", required=True, choices=PROVIDERS)

    # Any: the options as argparse read them.
    def handle(self, *args: Any, **options: Any) -> None:
        key = stored_key(options["account"], options["provider"])
        try:
            test = request_test(actor=None, key=key, origin=Origin.command("test_key"))
        except TooManyTests as error:
            raise CommandError(str(error)) from None
        except KeyGone:
            raise CommandError("The key was deleted meanwhile.") from None
        passed = perform(test.pk)
        finished = awaited(test)
        if finished.state != KeyTest.State.PASSED:
            raise CommandError(finished.message)
        self.stdout.write(finished.message)
        if passed is not None:
            learn(passed)


def stored_key(account_name: str, provider: str) -> ProviderKey:
    account = account_named(account_name)
    key = ProviderKey.objects.for_account(account).filter(provider=provider).first()
    if key is None:
        raise CommandError(f"{account} has no key for {name_of(provider)}. `add_key` stores one.")
    return key


def awaited(test: KeyTest) -> KeyTest:
    """The finished test: a worker may have taken it up before this process did."""
    until = time.monotonic() + RUN_LIMIT.total_seconds()
    while time.monotonic() < until:
        test.refresh_from_db()
        if test.is_finished:
            return test
        time.sleep(0.2)
    raise CommandError("A worker took this test up and has not finished it. Try again.")
