"""`create_org`: an organization, with a person who has an account as its owner."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from orgs.actions import SlugTaken, TooManyOrganizations, UnusableSlug, create_organization
from orgs.forms.fields import NameField
from orgs.models import User
from orgs.models.accounts import NAME_LENGTH
from orgs.origin import Origin


class Command(BaseCommand):
    help = (
        "Creates an organization and prints its slug, alone on the last line of standard output: "
        "SLUG=$(manage.py create_org … | tail -n 1)"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", required=True, help="What its members call it.")
        parser.add_argument("--owner", required=True, help="The e-mail address of its owner.")
        parser.add_argument("--slug", default="", help="Else one is made from the name.")

    # Any: the options as argparse read them.
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            name = NameField(max_length=NAME_LENGTH).clean(options["name"])
        except ValidationError as error:
            raise CommandError(f"--name: {' '.join(error.messages)}") from None
        email = options["owner"].strip().lower()
        owner = User.objects.filter(email=email, is_active=True).first()
        if owner is None:
            raise CommandError(f"Nobody who can sign in has an account with {options['owner']}.")
        try:
            account = create_organization(
                actor=None,
                owner=owner,
                name=name,
                slug=options["slug"].strip(),
                origin=Origin.command("create_org"),
            )
        except UnusableSlug as error:
            raise CommandError(f"--slug: {error}") from None
        except SlugTaken:
            raise CommandError("--slug: Another organization has it. Choose another.") from None
        except TooManyOrganizations as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Created the organization “{account}” of {owner}.")
        self.stdout.write(account.slug)
