"""`manage.py simulator`: stand in for every provider on this machine."""

import argparse
from typing import Any

import uvicorn
from django.core.management.base import BaseCommand

from megabrain.simulator.app import Simulator
from megabrain.simulator.providers import sample_keys, upstream_urls


class Command(BaseCommand):
    help = (
        "Answers as each provider would, on 127.0.0.1 only. Point MegaBrain at it with the "
        "variables it prints; the key decides what happens (megabrain/simulator/faults.py)."
    )
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=9000)
        parser.add_argument(
            "--events-per-second",
            type=float,
            default=0,
            help="pace of streams whose prompt names none; 0 sends at once (default)",
        )
        parser.add_argument(
            "--slow-seconds", type=float, default=4, help="what a sim-slow key waits (default 4)"
        )
        parser.add_argument("--quiet", action="store_true", help="print nothing at the start")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: whatever argparse was told
        if not options["quiet"]:
            self.stdout.write(environment(options["port"]))
            for provider, key in sample_keys().items():
                self.stdout.write(f"# {provider} key that works here: {key}")
        application = Simulator(
            events_per_second=options["events_per_second"], slow_seconds=options["slow_seconds"]
        )
        uvicorn.run(
            application,
            host="127.0.0.1",
            port=options["port"],
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )


def environment(port: int) -> str:
    """The variables that point MegaBrain at a simulator on this port."""
    lines = ["MEGABRAIN_SIMULATOR=1"]
    for provider, url in upstream_urls(f"http://127.0.0.1:{port}").items():
        lines.append(f"MEGABRAIN_UPSTREAM_{provider.upper().replace('-', '_')}_URL={url}")
    return "\n".join(lines)
