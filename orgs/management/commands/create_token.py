"""`create_token`: an API token of a user, printed once."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from orgs.actions import TooManyTokens, create_token
from orgs.forms.fields import NameField
from orgs.models import Account, User
from orgs.models.tokens import NAME_LENGTH
from orgs.origin import Origin
from orgs.permissions import NotPermitted


class Command(BaseCommand):
    help = (
        "Creates an API token for a user and prints it once, alone on the last line of standard "
        "output: TOKEN=$(manage.py create_token … | tail -n 1)"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True, help="Whose token it is.")
        parser.add_argument(
            "--org", help="The slug of the organization it is for; else the personal account."
        )
        parser.add_argument("--name", required=True, help="What will use it.")

    # Any: the options as argparse read them.
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            name = NameField(max_length=NAME_LENGTH).clean(options["name"])
        except ValidationError as error:
            raise CommandError(f"--name: {' '.join(error.messages)}") from None
        user = User.objects.filter(email=options["email"].strip().lower()).first()
        if user is None:
            raise CommandError(f"Nobody has an account with {options['email']}.")
        account = account_of(user, options["org"])
        try:
            token, text = create_token(
                actor=user, account=account, name=name, origin=Origin.command("create_token")
            )
        except NotPermitted:
            raise CommandError(
                f"{user} may not use {account}: not a member, or shut out."
            ) from None
        except TooManyTokens as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Created the API token “{token.name}” of {user} in {account}.")
        self.stdout.write(text)


def account_of(user: User, slug: str | None) -> Account:
    if slug is None:
        return user.account
    try:
        return Account.objects.get(kind=Account.Kind.ORGANIZATION, slug=slug)
    except Account.DoesNotExist:
        raise CommandError(f"There is no organization {slug!r}.") from None
