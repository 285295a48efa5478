"""`manage.py demo`: MegaBrain with simulated providers, and an account to try it with."""

import json
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from megabrain import demo, launch
from megabrain.simulator.providers import upstream_urls
from orgs.money import dollars

MODEL = "anthropic/claude-haiku-4.5"
#: One that no key of the demo account serves.
PAID_MODEL = "openai/gpt-6-luna"

ANNOUNCEMENT = """
  MegaBrain is running. Its providers are simulated: no call leaves this machine.

  Open it    {address}/
  Sign in    {email}    password  {password}

  The account switcher has an organization, too: {team}, with a key and members' pages of its own.
  {staff} has the same password, and the admin: {address}/admin/
  Letters, such as invitations and sign-up codes, are printed here.

  Stream an answer through the demo account's Anthropic key:

{curl}

  No key of the account serves OpenAI's models. MegaBrain's own does, and the balance pays, {credit}
  to begin with:

{paid_curl}

  Ctrl-C stops it.
"""
CURL = (
    "curl -N {address}/v1/messages -H 'authorization: Bearer {token}' "
    "-H 'content-type: application/json' -d '{body}'"
)


class Command(BaseCommand):
    help = (
        "Prepares MEGABRAIN_HOME and runs simulator, site, gateway and worker until Ctrl-C. "
        "Makes a demo account with a provider key, an API token, an organization and a balance, "
        "and says how to use them."
    )
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> None:  # Any: whatever argparse was told
        if settings.MEGABRAIN_PRODUCTION:
            raise CommandError("This is a production installation. The demo must not run here.")
        try:
            launch.prepare()
        except launch.PortTaken as taken:
            raise CommandError(str(taken)) from None
        try:
            credentials = demo.demo_account()
        except demo.SomebodyElses:
            raise CommandError(
                f"{settings.MEGABRAIN_HOME} holds people's accounts already. Run the demo in a "
                "place of its own: MEGABRAIN_HOME=/somewhere/else make demo"
            ) from None
        address = settings.MEGABRAIN_BASE_URL
        simulator_port = launch.free_port()
        simulator = f"http://127.0.0.1:{simulator_port}"
        code = launch.start(
            ["simulator", "web", "worker"],
            environment={
                "SIMULATOR_PORT": str(simulator_port),
                "MEGABRAIN_SIMULATOR": "1",
                **{
                    f"MEGABRAIN_UPSTREAM_{id_.upper().replace('-', '_')}_URL": url
                    for id_, url in upstream_urls(simulator).items()
                },
            },
            addresses=[simulator, f"{address}/readyz"],
            announcement=announcement(address, credentials),
            write=self.stdout.write,
        )
        sys.exit(code)


def announcement(address: str, credentials: demo.Credentials) -> str:
    return ANNOUNCEMENT.format(
        address=address,
        email=demo.EMAIL,
        password=credentials.password,
        staff=demo.STAFF_EMAIL,
        team=demo.TEAM,
        credit=dollars(demo.CREDIT_MICROS, 0),
        curl=curl(address, credentials.token, MODEL),
        paid_curl=curl(address, credentials.token, PAID_MODEL),
    )


def curl(address: str, token: str, model: str) -> str:
    body = {
        "model": model,
        "max_tokens": 200,
        "stream": True,
        "messages": [{"role": "user", "content": "Say hello"}],
    }
    return CURL.format(address=address, token=token, body=json.dumps(body))
