"""Vault keys that live in AWS KMS, against a stand-in that speaks its protocol over HTTP."""

import asyncio
import base64
import time
from collections.abc import Iterator
from threading import Thread

import pytest

from byok.fields import Sealed
from byok.models import ProviderKey
from byok.vault import (
    CannotSeal,
    KeyringError,
    Reason,
    Secret,
    Unsealable,
    rewrap,
    seal,
    unseal,
    verify_keyring,
)
from byok.vault.keyring import Keyring
from byok.vault.kms import KmsKey
from tests.fake_kms import ARN, OTHER_ARN, FakeKms
from tests.vaults import SECRET, context, entry, reloaded, ring, saved_key

# Written by release 0.1 with the stand-in.
GOLDEN = (
    "AQL7zsZeADyeg/lF16EbPIMHEpfmVg13qyXJ3UhxO0it5U03ANKtoEa53S3QcUTnI1jpTHLqHhAbARV5kb1BvwO+"
    "FRPLChsiV8O5+7fdeFB7cR1G4I17RNsk1WbpLa0fgOXJl63qZHU31SIHCVdL9I5FYza6PW8z42PnQnLOcNltmBMV"
    "OtJJCr8WxOdTMfb77c6rp/qPdQUMlt2568eGPDc="
)


@pytest.fixture
def aws(monkeypatch) -> Iterator[FakeKms]:
    server = FakeKms()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def keyring(aws: FakeKms) -> Keyring:
    return ring(f"aws1:kms:{ARN}")


@pytest.fixture
def blob(keyring: Keyring) -> bytes:
    return seal(Secret(SECRET), context(), keyring=keyring)


def reason(blob: bytes, keyring: Keyring, **changes: str) -> Reason:
    with pytest.raises(Unsealable) as refused:
        unseal(blob, context(**changes), keyring=keyring)
    return refused.value.reason


def another_process() -> Keyring:
    """The same keyring with nothing remembered."""
    return ring(f"aws1:kms:{ARN}")


def test_kms_sees_the_data_key_and_the_row_but_never_the_secret(aws, blob, keyring):
    assert unseal(blob, context(), keyring=another_process()) == Secret(SECRET)
    assert [operation for operation, _ in aws.calls] == ["Encrypt", "Decrypt"]
    for _, body in aws.calls:
        assert body["KeyId"] == ARN
        assert body["EncryptionContext"] == {
            "product": "megabrain",
            "table": "byok_providerkey",
            "column": "secret",
            "row": context().row_id,
            "account": context().account_id,
            "provider": "anthropic",
            "header": keyring.primary.header.hex(),
        }
    assert len(base64.b64decode(aws.calls[0][1]["Plaintext"])) == 32
    assert SECRET not in repr(aws.calls)


def test_a_blob_of_release_0_1_opens(aws):
    assert unseal(base64.b64decode(GOLDEN), context(), keyring=another_process()) == Secret(SECRET)


@pytest.mark.parametrize("field", ["table", "column", "row_id", "account_id", "provider"])
def test_a_blob_under_kms_opens_in_its_own_row_only(field, blob):
    assert reason(blob, another_process(), **{field: "other"}) is Reason.NOT_AUTHENTIC


def test_what_is_remembered_for_one_row_is_asked_anew_for_another(aws, blob, keyring):
    unseal(blob, context(), keyring=keyring)
    assert reason(blob, keyring, row_id="other") is Reason.NOT_AUTHENTIC
    assert aws.calls[-1][1]["EncryptionContext"]["row"] == "other"


def test_every_flipped_bit_is_a_typed_failure(blob):
    keyring = another_process()
    for position in range(0, len(blob) * 8, 7):
        altered = bytearray(blob)
        altered[position // 8] ^= 1 << position % 8
        with pytest.raises(Unsealable):
            unseal(bytes(altered), context(), keyring=keyring)


def test_the_same_id_for_another_kms_key_does_not_open(blob):
    assert reason(blob, ring(f"aws1:kms:{OTHER_ARN}")) is Reason.NOT_AUTHENTIC


def test_opening_again_does_not_ask_kms_again(aws, blob):
    keyring = another_process()
    for _ in range(50):
        unseal(blob, context(), keyring=keyring)
    assert [operation for operation, _ in aws.calls] == ["Encrypt", "Decrypt"]


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(aws):
    keyring = Keyring([KmsKey("aws1", ARN, remembered=3)])
    blobs = [seal(Secret(SECRET), context(row_id=str(row)), keyring=keyring) for row in range(5)]
    for row, blob in enumerate(blobs):
        unseal(blob, context(row_id=str(row)), keyring=keyring)
    wrapped = [blob[6 : -32 - 12 - len(SECRET) - 16] for blob in blobs]
    at_hand = [
        keyring.primary.at_hand(part, context(row_id=str(row))) for row, part in enumerate(wrapped)
    ]
    assert at_hand == [False, False, True, True, True]


def test_what_is_remembered_is_forgotten_in_time(aws, blob):
    keyring = Keyring([KmsKey("aws1", ARN, seconds=0.05)])
    unseal(blob, context(), keyring=keyring)
    time.sleep(0.06)
    aws.fails = (400, "DisabledException")
    assert reason(blob, keyring) is Reason.REFUSED


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "AccessDeniedException", Reason.REFUSED),
        (400, "DisabledException", Reason.REFUSED),
        (400, "NotFoundException", Reason.REFUSED),
        (400, "KMSInvalidStateException", Reason.REFUSED),
        (400, "InvalidCiphertextException", Reason.NOT_AUTHENTIC),
        (400, "IncorrectKeyException", Reason.NOT_AUTHENTIC),
        (400, "ThrottlingException", Reason.UNAVAILABLE),
        (500, "KMSInternalException", Reason.UNAVAILABLE),
        (503, "AnythingElse", Reason.UNAVAILABLE),
    ],
)
def test_what_kms_answers_becomes_a_reason(status, code, expected, aws, blob):
    aws.fails = (status, code)
    assert reason(blob, another_process()) is expected


def test_nobody_waits_for_a_kms_that_has_just_failed_to_answer(aws, blob):
    keyring = another_process()
    aws.fails = (500, "KMSInternalException")
    reason(blob, keyring)
    asked = len(aws.calls)
    assert reason(blob, keyring) is Reason.UNAVAILABLE
    assert len(aws.calls) == asked


def test_sealing_without_kms_says_so_and_quotes_nothing(aws, keyring):
    aws.fails = (400, "AccessDeniedException")
    with pytest.raises(CannotSeal, match="aws1 cannot be used") as refused:
        seal(Secret(SECRET), context(), keyring=keyring)
    assert SECRET not in repr(refused.value)


def test_a_local_blob_moves_under_kms_and_back_without_showing_the_secret(keyring):
    local = entry("2026a")
    blob = seal(Secret(SECRET), context(), keyring=ring(local))
    moved = rewrap(blob, context(), keyring=ring(f"aws1:kms:{ARN}", local))
    assert moved[:2] == b"\x01\x02"
    assert unseal(moved, context(), keyring=another_process()) == Secret(SECRET)
    back = rewrap(moved, context(), keyring=ring(local, f"aws1:kms:{ARN}"))
    assert unseal(back, context(), keyring=ring(local)) == Secret(SECRET)


def test_an_event_loop_is_not_blocked_by_kms(blob, settings):
    settings.MEGABRAIN_VAULT_KEYS = f"aws1:kms:{ARN}"
    sealed = Sealed(blob, context())

    async def open_beside_a_clock() -> int:
        ticks = 0
        opening = asyncio.create_task(sealed.aunseal())
        while not opening.done():
            await asyncio.sleep(0)
            ticks += 1
        assert await opening == Secret(SECRET)
        return ticks

    assert asyncio.run(open_beside_a_clock()) > 1


def test_a_provider_key_is_kept_under_kms(aws, account, settings):
    settings.MEGABRAIN_VAULT_KEYS = f"aws-{account.pk.hex[:8]}:kms:{ARN}"
    key = saved_key(account)
    assert reloaded(key).secret.unseal() == Secret(SECRET)


def test_starting_with_kms_denied_is_refused_and_with_kms_down_is_not(aws, db, settings, caplog):
    settings.MEGABRAIN_VAULT_KEYS = f"started:kms:{ARN}"
    verify_keyring()
    settings.MEGABRAIN_VAULT_KEYS += " "  # as another process reads it, with nothing remembered
    aws.fails = (400, "AccessDeniedException")
    with pytest.raises(KeyringError, match="started cannot be used"):
        verify_keyring()
    settings.MEGABRAIN_VAULT_KEYS += " "
    aws.fails = (500, "KMSInternalException")
    verify_keyring()
    assert "started was not verified" in caplog.text


def test_a_kms_outage_makes_a_key_unhealthy_and_nothing_worse(aws, account, settings):
    settings.MEGABRAIN_VAULT_KEYS = f"outage:kms:{ARN}"
    saved_key(account)
    settings.MEGABRAIN_VAULT_KEYS += " "
    aws.fails = (500, "KMSInternalException")
    [key] = ProviderKey.objects.for_account(account)
    assert key.secret.trouble() is Reason.UNAVAILABLE
