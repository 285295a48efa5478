"""S7: whatever rotation is doing, the last secret a user saved is the one that opens."""

import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

import pytest
from django.db import connection

from byok.models import ProviderKey
from byok.vault import Secret, rotation
from tests.vaults import count_from, entry, many_keys

RACES = count_from("S07_RACES", 100)
ROWS = 20

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("rotate", [rotation.rewrap_all, rotation.reencrypt_all])
def test_the_last_secret_saved_beside_a_rotation_opens(rotate, account, settings):
    entries = [entry("one"), entry("two")]
    settings.MEGABRAIN_VAULT_KEYS = ",".join(entries)
    many_keys(account, ROWS)
    for round_ in range(max(1, RACES // ROWS)):
        entries.reverse()
        settings.MEGABRAIN_VAULT_KEYS = ",".join(entries)
        saved = race(lambda: rotate(batch=4), round_)
        opened = {key.pk: key.secret.unseal().reveal() for key in ProviderKey.objects.all()}
        assert opened == saved
        rotate()
        assert rotation.rows_by_key() == {entries[0].partition(":")[0]: ROWS}


def race(rotate, round_: int) -> dict[UUID, str]:
    """A rotation, users who save new secrets, and tests that note the health, all at once."""
    keys = list(ProviderKey.objects.all())
    saved = {key.pk: f"sk-ant-api03-secret-{round_}-{key.pk}" for key in keys}
    together = Barrier(3)

    def update_every_secret() -> None:
        together.wait()
        for key in random.sample(keys, len(keys)):
            key.secret = Secret(saved[key.pk])
            key.save()

    def note_health_on_stale_instances() -> None:
        stale = list(ProviderKey.objects.all())
        together.wait()
        for key in random.sample(stale, len(stale)):
            key.health_message = f"round {round_}"
            key.save()

    def rotation_() -> None:
        together.wait()
        rotate()

    def in_thread(work) -> None:
        try:
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as threads:
        work = [rotation_, update_every_secret, note_health_on_stale_instances]
        for done in [threads.submit(in_thread, each) for each in work]:
            done.result()
    return saved
