"""Sealing and opening, without a database."""

import traceback
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byok.vault import Context, Reason, Secret, Unsealable, rewrap, seal, unseal
from byok.vault.context import length_prefixed
from tests.vaults import SECRET, context, entry, ring

RING = ring(entry("2026a"))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
CONTEXTS = st.builds(Context, *[NAMES] * 5)


@given(text=TEXTS, where=CONTEXTS)
def test_every_text_comes_back_in_its_own_context(text, where):
    assert unseal(seal(Secret(text), where, keyring=RING), where, keyring=RING) == Secret(text)


@given(text=TEXTS, where=CONTEXTS, elsewhere=CONTEXTS)
def test_no_blob_opens_in_another_context(text, where, elsewhere):
    blob = seal(Secret(text), where, keyring=RING)
    if where != elsewhere:
        with pytest.raises(Unsealable):
            unseal(blob, elsewhere, keyring=RING)


@given(parts=st.lists(st.binary()), others=st.lists(st.binary()))
def test_different_parts_never_give_the_same_associated_data(parts, others):
    assert (length_prefixed(parts) == length_prefixed(others)) == (parts == others)


@given(blob=st.binary(max_size=300))
def test_bytes_that_were_never_sealed_are_refused_with_a_reason(blob):
    with pytest.raises(Unsealable) as refused:
        unseal(blob, context(), keyring=RING)
    assert refused.value.reason in Reason


@given(tail=st.binary(max_size=200), algorithm=st.sampled_from([1, 2]))
def test_rubbish_behind_a_good_header_is_refused_with_a_reason(tail, algorithm):
    header = bytes([1, algorithm]) + RING.primary.header[2:]
    with pytest.raises(Unsealable):
        unseal(header + tail, context(), keyring=RING)


def test_a_blob_has_the_documented_layout():
    blob = seal(Secret(SECRET), context(), keyring=RING)
    assert blob[:2] == b"\x01\x01"
    assert len(blob) == 6 + (12 + 32 + 16) + 32 + (12 + len(SECRET) + 16)


def test_a_key_further_down_the_ring_still_opens():
    old, new = entry("2026a"), entry("2026b")
    blob = seal(Secret(SECRET), context(), keyring=ring(old))
    assert unseal(blob, context(), keyring=ring(new, old)) == Secret(SECRET)


def test_the_same_id_with_another_key_does_not_open():
    blob = seal(Secret(SECRET), context(), keyring=ring(entry("2026a")))
    with pytest.raises(Unsealable) as refused:
        unseal(blob, context(), keyring=ring(entry("2026a")))
    assert refused.value.reason is Reason.NOT_AUTHENTIC


def test_rewrapping_replaces_the_wrapped_data_key_and_nothing_else():
    old, new = entry("2026a"), entry("2026b")
    blob = seal(Secret(SECRET), context(), keyring=ring(old))
    moved = rewrap(blob, context(), keyring=ring(new, old))
    assert moved[66:] == blob[66:]
    assert moved[6:66] != blob[6:66]
    assert unseal(moved, context(), keyring=ring(new)) == Secret(SECRET)


@pytest.mark.parametrize("field", [field.name for field in fields(Context)])
def test_rewrapping_moves_nothing_to_another_context(field):
    blob = seal(Secret(SECRET), context(), keyring=RING)
    with pytest.raises(Unsealable):
        rewrap(blob, replace(context(), **{field: "other"}), keyring=RING)


def test_nothing_reachable_from_a_failure_shows_the_secret():
    blob = bytearray(seal(Secret(SECRET), context(), keyring=RING))
    blob[-1] ^= 1
    with pytest.raises(Unsealable) as refused:
        unseal(bytes(blob), context(), keyring=RING)
    told = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    text = "".join(told.format())
    assert SECRET not in text
    assert "***" in text  # the data key, by its own repr
