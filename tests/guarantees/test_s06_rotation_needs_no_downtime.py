"""S6: vault keys rotate while everything is served, and a killed rotation is simply run again."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from byok.models import ProviderKey, VaultKey
from byok.vault import KeyInUse, Unsealable, rotation
from byok.vault.envelope import Envelope
from tests.vaults import count_from, database_url, entry, many_keys

ROOT = Path(__file__).parent.parent.parent
ROWS = count_from("S06_ROWS", 240)
KILLS = count_from("S06_KILLS", 3)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rotation_process(tmp_path):
    """Starts `manage.py vault …` on the database of the test."""

    def start(keys: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 -- our own program
            [sys.executable, "manage.py", "vault", *arguments],
            cwd=ROOT,
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "megabrain.settings",
                "DATABASE_URL": database_url(),
                "MEGABRAIN_HOME": str(tmp_path),
                "MEGABRAIN_VAULT_KEYS": keys,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


@contextmanager
def served() -> Iterator[list[str]]:
    """Keys are opened at random, as calls do it, until the block ends. Yields what failed."""
    failures: list[str] = []
    opened = 0
    stop = threading.Event()
    ids = list(ProviderKey.objects.values_list("pk", flat=True))

    def serve() -> None:
        nonlocal opened
        while not stop.is_set():
            key = ProviderKey.objects.get(pk=random.choice(ids))
            try:
                key.secret.unseal()
                opened += 1
            except Unsealable as failure:
                failures.append(f"{key.pk}: {failure.reason}")
            time.sleep(0.001)
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield failures
    finally:
        stop.set()
        thread.join()
    assert opened


def kill_after_progress(process: subprocess.Popen[str], progress) -> None:
    """Kill it at some moment after it has begun to write; or let it end if it was quicker."""
    before = progress()
    while process.poll() is None and progress() == before:
        time.sleep(0.01)
    time.sleep(random.random() / 50)
    process.kill()
    process.communicate()


def secrets_by_row() -> dict[object, str]:
    return {key.pk: key.secret.unseal().reveal() for key in ProviderKey.objects.all()}


def test_a_rewrap_killed_again_and_again_ends_with_no_row_under_the_old_key(
    account, settings, rotation_process
):
    old, new = entry("old"), entry("new")
    settings.MEGABRAIN_VAULT_KEYS = old
    many_keys(account, ROWS)
    before = secrets_by_row()
    settings.MEGABRAIN_VAULT_KEYS = keys = f"{new},{old}"

    with served() as failures:
        for _ in range(KILLS):
            process = rotation_process(keys, "rewrap", "--batch", "5")
            kill_after_progress(process, lambda: rotation.rows_by_key()["new"])
            if rotation.rows_by_key()["old"]:
                with pytest.raises(KeyInUse):
                    rotation.retire("old")
        process = rotation_process(keys, "rewrap")
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said
    assert failures == []
    assert rotation.rows_by_key() == {"new": ROWS}

    rotation.retire("old")
    settings.MEGABRAIN_VAULT_KEYS = new
    assert secrets_by_row() == before


def test_a_reencryption_killed_again_and_again_ends_with_every_data_key_fresh(
    account, settings, rotation_process
):
    settings.MEGABRAIN_VAULT_KEYS = keys = entry("only")
    many_keys(account, ROWS)
    before = secrets_by_row()
    data_keys = commitments()

    with served() as failures:
        for _ in range(KILLS):
            process = rotation_process(keys, "reencrypt", "--batch", "5")
            kill_after_progress(process, lambda: VaultKey.objects.get().reencrypted_up_to)
        process = rotation_process(keys, "reencrypt")
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said
    assert failures == []
    assert commitments() & data_keys == set()
    assert secrets_by_row() == before


def commitments() -> set[bytes]:
    """Which data keys are in use: each is known by its commitment."""
    return {Envelope.parse(key.secret.blob).commitment for key in ProviderKey.objects.all()}
