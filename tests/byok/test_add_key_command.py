"""`manage.py add_key`."""

import io
import sys

import pytest
from django.core.management import CommandError, call_command

from byok.models import ProviderKey
from byok.vault import Secret
from orgs.models import Account, AuditEvent
from tests.byok.conftest import ANTHROPIC_SECRET, OPENAI_SECRET


@pytest.fixture
def type_in(monkeypatch):
    """Put a text on standard input."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("add_key", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_it_stores_the_key_of_a_person_named_by_e_mail(account, type_in):
    type_in(ANTHROPIC_SECRET + "\n")
    said = run("--account", "Owner@Example.com", "--provider", "anthropic")
    key = ProviderKey.objects.get()
    assert key.account == account
    assert key.secret.unseal() == Secret(ANTHROPIC_SECRET)
    assert str(key.pk) in said
    assert ANTHROPIC_SECRET not in said


def test_it_stores_an_organizations_key_named_by_its_slug(account, organization, type_in):
    type_in(ANTHROPIC_SECRET)
    said = run("--account", "acme", "--provider", "anthropic")
    assert said.startswith("Stored the Anthropic key of Acme as ")
    key = ProviderKey.objects.get()
    assert (key.account, key.created_by) == (organization, None)
    event = AuditEvent.objects.get(event="byok.key.added")
    assert (event.account_id, event.actor_id) == (organization.pk, None)


def test_it_stores_the_platforms_own_key(db, type_in):
    platform = Account.objects.platform()
    type_in(OPENAI_SECRET)
    run("--account", "platform", "--provider", "openai")
    assert ProviderKey.objects.get().account == platform


def test_the_log_tells_that_it_was_done_on_the_command_line(account, type_in):
    type_in(ANTHROPIC_SECRET)
    run("--account", "owner@example.com", "--provider", "anthropic")
    event = AuditEvent.objects.get(event="byok.key.added")
    assert (event.actor_id, event.user_agent) == (None, "manage.py add_key")


def test_it_warns_of_a_key_of_another_company_and_stores_it(account, type_in):
    type_in(OPENAI_SECRET)
    said = run("--account", "owner@example.com", "--provider", "anthropic")
    assert "Warning: This looks like an OpenAI key" in said
    assert ProviderKey.objects.exists()


@pytest.mark.parametrize(
    ("text", "account_name", "reason"),
    [
        ("", "owner@example.com", "Paste the key here."),
        ("Bearer canary", "owner@example.com", "Leave out the word “Bearer”"),
        (ANTHROPIC_SECRET, "nobody@example.com", "There is no account"),
        (ANTHROPIC_SECRET, "no-such-organization", "There is no account"),
        (ANTHROPIC_SECRET, "Acme", "--account takes a user's e-mail, an organization's slug"),
    ],
)
def test_it_refuses_with_a_reason(text, account_name, reason, account, organization, type_in):
    type_in(text)
    with pytest.raises(CommandError, match=reason) as refused:
        run("--account", account_name, "--provider", "anthropic")
    assert "canary" not in str(refused.value)
    assert not ProviderKey.objects.exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("owner@example.com", "Owner has a key for Anthropic already"),
        ("acme", "Acme has a key for Anthropic already"),
    ],
)
def test_it_refuses_a_second_key(name, reason, account, organization, type_in):
    type_in(ANTHROPIC_SECRET)
    run("--account", name, "--provider", "anthropic")
    type_in("sk-ant-api03-another-0123456789abcdefgh")
    with pytest.raises(CommandError, match=reason):
        run("--account", name, "--provider", "anthropic")


def test_it_knows_only_providers_there_are(account, type_in):
    with pytest.raises(CommandError, match="invalid choice"):
        run("--account", "owner@example.com", "--provider", "nobody")
