"""S3: every write of a secret has a data key and nonces of its own."""

from byok.vault import Secret, rewrap, seal
from byok.vault.envelope import Envelope
from tests.vaults import SECRET, context, count_from, entry, reloaded, ring, saved_key

SEALINGS = count_from("S03_SEALINGS", 2_000)


def parts(blob: bytes) -> dict[str, bytes]:
    envelope = Envelope.parse(blob)
    return {
        "wrapping nonce": envelope.wrapped[:12],
        "wrapped data key": envelope.wrapped[12:],
        "commitment": envelope.commitment,
        "nonce": envelope.sealed[:12],
        "ciphertext": envelope.sealed[12:],
    }


def test_no_part_of_a_sealing_ever_repeats():
    keyring = ring(entry("2026a"))
    seen: dict[str, set[bytes]] = {}
    for _ in range(SEALINGS):
        for name, part in parts(seal(Secret(SECRET), context(), keyring=keyring)).items():
            seen.setdefault(name, set()).add(part)
    assert {name: len(values) for name, values in seen.items()} == dict.fromkeys(seen, SEALINGS)


def test_rewrapping_again_and_again_never_repeats_a_nonce():
    keyring = ring(entry("2026a"))
    blob = seal(Secret(SECRET), context(), keyring=keyring)
    nonces = {parts(rewrap(blob, context(), keyring=keyring))["wrapping nonce"] for _ in range(500)}
    assert len(nonces) == 500


def test_saving_the_same_secret_again_changes_the_whole_blob(account):
    key = saved_key(account)
    before = parts(reloaded(key).secret.blob)
    key.secret = Secret(SECRET)
    key.save()
    after = parts(reloaded(key).secret.blob)
    assert [name for name in before if before[name] == after[name]] == []


def test_two_rows_with_one_secret_share_no_part(account):
    one, two = saved_key(account, "anthropic"), saved_key(account, "openai")
    shared = set(parts(reloaded(one).secret.blob).values()) & set(
        parts(reloaded(two).secret.blob).values()
    )
    assert shared == set()
