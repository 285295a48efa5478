"""`manage.py demo`: MegaBrain with simulated providers, and an account to try it with."""

import json
import os
import secrets
import sys
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from byok.actions import KeyAlreadyExists, add_key
from byok.vault import Secret
from megabrain import launch
from megabrain.simulator.providers import sample_keys, upstream_urls
from orgs.actions import SlugTaken, create_organization, create_token, create_user
from orgs.models import ApiToken, User
from orgs.origin import Origin
from orgs.tokens import digest

EMAIL = "demo@example.com"
PROVIDER = "anthropic"
MODEL = "anthropic/claude-haiku-4.5"
TEAM, TEAM_SLUG = "Demo team", "demo-team"
ORIGIN = Origin.command("demo")

ANNOUNCEMENT = """
  MegaBrain is running. Its providers are simulated: no call leaves this machine.

  Open it    {address}/
  Sign in    {email}    password  {password}

  The account switcher has an organization, too: {team}, with a key and members' pages of its own.
  Letters, such as invitations and sign-up codes, are printed here.

  Stream an answer through the demo account's {provider} key:

{curl}

  Ctrl-C stops it.
"""
CURL = (
    "curl -N {address}/v1/messages -H 'authorization: Bearer {token}' "
    "-H 'content-type: application/json' -d '{body}'"
)


@dataclass
class Credentials:
    """What a later run must know again. Kept in MEGABRAIN_HOME, for its owner's eyes only."""

    password: str
    token: str = ""


class Command(BaseCommand):
    help = (
        "Prepares MEGABRAIN_HOME and runs simulator, site, gateway and worker until Ctrl-C. "
        "Makes a demo account with a provider key, an API token and an organization, and says how "
        "to use them."
    )
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> None:  # Any: whatever argparse was told
        if settings.MEGABRAIN_PRODUCTION:
            raise CommandError("This is a production installation. The demo must not run here.")
        try:
            launch.prepare()
        except launch.PortTaken as taken:
            raise CommandError(str(taken)) from None
        credentials = demo_account()
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


def demo_account() -> Credentials:
    """The demo account with its key and token, made or made whole again."""
    credentials = _stored()
    user = User.objects.filter(email=EMAIL).first()
    if credentials is None:
        if User.objects.exists():
            raise CommandError(
                f"{settings.MEGABRAIN_HOME} holds people's accounts already. Run the demo in a "
                "place of its own: MEGABRAIN_HOME=/somewhere/else make demo"
            )
        credentials = Credentials(password=secrets.token_urlsafe(9))
    if user is None:
        user = create_user(
            email=EMAIL,
            password=credentials.password,
            name="Demo",
            email_verified=True,
            origin=ORIGIN,
        )
    elif not user.check_password(credentials.password):
        user.set_password(credentials.password)
        user.save(update_fields=["password"])
    try:
        secret = Secret(sample_keys()[PROVIDER])
        add_key(actor=user, account=user.account, provider=PROVIDER, secret=secret, origin=ORIGIN)
    except KeyAlreadyExists:
        pass  # From an earlier run. What has been done with it since stays as it is.
    demo_team(user)
    usable = ApiToken.objects.for_account(user.account).usable()
    if not usable.filter(digest=digest(credentials.token)).exists():
        _, credentials.token = create_token(
            actor=user, account=user.account, name="Demo", origin=ORIGIN
        )
    _store(credentials)
    return credentials


def demo_team(user: User) -> None:
    """An organization with a key of its own, so that both kinds of account can be looked at."""
    try:
        team = create_organization(actor=user, owner=user, name=TEAM, slug=TEAM_SLUG, origin=ORIGIN)
    except SlugTaken:
        return  # From an earlier run, as above.
    secret = Secret(sample_keys()["openai"])
    add_key(actor=user, account=team, provider="openai", secret=secret, origin=ORIGIN)


def announcement(address: str, credentials: Credentials) -> str:
    body = {
        "model": MODEL,
        "max_tokens": 200,
        "stream": True,
        "messages": [{"role": "user", "content": "Say hello"}],
    }
    return ANNOUNCEMENT.format(
        address=address,
        email=EMAIL,
        password=credentials.password,
        team=TEAM,
        provider="Anthropic",
        curl=CURL.format(address=address, token=credentials.token, body=json.dumps(body)),
    )


def _stored() -> Credentials | None:
    path = settings.MEGABRAIN_HOME / "demo.json"
    return Credentials(**json.loads(path.read_text())) if path.exists() else None


def _store(credentials: Credentials) -> None:
    path = settings.MEGABRAIN_HOME / "demo.json"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(credentials), file)
