"""`manage.py run`: site, gateway and worker on this machine, with the real providers."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from megabrain import launch

ANNOUNCEMENT = """
  MegaBrain is running.

  Open it    {address}/
  Agents     {address}/v1

  Ctrl-C stops it.
"""


class Command(BaseCommand):
    help = "Prepares MEGABRAIN_HOME and runs site, gateway and worker until Ctrl-C."
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> None:  # Any: whatever argparse was told
        try:
            launch.prepare()
        except launch.PortTaken as taken:
            raise CommandError(str(taken)) from None
        address = settings.MEGABRAIN_BASE_URL
        code = launch.start(
            ["web", "worker"],
            environment={},
            addresses=[f"{address}/readyz"],
            announcement=ANNOUNCEMENT.format(address=address),
            write=self.stdout.write,
        )
        sys.exit(code)
