"""`usage count|prune`: what workers do by the clock, at once and to the end."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from billing.pruning import prune_usage
from billing.rollup import count_all_waiting

FOREVER = float("inf")


class Command(BaseCommand):
    help = "Works on usage records. See docs/operating.md."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("count", help="Add the records that are in no sum by day yet.")
        actions.add_parser("prune", help="Remove records older than MEGABRAIN_USAGE_DAYS.")

    # Any: the options as argparse read them.
    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "count":
            self.stdout.write(f"Counted {count_all_waiting(seconds=FOREVER):,} records.")
        else:
            self.stdout.write(f"Removed {prune_usage(seconds=FOREVER):,} records.")
