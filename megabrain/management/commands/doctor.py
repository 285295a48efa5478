"""`manage.py doctor`: look over the installation, and say what to do."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from megabrain.doctor import CHECKS, examine


class Command(BaseCommand):
    help = (
        "Checks configuration, database, Redis, vault, queue, clock, catalogue, balances and "
        "providers. Changes nothing; ends with an error if something is wrong."
    )
    requires_system_checks = []  # It makes them itself, and goes on when they fail.

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "names", nargs="*", metavar="check", help=f"only these: {', '.join(CHECKS)}"
        )

    # Any: whatever argparse was told.
    def handle(self, *args: Any, names: list[str], **options: Any) -> None:
        if unknown := [name for name in names if name not in CHECKS]:
            raise CommandError(f"No check is called {unknown[0]}. There are {', '.join(CHECKS)}.")
        wrong = 0
        for finding in examine(*names):
            mark = self.style.SUCCESS("ok   ") if finding.sound else self.style.ERROR("WRONG")
            self.stdout.write(f"{mark}  {finding.name:<13}  {finding.sentence}")
            wrong += not finding.sound
        if wrong:
            raise CommandError(f"Needs attention: {wrong}.")
