"""The account a command is about, as operators name one."""

from django.core.management.base import CommandError, CommandParser

from orgs.models import Account

NAMES = "a user's e-mail, an organization's slug, or platform"


def add_account_option(parser: CommandParser) -> None:
    parser.add_argument("--account", required=True, help=f"{NAMES[0].upper()}{NAMES[1:]}.")


def account_named(name: str) -> Account:
    """Raises CommandError, which says how accounts are named."""
    try:
        return Account.objects.named(name)
    except Account.DoesNotExist:
        raise CommandError(f"There is no account {name!r}: --account takes {NAMES}.") from None
