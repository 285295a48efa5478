"""S8: a lost vault key costs only its own rows, and they can be counted, re-entered, restored."""

import io
import re

import pytest
from django.core.management import call_command
from django.urls import reverse

from byok.actions import update_key
from byok.models import ProviderKey, VaultKey
from byok.vault import KeyringError, Reason, Secret, rotation, verify_keyring
from orgs.origin import Origin
from tests.vaults import SECRET, entry, raw_update, reloaded, saved_key

LOST, KEPT = entry("lost"), entry("kept")


@pytest.fixture
def lost_row(account, settings) -> ProviderKey:
    settings.MEGABRAIN_VAULT_KEYS = LOST
    return saved_key(account, "anthropic")


@pytest.fixture
def kept_row(account, settings, lost_row) -> ProviderKey:
    settings.MEGABRAIN_VAULT_KEYS = KEPT
    return saved_key(account, "openai", "sk-proj-this-one-is-still-there")


def status() -> str:
    out = io.StringIO()
    call_command("vault", "status", stdout=out)
    return out.getvalue()


def test_production_starts_and_says_what_is_missing(lost_row, kept_row, settings, caplog):
    settings.MEGABRAIN_PRODUCTION = True
    verify_keyring()
    assert "key lost is not configured and 1 sealed values need it" in caplog.text


def test_the_other_keys_go_on_opening(lost_row, kept_row):
    assert reloaded(kept_row).secret.unseal() == Secret("sk-proj-this-one-is-still-there")
    assert reloaded(lost_row).secret.trouble() is Reason.UNKNOWN_KEY


def test_the_rows_that_are_lost_are_counted_and_named(lost_row, kept_row):
    assert rotation.rows_by_key() == {"lost": 1, "kept": 1}
    assert [row.row_id for row in rotation.closed_rows()] == [str(lost_row.pk)]
    said = status()
    assert "lost  1 values  NOT CONFIGURED" in said
    assert "1 values under lost do not open." in said


def test_the_page_shows_every_row_and_asks_to_enter_the_lost_one_again(
    lost_row, kept_row, owner_client
):
    page = owner_client.get(reverse("byok:keys"))
    assert page.status_code == 200
    text = page.content.decode()
    assert text.count("Unreadable") == 1
    assert re.search(r"Enter (it|the key) again", text)


def test_entering_it_again_is_all_it_takes(lost_row, kept_row, owner):
    update_key(actor=owner, key=reloaded(lost_row), secret=Secret(SECRET), origin=Origin())
    assert reloaded(lost_row).secret.unseal() == Secret(SECRET)
    assert "Every value opens." in status()


def test_finding_the_key_again_opens_its_rows_again(lost_row, kept_row, settings):
    settings.MEGABRAIN_VAULT_KEYS = f"{KEPT},{LOST}"
    verify_keyring()
    assert "Every value opens." in status()
    assert reloaded(lost_row).secret.unseal() == Secret(SECRET)


@pytest.mark.parametrize("damage", [b"", b"\x01", b"rubbish", bytes(300)])
def test_a_damaged_row_is_one_unhealthy_key_and_never_an_error_page(
    damage, lost_row, kept_row, owner_client, settings
):
    settings.MEGABRAIN_VAULT_KEYS = f"{KEPT},{LOST}"
    raw_update("secret", damage, lost_row)
    assert owner_client.get(reverse("byok:keys")).status_code == 200
    assert rotation.rewrap_all().closed[0].row_id == str(lost_row.pk)
    assert reloaded(kept_row).secret.trouble() is None


# The restore drill of docs/vault.md: a backup of the database, and the vault keys kept apart.


@pytest.fixture
def backup(kept_row, settings, tmp_path):
    settings.MEGABRAIN_VAULT_KEYS = f"{KEPT},{LOST}"
    verify_keyring()
    path = tmp_path / "backup.json"
    call_command("dumpdata", "byok.providerkey", "byok.vaultkey", output=str(path), verbosity=0)
    assert SECRET not in path.read_text()
    ProviderKey.objects.all().delete()
    VaultKey.objects.all().delete()
    return path


def test_a_backup_opens_with_the_vault_keys_it_was_made_under(backup):
    call_command("loaddata", str(backup), verbosity=0)
    verify_keyring()
    assert "Every value opens." in status()
    key = ProviderKey.objects.get(provider="anthropic")
    assert key.secret.unseal() == Secret(SECRET)


def test_a_backup_without_its_vault_keys_shows_how_much_is_closed(backup, settings):
    call_command("loaddata", str(backup), verbosity=0)
    settings.MEGABRAIN_VAULT_KEYS = entry("other")
    verify_keyring()
    assert "1 values under kept do not open." in status()
    assert "1 values under lost do not open." in status()


def test_a_backup_with_another_key_under_the_same_id_is_refused(backup, settings):
    call_command("loaddata", str(backup), verbosity=0)
    settings.MEGABRAIN_VAULT_KEYS = f"{KEPT},{entry('lost')}"
    with pytest.raises(KeyringError, match="key lost is wrong"):
        verify_keyring()
