"""What `manage.py demo` begins with: people, keys, a balance, and a plan to subscribe to."""

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass

from django.conf import settings
from django.utils import timezone

from billing.actions import grant_credit
from billing.models import Plan
from billing.subscriptions.stock import InStockAlready, add_plan_keys
from byok.actions import KeyAlreadyExists, add_key
from byok.vault import Secret
from megabrain.simulator.providers import sample_keys
from orgs.actions import SlugTaken, create_organization, create_token, create_user
from orgs.models import Account, ApiToken, User
from orgs.origin import Origin
from orgs.tokens import digest

EMAIL = "demo@example.com"
STAFF_EMAIL = "staff@example.com"
#: Whose key the demo account has.
PROVIDER = "anthropic"
#: Whose keys MegaBrain has, for the balance to pay.
PLATFORM_PROVIDERS = ("anthropic", "deepseek", "google", "openai")
CREDIT_MICROS = 50_000_000
PLAN_KEYS = 3
TEAM, TEAM_SLUG = "Demo team", "demo-team"
ORIGIN = Origin.command("demo")


class SomebodyElses(Exception):
    """MEGABRAIN_HOME holds people's accounts already."""


@dataclass
class Credentials:
    """What a later run must know again. Kept in MEGABRAIN_HOME, for its owner's eyes only."""

    password: str
    token: str = ""


def demo_account() -> Credentials:
    """The demo account with its key, token and balance, made or made whole again.

    What has been done since an earlier run with its keys, credit and plans stays as it is. Raises
    `SomebodyElses`.
    """
    credentials = _stored()
    if credentials is None:
        if User.objects.exists():
            raise SomebodyElses
        credentials = Credentials(password=secrets.token_urlsafe(9))
    user = _person(EMAIL, "Demo", credentials.password)
    _key(user, user.account, PROVIDER)
    _team(user)
    _platform(_person(STAFF_EMAIL, "Staff", credentials.password, is_staff=True), user.account)
    usable = ApiToken.objects.for_account(user.account).usable()
    if not usable.filter(digest=digest(credentials.token)).exists():
        _, credentials.token = create_token(
            actor=user, account=user.account, name="Demo", origin=ORIGIN
        )
    _store(credentials)
    return credentials


def _person(email: str, name: str, password: str, *, is_staff: bool = False) -> User:
    user = User.objects.filter(email=email).first()
    if user is None:
        return create_user(
            email=email,
            password=password,
            name=name,
            is_staff=is_staff,
            email_verified=True,
            origin=ORIGIN,
        )
    if not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
    return user


def _key(actor: User, account: Account, provider: str) -> None:
    secret = Secret(sample_keys()[provider])
    with suppress(KeyAlreadyExists):
        add_key(actor=actor, account=account, provider=provider, secret=secret, origin=ORIGIN)


def _team(user: User) -> None:
    """An organization with a key of its own, so that both kinds of account can be looked at."""
    try:
        team = create_organization(actor=user, owner=user, name=TEAM, slug=TEAM_SLUG, origin=ORIGIN)
    except SlugTaken:
        return
    _key(user, team, "openai")


def _platform(staff: User, account: Account) -> None:
    """MegaBrain's own keys, credit that pays for their use, and keys in stock for the plan."""
    for provider in PLATFORM_PROVIDERS:
        _key(staff, Account.objects.platform(), provider)
    grant_credit(
        actor=staff,
        account=account,
        amount_micros=CREDIT_MICROS,
        idempotency_key="demo",
        note="To try the balance with.",
        origin=ORIGIN,
    )
    keys = [Secret(f"sk-cp-sim-ok-0123456789abcdef{number:06d}") for number in range(PLAN_KEYS)]
    for plan in Plan.objects.filter(slug="token-plan-plus"):
        with suppress(InStockAlready):
            add_plan_keys(actor=staff, plan=plan, secrets=keys, origin=ORIGIN, now=timezone.now())


def _stored() -> Credentials | None:
    path = settings.MEGABRAIN_HOME / "demo.json"
    return Credentials(**json.loads(path.read_text())) if path.exists() else None


def _store(credentials: Credentials) -> None:
    path = settings.MEGABRAIN_HOME / "demo.json"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(credentials), file)
