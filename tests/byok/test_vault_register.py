"""The register of vault keys: certifying the first key, and fingerprints."""

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone

from byok.models import VaultKey
from byok.vault import CannotSeal, KeyringError, Secret, fingerprint, verify_keyring
from tests.vaults import SECRET, entry, saved_key


@pytest.fixture(autouse=True)
def _database(db: None) -> None:
    """Every test here looks at the register."""


def configure(settings, *entries: str) -> None:
    settings.MEGABRAIN_VAULT_KEYS = ",".join(entries)


def test_the_first_start_registers_every_configured_key(settings):
    configure(settings, entry("b"), entry("a"))
    verify_keyring()
    assert set(VaultKey.objects.values_list("key_id", flat=True)) == {"a", "b"}


def test_starting_again_writes_nothing(settings, django_assert_num_queries):
    configure(settings, entry("a"))
    verify_keyring()
    with django_assert_num_queries(2) as queries:
        verify_keyring()
    assert all(query["sql"].startswith("SELECT") for query in queries)


def test_another_key_under_a_known_id_is_refused(settings):
    configure(settings, entry("a"))
    verify_keyring()
    configure(settings, entry("a"))
    with pytest.raises(KeyringError, match="MEGABRAIN_VAULT_KEYS: key a is wrong"):
        verify_keyring()


def test_a_sample_key_passes_outside_production_only(settings):
    sample = "a:bWVnYWJyYWluLXNhbXBsZS1rZXktZG8tbm90LXVzZSE="
    configure(settings, sample)
    verify_keyring()
    settings.MEGABRAIN_PRODUCTION = True
    with pytest.raises(KeyringError, match="sample"):
        verify_keyring()


@pytest.mark.parametrize("altered", [b"", b"rubbish", bytes(200)])
def test_a_damaged_check_value_is_refused(altered, settings):
    configure(settings, entry("a"))
    verify_keyring()
    VaultKey.objects.update(check_value=altered)
    with pytest.raises(KeyringError, match="key a is wrong"):
        verify_keyring()


def test_a_check_value_does_not_serve_for_another_id(settings):
    key = entry("a")
    configure(settings, key, entry("b"))
    verify_keyring()
    VaultKey.objects.filter(key_id="b").update(check_value=VaultKey.objects.get(pk="a").check_value)
    with pytest.raises(KeyringError, match="key b is wrong"):
        verify_keyring()


def test_a_retired_key_cannot_be_the_first(settings, account):
    configure(settings, entry("a"))
    saved_key(account)
    VaultKey.objects.update(retired_at=timezone.now())
    with pytest.raises(KeyringError, match="key a is retired"):
        verify_keyring()
    with pytest.raises(CannotSeal, match="key a is retired"):
        saved_key(account, "openai")


def test_a_retired_key_may_stay_behind_the_first(settings, caplog):
    old, new = entry("a"), entry("b")
    configure(settings, old)
    verify_keyring()
    VaultKey.objects.update(retired_at=timezone.now())
    configure(settings, new, old)
    verify_keyring()
    assert "key a is retired: remove it" in caplog.text


def test_rows_whose_key_is_gone_are_reported_and_stop_nothing(settings, account, caplog):
    configure(settings, entry("a"))
    saved_key(account)
    configure(settings, entry("b"))
    verify_keyring()
    assert "key a is not configured and 1 sealed values need it" in caplog.text


def test_it_can_be_asked_inside_an_event_loop(settings, transactional_db):
    configure(settings, entry("a"))

    async def start() -> None:
        verify_keyring()

    asyncio.run(start())
    assert VaultKey.objects.filter(key_id="a").exists()


@pytest.mark.django_db(transaction=True)
def test_processes_that_start_at_once_agree_on_one_root(settings):
    configure(settings, entry("b"), entry("a"))

    def start(_: int) -> str:
        try:
            verify_keyring()
            return fingerprint(Secret(SECRET), "account")
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(start, range(6)))) == 1
    assert VaultKey.objects.count() == 2


# Fingerprints ------------------------------------------------------------------------------


def test_a_fingerprint_tells_the_same_secret_in_one_account():
    account = uuid.uuid4()
    assert fingerprint(Secret(SECRET), account) == fingerprint(Secret(SECRET), str(account))
    assert fingerprint(Secret(SECRET), account) != fingerprint(Secret(SECRET + "x"), account)
    assert len(fingerprint(Secret(SECRET), account)) == 64


def test_a_fingerprint_says_nothing_across_accounts():
    assert fingerprint(Secret(SECRET), uuid.uuid4()) != fingerprint(Secret(SECRET), uuid.uuid4())


def test_the_account_and_the_secret_cannot_be_shifted_into_each_other():
    assert fingerprint(Secret("23"), "1") != fingerprint(Secret("3"), "12")


def test_a_fingerprint_outlives_every_rotation(settings):
    a, b, c = entry("a"), entry("b"), entry("c")
    seen = set()
    for keys in ([a], [b, a], [b], [c, b], [c]):
        configure(settings, *keys)
        verify_keyring()
        seen.add(fingerprint(Secret(SECRET), "account"))
    assert len(seen) == 1


def test_a_fingerprint_outlives_the_loss_of_one_key_of_two(settings):
    kept = entry("kept")
    configure(settings, entry("lost"), kept)
    before = fingerprint(Secret(SECRET), "account")
    configure(settings, entry("new"), kept)
    assert fingerprint(Secret(SECRET), "account") == before


def test_another_installation_has_other_fingerprints(settings):
    key = entry("a")
    configure(settings, key)
    before = fingerprint(Secret(SECRET), "account")
    VaultKey.objects.all().delete()
    assert fingerprint(Secret(SECRET), "account") != before
