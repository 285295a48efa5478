"""`create_user`: a person who can sign in, with a password read from standard input."""

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from orgs.actions import EmailTaken, create_user
from orgs.forms.fields import NameField
from orgs.models import User
from orgs.origin import Origin


class Command(BaseCommand):
    help = (
        "Creates a user with a personal account; the e-mail address counts as verified. The "
        "password is asked for, or read from standard input with --password-stdin."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--name", default="", help="How the site calls this person.")
        parser.add_argument("--staff", action="store_true", help="May manage the installation.")
        parser.add_argument("--password-stdin", action="store_true")

    # Any: the options as argparse read them.
    def handle(self, *args: Any, **options: Any) -> None:
        email = options["email"].strip()
        password = password_from_input(piped=options["password_stdin"])
        try:
            name = NameField(max_length=100, required=False).clean(options["name"])
            validate_email(email)
            validate_password(password, User(email=email, name=name))
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        try:
            user = create_user(
                email=email,
                password=password,
                name=name,
                is_staff=options["staff"],
                email_verified=True,
                origin=Origin.command("create_user"),
            )
        except EmailTaken:
            raise CommandError(f"{email} has an account already.") from None
        self.stdout.write(f"Created {user}{', a member of staff' if user.is_staff else ''}.")


def password_from_input(*, piped: bool) -> str:
    """The first line of standard input, or what is typed twice alike. Raises CommandError."""
    if piped:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise CommandError("Pass --password-stdin to read the password from standard input.")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Again: "):
        raise CommandError("The two passwords differ.")
    return password
