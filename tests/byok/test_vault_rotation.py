"""Rewrapping, re-encrypting and retiring, row by row; and the command that operators use."""

import io

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models import Model

from byok.fields import EncryptedField
from byok.models import ProviderKey, VaultKey
from byok.vault import KeyInUse, Reason, Secret, fingerprint, rotation
from byok.vault.envelope import Envelope
from tests.vaults import SECRET, entry, many_keys, raw_update, reloaded, saved_key

OLD, NEW = entry("old"), entry("new")
NEWER = "sk-ant-api03-a-newer-secret-of-the-user"


@pytest.fixture(autouse=True)
def _old_key(settings, db: None) -> None:
    settings.MEGABRAIN_VAULT_KEYS = OLD


@pytest.fixture
def rotate(settings):
    def rotate(*entries: str) -> None:
        settings.MEGABRAIN_VAULT_KEYS = ",".join(entries)

    return rotate


def secrets_by_row() -> dict[object, str]:
    return {key.pk: key.secret.unseal().reveal() for key in ProviderKey.objects.all()}


def manage(*arguments: str) -> str:
    out = io.StringIO()
    call_command("vault", *arguments, stdout=out)
    return out.getvalue()


def column() -> EncryptedField:
    """That of provider keys; others have sealed columns, too."""
    [field] = [each for each in rotation.encrypted_fields() if each.model is ProviderKey]
    return field


def read_by_rotation() -> list[Model]:
    """The rows as a rotation has read them, before it writes."""
    return list(rotation.with_header(column()))


# Rewrapping --------------------------------------------------------------------------------


def test_rewrapping_brings_every_row_under_the_first_key(account, rotate):
    many_keys(account, 7)
    before = secrets_by_row()
    rotate(NEW, OLD)
    tally = rotation.rewrap_all(batch=3)
    assert (tally.written, tally.closed, tally.unfinished) == (7, [], 0)
    assert rotation.rows_by_key() == {"new": 7}
    rotate(NEW)
    assert secrets_by_row() == before


def test_rewrapping_keeps_data_keys_and_leaves_everything_else_of_a_row(account, rotate):
    key = reloaded(saved_key(account))
    rotate(NEW, OLD)
    rotation.rewrap_all()
    after = reloaded(key)
    one, two = Envelope.parse(key.secret.blob), Envelope.parse(after.secret.blob)
    assert (one.commitment, one.sealed) == (two.commitment, two.sealed)
    assert one.wrapped != two.wrapped
    assert (after.updated_at, after.secret_changed_at) == (key.updated_at, key.secret_changed_at)


def test_rewrapping_again_writes_nothing(account, rotate):
    saved_key(account)
    rotate(NEW, OLD)
    rotation.rewrap_all()
    assert rotation.rewrap_all().written == 0


def test_a_row_that_does_not_open_does_not_stop_the_others(account, rotate):
    lost = entry("lost")
    rotate(lost)
    key = saved_key(account, "gone")
    rotate(OLD)
    many_keys(account, 3)
    rotate(NEW, OLD)
    tally = rotation.rewrap_all(batch=2)
    assert tally.written == 3
    assert [(row.row_id, row.reason) for row in tally.closed] == [(str(key.pk), Reason.UNKNOWN_KEY)]
    assert tally.unfinished == 0
    rotate(NEW, lost)
    assert reloaded(key).secret.unseal() == Secret(SECRET)


# Re-encrypting -----------------------------------------------------------------------------


def test_reencrypting_gives_every_row_a_data_key_of_its_own_again(account):
    many_keys(account, 7)
    before, blobs = secrets_by_row(), {key.secret.blob for key in ProviderKey.objects.all()}
    tally = rotation.reencrypt_all(batch=3)
    assert (tally.written, tally.closed, tally.unfinished) == (7, [], 0)
    assert secrets_by_row() == before
    commitments = {Envelope.parse(blob).commitment for blob in blobs}
    assert not commitments & {
        Envelope.parse(key.secret.blob).commitment for key in ProviderKey.objects.all()
    }


def test_reencrypting_computes_fingerprints_anew(account):
    key = saved_key(account)
    ProviderKey.objects.update(fingerprint="of another root")
    rotation.reencrypt_all()
    assert reloaded(key).fingerprint == fingerprint(Secret(SECRET), account.pk)


def test_an_interrupted_reencryption_goes_on_where_it_was(account):
    many_keys(account, 6)
    rows = list(ProviderKey.objects.order_by("pk"))
    VaultKey.objects.update(reencrypted_up_to=f"byok_providerkey.secret {rows[3].pk}")
    assert "was interrupted" in manage("status")
    assert rotation.reencrypt_all(batch=1).written == 2
    after = list(ProviderKey.objects.order_by("pk"))
    same = [one.secret.blob == two.secret.blob for one, two in zip(rows, after, strict=True)]
    assert same == [True] * 4 + [False] * 2
    assert rotation.reencrypt_all().written == 6


def test_a_row_that_does_not_open_is_left_by_reencryption(account):
    key = reloaded(saved_key(account))
    raw_update("secret", key.secret.blob[:-1] + b"?", key)
    many_keys(account, 2)
    tally = rotation.reencrypt_all()
    assert tally.written == 2
    assert [row.reason for row in tally.closed] == [Reason.NOT_AUTHENTIC]
    assert tally.unfinished == 0


# Between reading and writing ---------------------------------------------------------------


@pytest.fixture
def read(account, rotate) -> list[Model]:
    saved_key(account)
    rotate(NEW, OLD)
    return read_by_rotation()


def rewrap_batch(rows: list[Model], tally: rotation.Tally) -> None:
    field = column()
    rotation._rewrap_batch(field, rows, tally)


def reencrypt_batch(rows: list[Model], tally: rotation.Tally) -> None:
    field = column()
    rotation._reencrypt_batch(field, rows, Secret("07" * 32), tally)


@pytest.mark.parametrize("write", [rewrap_batch, reencrypt_batch])
def test_a_secret_saved_after_rotation_has_read_the_row_stays(write, read, account):
    key = ProviderKey.objects.get()
    key.secret, key.fingerprint = Secret(NEWER), fingerprint(Secret(NEWER), account.pk)
    key.save()
    tally = rotation.Tally()
    write(read, tally)
    assert tally.written == 0
    assert reloaded(key).secret.unseal() == Secret(NEWER)
    assert reloaded(key).fingerprint == fingerprint(Secret(NEWER), account.pk)


@pytest.mark.parametrize("write", [rewrap_batch, reencrypt_batch])
def test_a_row_deleted_after_rotation_has_read_it_stays_deleted(write, read):
    ProviderKey.objects.all().delete()
    write(read, rotation.Tally())
    assert not ProviderKey.objects.exists()


@pytest.mark.parametrize("write", [rewrap_batch, reencrypt_batch])
def test_an_instance_loaded_before_rotation_and_saved_after_it_undoes_nothing(write, read):
    stale = ProviderKey.objects.get()
    write(read, rotation.Tally())
    stale.health_message = "a test ended"
    stale.save()
    assert rotation.rows_by_key() == {"new": 1}
    assert reloaded(stale).secret.unseal() == Secret(SECRET)


# Retiring ----------------------------------------------------------------------------------


def test_a_key_in_use_cannot_be_retired(account, rotate):
    many_keys(account, 2)
    rotate(NEW, OLD)
    with pytest.raises(KeyInUse, match="old is needed by 2"):
        rotation.retire("old")
    assert VaultKey.objects.get(key_id="old").retired_at is None
    rotate(OLD)
    saved_key(account)


def test_the_first_key_cannot_be_retired(account):
    saved_key(account)
    with pytest.raises(KeyInUse, match="first of the configuration"):
        rotation.retire("old")


def test_after_rewrapping_the_old_key_can_be_retired_and_removed(account, rotate):
    key = saved_key(account)
    rotate(NEW, OLD)
    rotation.rewrap_all()
    rotation.retire("old")
    assert VaultKey.objects.get(key_id="old").retired_at
    rotate(NEW)
    assert reloaded(key).secret.unseal() == Secret(SECRET)


def test_a_key_that_is_not_configured_but_in_use_cannot_be_retired_either(account, rotate):
    saved_key(account)
    rotate(NEW)
    with pytest.raises(KeyInUse, match="needed by 1"):
        rotation.retire("old")


# The command -------------------------------------------------------------------------------


def test_status_counts_rows_by_key_and_names_those_that_do_not_open(account, rotate):
    rotate(entry("lost"))
    key = saved_key(account, "gone")
    rotate(OLD)
    many_keys(account, 2)
    rotate(NEW, OLD)
    said = manage("status")
    assert "new  0 values  first: seals what is saved" in said
    assert "old  2 values  configured" in said
    assert "lost  1 values  NOT CONFIGURED" in said
    assert f"byok_providerkey {key.pk}: unknown_key" in said
    assert SECRET not in said


def test_status_names_a_key_nobody_knows_by_what_its_rows_say(account, rotate):
    rotate(entry("lost"))
    saved_key(account)
    VaultKey.objects.all().delete()
    rotate(OLD)
    assert "unknown key " in manage("status")


def test_status_works_on_an_empty_database_and_says_that_all_is_well():
    assert "Every value opens." in manage("status")


def test_the_whole_rotation_by_command(account, rotate):
    many_keys(account, 5)
    before = secrets_by_row()
    rotate(OLD, NEW)
    manage("status")
    rotate(NEW, OLD)
    assert "5 values brought under new." in manage("rewrap", "--batch", "2")
    assert "old is retired" in manage("retire", "old")
    assert "retired" in manage("status")
    rotate(NEW)
    assert "5 values sealed afresh under new." in manage("reencrypt")
    assert secrets_by_row() == before


def test_a_rotation_that_leaves_rows_behind_fails(account, rotate):
    rotate(entry("lost"))
    saved_key(account)
    rotate(NEW)
    for command in ("rewrap", "reencrypt"):
        with pytest.raises(CommandError, match="1 values were left"):
            manage(command)


@pytest.mark.parametrize("command", ["rewrap", "reencrypt"])
def test_a_rotation_under_a_wrong_key_is_refused(command, account, rotate):
    saved_key(account)
    rotate(entry("old"))
    with pytest.raises(CommandError, match="old is wrong"):
        manage(command)


def test_every_command_refuses_an_unusable_setting_with_its_sentence(rotate):
    rotate("old:Zm9v")
    for arguments in (["status"], ["rewrap"], ["reencrypt"], ["retire", "old"]):
        with pytest.raises(CommandError, match="3 bytes long"):
            manage(*arguments)


def test_retiring_a_key_never_used_says_so():
    with pytest.raises(CommandError, match="ever been used"):
        manage("retire", "nothing")
