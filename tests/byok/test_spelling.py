"""How the name that a caller sends finds a model, and never another vendor's."""

import json
import sys
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from byok.catalogue.bundled import BUNDLED
from byok.catalogue.spelling import CLOSER_LOOKS, near_matches, resolve, spellings
from byok.providers import PROVIDERS

ENTRIES = json.loads(BUNDLED.read_text())["models"]

DIRECT = {
    entry["id"] for entry in ENTRIES if all(o.get("direct", False) for o in entry["offerings"])
}
KNOWN = spellings(
    (
        (entry["id"], [*entry["aliases"], *(o["upstream_id"] for o in entry["offerings"])])
        for entry in ENTRIES
    ),
    DIRECT,
)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("anthropic/claude-haiku-4.5", "anthropic/claude-haiku-4.5"),
        ("claude-haiku-4.5", "anthropic/claude-haiku-4.5"),
        ("claude-haiku-4-5", "anthropic/claude-haiku-4.5"),
        ("anthropic/claude-haiku-4-5", "anthropic/claude-haiku-4.5"),
        ("claude-haiku-4-5-20251001", "anthropic/claude-haiku-4.5"),
        ("  Claude-Haiku-4-5 \n", "anthropic/claude-haiku-4.5"),
        ("gpt-6-luna", "openai/gpt-6-luna"),
        ("openai/gpt-5-6-sol", "openai/gpt-5.6-sol"),
        ("gpt-oss-120b", "openai/gpt-oss-120b"),
        ("anthropic/claude-haiku-4.5-20251001", "anthropic/claude-haiku-4.5"),
        ("gpt-6-1-sol", "openai/gpt-6.1-sol"),
        ("mistral-medium-3.5", "mistralai/mistral-medium-3-5"),
        ("deepseek-flash", "deepseek/deepseek-v4.1-flash"),
        ("deepseek-chat", "deepseek/deepseek-chat"),
        ("deepseek-v4-flash", "deepseek/deepseek-v4-flash"),
        ("zai-org/glm-5.3", "z-ai/glm-5.3"),
        ("accounts/fireworks/models/glm-5p3", "z-ai/glm-5.3"),
        ("us.anthropic.claude-sonnet-5-5", "anthropic/claude-sonnet-5.5"),
        ("global.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic/claude-haiku-4.5"),
        ("apac.openai.gpt-6-sol", "openai/gpt-6-sol"),
        ("MiniMax-M3", "minimax/minimax-m3"),
        ("codestral-latest", "mistralai/codestral-2508"),
        ("glm-4.7", "z-ai/glm-4.7"),
        ("zai-coding/glm-4.7", "zai-coding/glm-4.7"),
        ("ollama-cloud/kimi-k2.6:cloud", "ollama-cloud/kimi-k2.6:cloud"),
        ("zai-coding/glm-4-7", None),
        ("zai-coding/glm-5.3", None),
        ("kimi-for-coding", None),
        ("Chutes/Qwen3-30B-A3B", "chutes/qwen3-30b-a3b"),
        ("openai/claude-haiku-4-5", None),
        ("anthropic/gpt-6-luna", None),
        # Versions that nobody serves are not those that somebody does.
        ("gpt-5.1", None),
        ("anthropic/claude-sonnet-4.5", None),
        ("claude-sonnet-4-5-20250929", None),
        ("claude-haiku-4-5-20251002", None),
        ("claude-haiku-4-5-20251001-v1:0", None),
        # What other gateways write before or after a name stands for something of theirs.
        ("openrouter/anthropic/claude-haiku-4.5", None),
        ("anthropic/claude-haiku-4.5:free", None),
        ("anthropic/claude-haiku-4.5[1m]", None),
        ("~anthropic/claude-haiku-4.5", None),
        ("models/gemini-4-neon", None),
        ("xai/grok-4.6", None),
        ("claude", None),
        ("", None),
        ("/", None),
        ("claude-haiku-4-5\x00", None),
    ],
)
def test_a_model_is_found_by_its_spellings_and_never_at_another_vendor(asked, found):
    assert resolve(asked, KNOWN) == found


def test_every_id_and_every_upstream_id_finds_its_own_model():
    for entry in ENTRIES:
        assert resolve(entry["id"], KNOWN) == entry["id"]
        assert all(resolve(alias, KNOWN) == entry["id"] for alias in entry["aliases"])
        for offering in entry["offerings"]:
            # Agents name a region, or none.
            upstream = offering["upstream_id"].removeprefix("{geo}.")
            if not offering.get("direct"):
                assert resolve(upstream, KNOWN) == entry["id"]


def test_a_spelling_that_two_vendors_share_means_neither():
    known = spellings([("a/same", ["nick"]), ("b/same", ["nick"]), ("c/other", ["same"])])

    assert resolve("same", known) is None
    assert resolve("nick", known) is None
    assert resolve("a/same", known) == "a/same"
    assert resolve("a/nick", known) == "a/same"


def test_an_alias_never_takes_the_place_of_a_name():
    known = spellings([("a/one", ["two"]), ("a/two", [])])

    assert resolve("a/two", known) == "a/two"
    assert resolve("two", known) is None, "which meant another model before this one was added"


def test_a_version_of_a_model_is_found_by_the_very_id_that_is_served():
    models = [("a/sonnet-4.5", ["sonnet-4-5-20250929"]), ("a/sonnet-5", ["sonnet-5-20260101"])]
    known = spellings(models)

    for asked in ("sonnet-4-5-20250929", "a/sonnet-4.5-20250929", "sonnet-4-5", "a/sonnet-4.5"):
        assert resolve(asked, known) == "a/sonnet-4.5"
    for asked in ("sonnet-4-5-20250930", "sonnet-4", "sonnet-5.0", "sonnet-5-20260102"):
        assert resolve(asked, known) is None


def test_dots_and_dashes_are_mixed_up_only_where_nothing_else_is_called_so():
    known = spellings([("a/one-1.5", []), ("a/one-1-5", []), ("a/two-2.5", []), ("b/six-2-5", [])])

    assert resolve("a/one-1.5", known) == resolve("one-1.5", known) == "a/one-1.5"
    assert resolve("a/one-1-5", known) == resolve("one-1-5", known) == "a/one-1-5"
    assert resolve("a/two-2-5", known) == resolve("two-2-5", known) == "a/two-2.5"
    assert resolve("b/two-2-5", known) is None
    assert resolve("a/two.2.5", known) is None, "the first dot is not between digits"


def test_a_name_that_two_vendors_write_with_dots_and_with_dashes_means_neither():
    known = spellings([("a/one-1.5", []), ("b/one-1-5", [])])

    for asked in ("one-1.5", "one-1-5", "a/one.1.5"):
        assert resolve(asked, known) is None
    assert resolve("a/one-1-5", known) == "a/one-1.5"
    assert resolve("b/one-1.5", known) == "b/one-1-5"


def test_what_a_host_calls_a_model_is_no_other_vendors_name():
    host = ("a/one", ["host/one", "b/one"])

    assert resolve("host/one", spellings([host, ("b/two", [])])) == "a/one"
    assert resolve("b/one", spellings([host, ("b/two", [])])) is None
    assert resolve("host/one", spellings([host, ("host/two", [])])) is None


def test_the_prefix_of_a_direct_provider_leads_to_no_other_ones_model(settings):
    settings.MEGABRAIN_CUSTOM_ENDPOINTS, settings.MEGABRAIN_SIMULATOR = True, False
    direct = [provider.id for provider in PROVIDERS.values() if provider.direct]
    assert {"custom", "chutes"} < set(direct)
    known = spellings([("a/one", [f"{id_}/one" for id_ in direct])])

    assert {resolve(f"{id_}/one", known) for id_ in direct} == {None}


#: Few, so that they meet often.
NAME = st.sampled_from(["x", "y", "x.1", "x-1", "1.2", "1-2", "x-1.2", "x-1-2", "x-1-2.1", "x."])
VENDOR = st.sampled_from(["a", "b", "c.1"])
ID = st.builds("{}/{}".format, VENDOR, NAME)
OTHER = NAME | ID | NAME.map("{{geo}}.{}".format) | NAME.map("host/{}".format)
MODEL = st.tuples(ID, st.lists(OTHER, max_size=3))
MODELS = st.lists(MODEL, min_size=1, max_size=5, unique_by=lambda model: model[0])
ELSE = NAME | ID | NAME.map("us.{}".format) | NAME.map("host/{}".format)


def almost(name: str) -> st.SearchStrategy[str]:
    """The name, with or without its vendor, perhaps with dots and dashes mixed up."""
    short = name.rpartition("/")[2]
    return st.sampled_from(
        [name, short, name.replace(".", "-"), short.replace(".", "-"), short.replace("-", ".")]
    )


@st.composite
def cases(draw) -> tuple[list[tuple[str, list[str]]], str]:
    """Models, and what somebody asks for: mostly one of their names."""
    models = draw(MODELS)
    names = [name for model_id, others in models for name in (model_id, *others)]
    return models, draw(st.sampled_from(names).flatmap(almost) | ELSE)


CASES = cases()


def vendor_of(name: str) -> str:
    return name.partition("/")[0]


@given(CASES, VENDOR, NAME, st.data())
def test_adding_a_model_never_changes_what_a_spelling_means(case, vendor, name, data):
    models, asked = case
    # Mostly one that is called almost like what is asked for.
    name = data.draw(almost(asked) | st.just(name)).rpartition("/")[2]
    added = (f"{vendor}/{name}", data.draw(st.lists(OTHER | st.just(asked), max_size=2)))
    before = spellings(models)
    assume(added[0] not in before.values())
    after = spellings([added, *models] if data.draw(st.booleans()) else [*models, added])

    for spelling in before:
        if spelling != added[0]:
            assert resolve(spelling, after) in (before[spelling], None)
    meant, means = resolve(asked, before), resolve(asked, after)
    # Its own id is always the added model's; and what was written not quite so, if it is called
    # exactly so and is of the same vendor.
    if meant is not None and means not in (meant, None):
        assert means == added[0]
        assert asked == added[0] or vendor_of(means) == vendor_of(meant)


@given(CASES)
def test_a_vendors_prefix_never_leads_to_another_vendors_model(case):
    models, asked = case
    found = resolve(asked, spellings(models))

    vendors = {vendor_of(model_id) for model_id, _ in models}
    if found is not None and vendor_of(asked) in vendors and "/" in asked:
        assert vendor_of(found) == vendor_of(asked)


@given(CASES, st.sampled_from(["{}", " {}", "{}\n", "\t{} "]), st.booleans())
def test_a_name_means_the_same_in_capitals_and_with_space_around_it(case, form, capitals):
    models, asked = case
    known = spellings(models)
    found = resolve(asked, known)

    assert resolve(form.format(asked.upper() if capitals else asked), known) == found
    if found is not None:
        assert resolve(found, known) == found
    for model_id, _ in models:
        assert resolve(model_id, known) == model_id


@given(CASES)
def test_what_is_offered_directly_is_found_by_its_id_alone(case):
    models, asked = case
    direct = {models[0][0]}
    known = spellings(models, direct)

    assert (resolve(asked, known) in direct) == (asked in direct)
    others = spellings([*models[1:], (models[0][0], [])], direct)
    assert {s: m for s, m in known.items() if m not in direct} == {
        s: m for s, m in others.items() if m not in direct
    }


def calls_of(work: Callable[[], object]) -> dict[str, int]:
    """How often each function is called meanwhile, ours and Python's own, by name."""
    found: dict[str, int] = {}

    def note(frame, event, function) -> None:
        if event in ("call", "c_call"):
            name = frame.f_code.co_name if event == "call" else function.__name__
            found[name] = found.get(name, 0) + 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


def many(count: int) -> list[tuple[str, list[str]]]:
    return [
        (
            f"v{n % 40}/model-{n}.{n % 7}",
            [f"model-{n}-latest", f"accounts/host/models/model-{n}p{n % 7}"],
        )
        for n in range(count)
    ]


def test_five_thousand_models_are_little_work():
    few, lots = many(50), many(500)
    known, larger = spellings(few), spellings(many(5000))

    def total(work: Callable[[], object]) -> int:
        return sum(calls_of(work).values())

    assert total(lambda: spellings(lots)) < 11 * total(lambda: spellings(few)), "in proportion"
    for asked in ("v3/model-43.1", "MODEL-43-1 ", "nothing of this kind"):
        assert total(partial(resolve, asked, larger)) == total(partial(resolve, asked, known))
    # What ends the counting may be counted, too.
    counted = set(calls_of(partial(resolve, "1-" * 1_000_000, larger)))
    assert counted <= {"resolve", "len", "setprofile"}
    near_matches("anything", larger)  # Whoever asks first makes the index.
    for asked in ("v3/modle-43.1", "m" * 10_000):
        made = calls_of(partial(near_matches, asked, larger))
        # One more to begin with nothing.
        assert made.get("set_seq1", 0) <= CLOSER_LOOKS + 1
        assert sum(made.values()) < 20 * 5000
    assert "v3/model-43.1" in near_matches("v3/modle-43.1", larger)


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("claude-hiaku-4.5", "anthropic/claude-haiku-4.5"),
        ("anthropic/claude-haiku-4.5-latest", "anthropic/claude-haiku-4.5"),
        ("gpt6-luna", "openai/gpt-6-luna"),
        ("GLM 5.3 flash", "z-ai/glm-5.3-flash"),
        ("gpt-5.1", "openai/gpt-5.5"),
        ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4.6"),
        ("anthropic/claude-haiku-4.5:free", "anthropic/claude-haiku-4.5"),
    ],
)
def test_a_misspelt_name_is_answered_with_near_ones(asked, near):
    matches = near_matches(asked, KNOWN, DIRECT)

    assert near in matches
    assert len(matches) <= 3


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("zai-coding/glm-47", "zai-coding/glm-4.7"),
        ("kimi-coding/kimi-for-codin", "kimi-coding/kimi-for-coding"),
        ("glm-47", "z-ai/glm-4.7"),
        ("z-ai/glm-47", "z-ai/glm-4.7"),
    ],
)
def test_who_typed_the_prefix_of_a_direct_provider_is_answered_with_its_entries(asked, near):
    assert near_matches(asked, KNOWN, DIRECT)[0] == near


@pytest.mark.parametrize(
    "asked", ["glm-47", "kimi-for-codin", "qwen3-30b-a3", "GLM-5.1x", "morph-qwen", "gemini-3.5"]
)
def test_nobody_else_is_led_to_an_entry_that_takes_a_key_of_its_own(asked):
    assert not DIRECT.intersection(near_matches(asked, KNOWN, DIRECT))


def test_nonsense_has_no_near_names():
    assert near_matches("🙂" * 10_000, KNOWN, DIRECT) == []
    assert near_matches("", KNOWN, DIRECT) == []
