"""S2: a sealed blob opens only in its own row, for its account and provider."""

from dataclasses import fields, replace

import pytest
from django.db import connection

from byok.models import ProviderKey
from byok.vault import Context, Reason, Secret, Unsealable, seal, unseal
from byok.vault.envelope import Envelope, unwrap
from tests.vaults import SECRET, context, entry, raw_update, reloaded, ring, saved_key

RING = ring(entry("2026a"))


def refusal(blob: bytes, where: Context) -> Unsealable:
    with pytest.raises(Unsealable) as refused:
        unseal(blob, where, keyring=RING)
    assert SECRET not in repr(refused.value)
    assert SECRET not in str(refused.value)
    return refused.value


@pytest.mark.parametrize("field", [field.name for field in fields(Context)])
def test_a_blob_does_not_open_when_any_part_of_its_identity_differs(field):
    blob = seal(Secret(SECRET), context(), keyring=RING)
    assert refusal(blob, context(**{field: "other"})).reason is Reason.NOT_AUTHENTIC


def test_a_blob_does_not_open_where_the_parts_of_an_identity_only_read_the_same():
    blob = seal(Secret(SECRET), context(row_id="12", account_id="3"), keyring=RING)
    moved = refusal(blob, context(row_id="1", account_id="23"))
    assert moved.reason is Reason.NOT_AUTHENTIC


def test_a_ciphertext_stays_bound_to_its_row_even_when_its_data_key_is_wrapped_for_another():
    elsewhere = context(row_id="other")
    envelope = Envelope.parse(seal(Secret(SECRET), context(), keyring=RING))
    data_key, _ = unwrap(envelope, RING.primary, context())
    moved = replace(envelope, wrapped=RING.primary.wrap(data_key, elsewhere))
    assert refusal(bytes(moved), elsewhere).reason is Reason.NOT_AUTHENTIC


def test_every_flipped_bit_is_a_typed_failure():
    blob = seal(Secret(SECRET), context(), keyring=RING)
    for position in range(len(blob) * 8):
        altered = bytearray(blob)
        altered[position // 8] ^= 1 << position % 8
        assert refusal(bytes(altered), context()).reason in Reason


def test_every_shortened_or_lengthened_blob_is_a_typed_failure():
    blob = seal(Secret(SECRET), context(), keyring=RING)
    for length in range(len(blob)):
        refusal(blob[:length], context())
        refusal(blob[length + 1 :], context())
    refusal(blob + b"\0", context())


@pytest.fixture
def key(account):
    return saved_key(account)


def test_a_blob_copied_to_a_row_of_the_same_account_does_not_open(key, account):
    other = saved_key(account, "openai", "sk-proj-other-secret-of-this-account")
    raw_update("secret", reloaded(key).secret.blob, other)
    assert reloaded(other).secret.trouble() is Reason.NOT_AUTHENTIC


def test_a_blob_copied_to_another_account_does_not_open(key, stranger):
    other = saved_key(stranger.account, secret="sk-ant-api03-the-strangers-own")
    raw_update("secret", reloaded(key).secret.blob, other)
    assert reloaded(other).secret.trouble() is Reason.NOT_AUTHENTIC


def test_a_row_given_to_another_account_does_not_open(key, stranger):
    field = ProviderKey._meta.get_field("account")
    raw_update("account_id", field.get_db_prep_value(stranger.account.pk, connection), key)
    assert reloaded(key).account == stranger.account
    assert reloaded(key).secret.trouble() is Reason.NOT_AUTHENTIC


def test_a_row_given_to_another_provider_does_not_open(key):
    raw_update("provider", "openai", key)
    assert reloaded(key).secret.trouble() is Reason.NOT_AUTHENTIC


def test_an_older_blob_of_the_same_row_opens_as_what_it_was(key):
    # Putting back an earlier value needs the database; the vault does not claim to notice it.
    earlier = reloaded(key).secret.blob
    key.secret = Secret("sk-ant-api03-a-newer-secret-here")
    key.save()
    raw_update("secret", earlier, key)
    assert reloaded(key).secret.unseal() == Secret(SECRET)
