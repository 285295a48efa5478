"""Catalogues that others publish, in both forms, told apart by their shape."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from byok.catalogue import feeds, memory, refresh
from byok.models import CatalogModel, ChangeSet, Offering, Price
from byok.providers import PROVIDERS
from byok.providers.listing import ListedRate, UnreadableList
from tests.byok.publisher import everything, publishing, source

MODEL = "openai/gpt-6-luna"


@pytest.fixture
def feed(settings, db):
    with publishing() as publisher:
        settings.MEGABRAIN_CATALOGUE_FEED = f"{publisher.address}/api.json"
        yield publisher


def models_dev(provider: str, id_: str, **told: Any) -> dict[str, Any]:
    """One model, as models.dev has it."""
    entry = {
        "id": id_,
        "name": "A name",
        "attachment": True,
        "reasoning": True,
        "tool_call": True,
        "release_date": "2026-11-01",
        "modalities": {"input": ["text", "image"], "output": ["text"]},
        "open_weights": False,
        **told,
    }
    return {provider: {"id": provider, "name": "X", "env": [], "models": {id_: entry}}}


def openrouter(id_: str, **told: Any) -> dict[str, Any]:
    """One model, as OpenRouter lists it."""
    return {"data": [{"id": id_, "name": "A: Name", "created": 1, **told}]}


def offered(provider: str, upstream_id: str) -> Offering:
    return Offering.objects.get(provider=provider, upstream_id=upstream_id)


def ask(feed, content: Any) -> refresh.Outcome:
    feed.tells(content)
    return refresh.refresh("feed")


def test_limits_and_prices_of_models_dev_are_taken(feed):
    luna = offered("openai", "gpt-6-luna")
    cost = {
        "input": 0.15,
        "output": 0.9,
        "cache_read": 0.015,
        "cache_write": 0.1875,
        "tiers": [
            {
                "input": 0.3,
                "output": 1.35,
                "cache_read": 0.03,
                "cache_write": 0.375,
                "tier": {"type": "context", "size": 272_000},
            }
        ],
    }
    told = models_dev(
        "openai", "gpt-6-luna", cost=cost, limit={"context": 990_000, "output": 99_000}
    )
    outcome = ask(feed, told)
    assert outcome.change_set is not None
    assert outcome.change_set.state == ChangeSet.State.APPLIED, outcome
    new = luna.prices.filter(source="feed").order_by("above_tokens")
    assert [(each.above_tokens, each.input, each.output, each.cache_read) for each in new] == [
        (0, 150_000, 900_000, 15_000),
        (272_000, 300_000, 1_350_000, 30_000),
    ]
    model = CatalogModel.objects.get(pk=MODEL)
    assert (model.context, model.max_output) == (990_000, 99_000)
    assert model.told_by == dict.fromkeys(("context", "max_output", "released_on"), "feed")
    # The same again changes nothing, and what a list has told is not undone.
    assert ask(feed, told).change_set is None
    CatalogModel.objects.filter(pk=MODEL).update(context=1, told_by={"context": "listed"})
    assert ask(feed, told).change_set is None


def test_a_new_model_is_added_where_its_id_is_certain(feed):
    told = {
        **models_dev("openai", "gpt-7", cost={"input": 1, "output": 2}),
        **models_dev("fireworks-ai", "accounts/fireworks/models/whatever"),
        **models_dev("anthropic", "gpt-6-luna"),
        **models_dev("google", "gemini-1", status="deprecated"),
        **models_dev("mistral", "mistral-draws", modalities={"output": ["image"]}),
        **models_dev("nobody", "model"),
    }
    outcome = ask(feed, told)
    assert "gpt-6-luna" in outcome.trouble
    assert outcome.change_set is not None
    assert {change["model"] for change in outcome.change_set.changes} == {"openai/gpt-7"}
    model = memory.catalogue().models["openai/gpt-7"]
    assert (model.name, model.offers[0].prices[0].input) == ("A name", 1_000_000)
    assert CatalogModel.objects.get(pk="openai/gpt-7").released_on == date(2026, 11, 1)
    # Only the provider's own list says whether it has it, and since when.
    assert offered("openai", "gpt-7").first_seen_at is None
    assert not Offering.objects.exclude(missing_since=None).exists()


def test_of_aws_the_limits_are_told_and_no_price_of_one_region(feed):
    cost = {"input": 9, "output": 9}
    claude = "anthropic.claude-haiku-5-5"
    told = models_dev("amazon-bedrock", claude, cost=cost, limit={"context": 77, "output": 66})
    told["amazon-bedrock"]["models"].update(
        models_dev("amazon-bedrock", f"eu.{claude}", limit={"context": 5, "output": 5})[
            "amazon-bedrock"
        ]["models"]
    )
    ask(feed, told)
    row = offered("bedrock", "{geo}." + claude)
    assert (row.context, row.max_output) == (77, 66)
    assert not row.prices.filter(source="feed").exists()


@pytest.mark.parametrize(("cost", "waits"), [(0.15, None), (0.3, None), (0.5, True)])
def test_a_flat_price_is_compared_with_every_hour(feed, cost, waits):
    """DeepSeek costs double in its peak hours, which no feed tells of."""
    prices = offered("deepseek", "deepseek-flash").prices.order_by("-starts_at")
    peak = prices.filter(hours__isnull=False)[0]
    flat = prices.filter(hours__isnull=True)[0]
    outputs = {0.15: flat.output, 0.3: peak.output, 0.5: flat.output}
    told = models_dev(
        "deepseek", "deepseek-flash", cost={"input": cost, "output": outputs[cost] / 10**6}
    )
    outcome = ask(feed, told)
    priced = [
        change
        for change in (outcome.change_set.changes if outcome.change_set else ())
        if change["kind"] == "price_changed"
    ]
    assert bool(priced) == bool(waits)
    assert not Price.objects.filter(source="feed").exists()
    if waits:
        assert outcome.change_set is not None
        assert outcome.change_set.state == ChangeSet.State.WAITING


def test_openrouter_tells_of_models_that_are_known_and_adds_none(feed):
    pricing = {"prompt": "0.00000015", "completion": "0.0000009", "input_cache_read": "0.00000001"}
    told = openrouter(
        MODEL,
        context_length=880_000,
        top_provider={"max_completion_tokens": 88_000},
        pricing=pricing,
        expiration_date="2027-01-31",
    )
    told["data"] += [
        *openrouter("openai/gpt-7", pricing=pricing)["data"],
        *openrouter("openai/gpt-6-luna:free", pricing={"prompt": "0", "completion": "0"})["data"],
        # Others sell it too, so this is not its maker's price.
        *openrouter("z-ai/glm-5.3", context_length=66_000, pricing=pricing)["data"],
        *openrouter("meta-llama/llama-3.3-70b-instruct", context_length=5)["data"],
        # And of others as they are: not all limits change at once.
        *(
            openrouter(model.pk, context_length=model.context)["data"][0]
            for model in CatalogModel.objects.filter(pk__startswith="google/gemini")
        ),
    ]
    ask(feed, told)
    row, model = offered("openai", "gpt-6-luna"), CatalogModel.objects.get(pk=MODEL)
    assert (model.context, model.max_output) == (880_000, 88_000)
    assert row.retires_on == date(2027, 1, 31)
    assert CatalogModel.objects.get(pk="z-ai/glm-5.3").context == 66_000
    assert not Price.objects.filter(source="feed", offering__model="z-ai/glm-5.3").exists()
    assert CatalogModel.objects.get(pk="meta-llama/llama-3.3-70b-instruct").context != 5
    assert not CatalogModel.objects.filter(pk__startswith="openai/gpt-7").exists()
    # It knows longer prompts to cost more, and the feed does not say so.
    waiting = ChangeSet.objects.get(state=ChangeSet.State.WAITING)
    assert [change["field"] for change in waiting.changes] == ["prices"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"data": []}',
        b'{"data": [5]}',
        b'{"data": [{"id": "a/b"}]}',
        b'{"data": [{"id": ["openai/gpt-6-luna"]}]}',
        b'{"data": [{"id": "openai/gpt-4.1"}, {"id": "openai/gpt-4.1", "context_length": 7}]}',
        b'{"openai": {"models": []}}',
        b'{"openai": {"models": {"gpt-4.1": 5}}}',
        b'{"openai": {"models": {"a b": {}}}}',
        b'{"nobody": {"models": {"x": {}}}}',
    ],
)
def test_what_has_neither_form_changes_nothing(feed, answer):
    before = everything()
    assert ask(feed, answer).trouble
    assert everything() == before
    assert source("feed").lease_until is None


def test_a_feed_that_is_far_off_waits(feed):
    before = everything()
    told = models_dev("openai", "gpt-6-luna", cost={"input": 10, "output": 60})
    outcome = ask(feed, told)
    assert outcome.change_set is not None
    assert outcome.change_set.state == ChangeSet.State.WAITING
    assert "would go from" in outcome.trouble
    assert everything()[:3] == before[:3]


def test_prices_are_exact():
    (told,) = feeds.read(
        b'{"openai": {"models": {"x": {"cost": {"input": 0.1, "output": 7e-1, "cache_read": 1e-5}}}'
        b"}}"
    )["openai"]
    assert told.rates == (ListedRate(100_000, 700_000, 10),)
    (told,) = feeds.read(
        b'{"openai": {"models": {"x": {"cost": {"input": 0.1, "output": 0.0000001}}}}}'
    )["openai"]
    assert told.rates == ()


def test_only_providers_of_ours_are_named():
    assert set(feeds.MODELS_DEV.values()) | set(feeds.OPENROUTER.values()) <= set(PROVIDERS)
    for prefix, id_ in feeds.OPENROUTER.items():
        assert PROVIDERS[id_].vendor == prefix


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["data", "openai", "models", "id", "cost", "input", "tiers", "limit", "tier"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
@hypothesis_settings(max_examples=200, deadline=None)
def test_whatever_is_told_is_read_or_refused(answer):
    try:
        told = feeds.read(json.dumps(answer).encode())
    except UnreadableList:
        return
    assert set(told) <= set(PROVIDERS)
