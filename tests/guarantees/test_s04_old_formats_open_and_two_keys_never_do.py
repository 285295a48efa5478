"""S4: blobs written by earlier releases still open; a blob cannot open under two keys."""

import base64
from hashlib import sha512
from hmac import digest

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from byok.vault import Reason, Secret, Unsealable, seal, unseal
from byok.vault.envelope import Envelope, derive, payload_binding
from byok.vault.register import fingerprint_under
from byok.vault.secret import DataKey
from tests.guarantees.two_keys import ciphertext_for_both
from tests.vaults import SECRET, context, entry, ring

# Written by release 0.1. These stay as they are for ever; a new format adds its own.
GOLDEN_KEY = "2026a:SqPSgiX7A7HsyMIMIaC9qxC2MPFmnPksZz3FCW7eugU="
GOLDEN = {
    "sk-ant-api03-Zq3x8Kw0vR7nT2mB5yJ9": (
        "AQEUBohR8IgIV379V4m2vZB5pvQYRaBqB60sQUd+ugrVq8LUTkK9Zkv2Wdt/V+Zo7w2SMLqaS93Y1Cxyh9P/4q0/"
        "pnA6115Bg5wgx5TJIa07VU3Bo/N5Xc7ymWi8gSNw1vyMXfFymqm8BUaVHj35Z5KpBuVJIOadsxVhwcQ2qtexstni"
        "3cHQpyfBiIwLsUvqr1i+n5YZCjMHs7da1Toq"
    ),
    '{"région": "münchen", "🔑": 1}': (
        "AQEUBohR4eRsx+9lw2tAYdwx3ZiqlWfAHsNHXT8y0lbY7pa22NLi/jFzIRpdvMH6KRom9gANFqqoNMWGvfIyeNW2"
        "wHBreQizFG9cU5oPRFUAS+32dn6X7wWKrHTJdjeqh0fkjCrs6L6dbcU4wau2l/QbrsXDS2C/AXr3vnhpI1Alhysg"
        "jTNDqZXM7FhXX0z5Eje52rQ3WzxX1UgoDdu3ng=="
    ),
    "": (
        "AQEUBohRbbnXnfpF4mgd89Ot2wfdHPRMBIie3Q82B45hDBLBd6A7Xmn8nc3j/wMJjCqp0vFSG77RjlW3BOQ5Z1Ry"
        "ul+JUf5b5PZdvDXWUtWfOiZXCN8rWkwmAvwu5MXOkYcJR1bSAawVY5w5KzqMDdJZGPvH5jssO8RiXAcY"
    ),
}


@pytest.mark.parametrize("text", GOLDEN)
def test_a_blob_of_release_0_1_opens(text):
    blob = base64.b64decode(GOLDEN[text])
    assert unseal(blob, context(), keyring=ring(GOLDEN_KEY)) == Secret(text)


def test_a_fingerprint_of_release_0_1_still_matches():
    root = Secret("07" * 32)
    assert fingerprint_under(root, Secret(SECRET), context().account_id) == (
        "98449a9b4429507a1fadaf742c006c58a09bec7cd32a14803a72166a22f41d17"
    )


@pytest.mark.parametrize("version", [0, 2, 255])
def test_an_unknown_version_is_refused_as_such(version):
    assert reason(bytes([version]) + good_blob()[1:]) is Reason.UNKNOWN_VERSION


@pytest.mark.parametrize("algorithm", [0, 3, 255])
def test_an_unknown_algorithm_is_refused_as_such(algorithm):
    assert reason(b"\x01" + bytes([algorithm]) + good_blob()[2:]) is Reason.UNKNOWN_ALGORITHM


def test_an_unknown_key_id_is_refused_as_such():
    blob = seal(Secret(SECRET), context(), keyring=ring(entry("2025z")))
    assert reason(blob) is Reason.UNKNOWN_KEY


def test_a_key_id_cannot_be_exchanged_for_that_of_another_configured_key():
    a, b = entry("2026a"), entry("2026b")
    both = ring(a, b)
    blob = seal(Secret(SECRET), context(), keyring=both)
    renamed = ring(b).primary.header + blob[6:]
    assert reason(renamed, both) is Reason.NOT_AUTHENTIC


def test_a_ciphertext_that_two_data_keys_accept_opens_only_under_the_committed_one():
    """Whoever knew two keys could make it; without the commitment both would open."""
    keyring = ring(entry("2026a"), entry("2026b"))
    where, nonce = context(), b"twelve bytes"
    one, two = DataKey(b"1" * 32), DataKey(b"2" * 32)
    raw_one, raw_two = encryption_key(one), encryption_key(two)
    binding = payload_binding(where)
    ciphertext = ciphertext_for_both(raw_one, raw_two, nonce, binding)
    texts = {AESGCM(key).decrypt(nonce, ciphertext, binding) for key in (raw_one, raw_two)}
    assert len(texts) == 2

    commitment = derive(one)[1]
    blobs = [
        bytes(Envelope(key.header, key.wrap(data_key, where), commitment, nonce + ciphertext))
        for key, data_key in zip(keyring.keys, (one, two), strict=True)
    ]
    assert reason(blobs[0], keyring) is not Reason.NOT_COMMITTED
    assert reason(blobs[1], keyring) is Reason.NOT_COMMITTED


def encryption_key(data_key: DataKey) -> bytes:
    """The vault's derivation, written out a second time from its description."""
    extracted = digest(bytes(64), data_key.raw, sha512)
    return digest(extracted, b"megabrain vault 1: encryption key, commitment\x01", sha512)[:32]


def good_blob() -> bytes:
    return seal(Secret(SECRET), context(), keyring=ring(GOLDEN_KEY))


def reason(blob, keyring=None) -> Reason:
    with pytest.raises(Unsealable) as refused:
        unseal(blob, context(), keyring=keyring or ring(GOLDEN_KEY))
    return refused.value.reason
