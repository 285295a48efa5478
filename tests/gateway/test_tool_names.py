"""Names of tools and ids of calls are legal everywhere, told apart, and always the same."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from megabrain.gateway.dialects.tool_names import (
    ToolNames,
    flat,
    id_for_converse,
    id_for_messages,
    id_for_responses,
)

LEGAL = re.compile(r"[a-zA-Z0-9_-]{1,64}")
few = settings(max_examples=100, deadline=None)

names = st.one_of(st.sampled_from(["a", "b", "a__b", "ä b", "a.b", "x" * 64, "x" * 65]), st.text())
tools = st.tuples(names, st.none() | names)


@few
@given(st.lists(tools, unique=True, max_size=8))
def test_every_tool_has_a_legal_name_of_its_own_in_every_turn(offered):
    first, again = ToolNames(), ToolNames()
    given_names = [first.of(*tool) for tool in offered]
    assert all(map(LEGAL.fullmatch, given_names))
    assert len(set(given_names)) == len(offered)
    # More tools come with later turns, and change none of these.
    assert [again.of(*tool) for tool in [*offered, ("late", None)]][:-1] == given_names
    assert [again.of(*tool) for tool in offered] == given_names


def test_a_name_that_fits_is_kept_and_one_that_is_too_long_keeps_its_beginning():
    assert flat("shell", "local") == "local__shell"
    assert flat("x" * 64) == "x" * 64
    short = flat("x" * 65)
    assert re.fullmatch(r"x{55}_[0-9a-f]{8}", short)
    assert flat(short) == short


def test_tools_whose_names_would_be_the_same_are_told_apart():
    found = ToolNames()
    assert found.of("b", "a") == "a__b"
    assert re.fullmatch(r"a__b_[0-9a-f]{8}", found.of("a__b"))


@few
@given(st.text(min_size=1, max_size=80))
def test_an_id_is_kept_where_it_is_legal_and_replaced_for_good_where_not(call_id):
    for legal, pattern in (
        (id_for_messages, r"[a-zA-Z0-9_-]+"),
        (id_for_converse, r"[a-zA-Z0-9_.:-]{1,64}"),
        (id_for_responses, r"(?s).{1,64}"),
    ):
        new = legal(call_id)
        assert re.fullmatch(pattern, new)
        assert (new == call_id) == bool(re.fullmatch(pattern, call_id))
        assert legal(new) == new == legal(call_id)
