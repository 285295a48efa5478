"""`test_key` at the command line."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from byok import actions
from byok.models import KeyTest
from byok.vault import Secret
from orgs.models import Account, AuditEvent
from orgs.origin import Origin
from tests.simulator_fixture import RunningSimulator

pytestmark = pytest.mark.django_db

WORKS = "sk-ant-api03-sim-ok-0123456789abcdef"
FAILS = "sk-ant-api03-sim-401-0123456789abcdef"


@pytest.fixture(autouse=True)
def _simulated(simulator: RunningSimulator, settings) -> None:
    settings.MEGABRAIN_UPSTREAM_URLS = {"anthropic": simulator.url("anthropic")}


def stored(account: Account, secret: str) -> None:
    actions.add_key(
        actor=None, account=account, provider="anthropic", secret=Secret(secret), origin=Origin()
    )


def run(account: str, provider: str = "anthropic") -> str:
    out = StringIO()
    call_command("test_key", account=account, provider=provider, stdout=out)
    return out.getvalue()


def test_a_key_that_works_is_reported_and_audited(account):
    stored(account, WORKS)

    text = run("Owner@Example.com")

    assert text.startswith("Anthropic accepted this key: claude-haiku-5.5 answered in ")
    assert KeyTest.objects.get().state == KeyTest.State.PASSED
    assert AuditEvent.objects.filter(account_id=account.pk, event="byok.key.tested").count() == 1


def test_an_organizations_key_is_named_by_its_slug(owner, account, organization):
    stored(account, FAILS)
    stored(organization, WORKS)

    assert run("acme").startswith("Anthropic accepted this key: ")

    assert KeyTest.objects.get().key.account == organization
    told = AuditEvent.objects.filter(event="byok.key.tested").values_list("account_id", "actor_id")
    assert list(told) == [(organization.pk, None)]


def test_a_key_that_fails_ends_the_command_with_the_reason(account):
    stored(account, FAILS)

    with pytest.raises(CommandError, match="Anthropic rejected this key") as failure:
        run("owner@example.com")

    assert FAILS not in str(failure.value)


@pytest.mark.parametrize(
    ("name", "provider", "says"),
    [
        ("nobody@example.com", "anthropic", "no account 'nobody@example.com'"),
        ("no-such-org", "anthropic", "no account 'no-such-org'"),
        ("owner@example.com", "openai", "Owner has no key for OpenAI"),
        ("acme", "openai", "Acme has no key for OpenAI"),
        ("Acme", "anthropic", "no account 'Acme': --account takes .* an organization's slug"),
    ],
)
def test_what_is_not_there_is_named(account, organization, name, provider, says):
    with pytest.raises(CommandError, match=says):
        run(name, provider)


def test_a_seventh_test_in_a_minute_is_refused(account):
    stored(account, WORKS)
    for _ in range(6):
        run("owner@example.com")

    with pytest.raises(CommandError, match="Test again in"):
        run("owner@example.com")
