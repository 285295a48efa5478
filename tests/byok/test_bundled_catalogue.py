"""What the bundled catalogue says: models, who serves them, and what they cost."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from billing.prices import price_in_force
from byok.catalogue.bundled import BUNDLED
from byok.catalogue.memory import catalogue
from byok.models import Offering, Price
from byok.providers import PROVIDERS
from byok.providers.base import Endpoint

ENTRIES = json.loads(BUNDLED.read_text())["models"]
NOVEMBER = datetime(2026, 11, 23, 12, tzinfo=UTC)

CAPABILITIES = {"tools", "vision", "reasoning", "fim", "search", "embeddings"}

every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=[entry["id"] for entry in ENTRIES])


@every_entry
def test_an_entry_is_whole(entry):
    vendor, _, name = entry["id"].partition("/")
    assert vendor
    assert name
    assert entry["id"] == entry["id"].lower().strip()
    assert entry["name"] != entry["id"]
    # Of a preview, and of what is offered directly, a limit may not be known.
    for limit in (entry["max_output"], entry["context"]):
        assert limit is None or limit > 0
    if entry["max_output"] and entry["context"]:
        assert entry["max_output"] <= entry["context"]
    assert set(entry["capabilities"]) <= CAPABILITIES
    assert all(alias == alias.lower() for alias in entry["aliases"])
    assert entry["offerings"]


@every_entry
def test_an_offering_names_a_known_provider_and_whole_prices(entry):
    for offering in entry["offerings"]:
        provider = PROVIDERS[offering["provider"]]
        assert set(offering.get("endpoints", [])) <= set(provider.endpoints)
        assert offering["confidence"] in Offering.Confidence.values
        assert "retires_on" not in offering or date.fromisoformat(offering["retires_on"])
        if "max_output" in offering:
            assert offering["max_output"] not in (entry["max_output"], None)
        # A plan has no price a token, and nobody is charged for what is called directly.
        assert offering["prices"] or offering.get("direct")
        for price in offering["prices"]:
            units = [price[kind] for kind in ("input", "output")]
            cached = ("cache_read", "cache_write", "cache_write_long")
            units += [price[kind] for kind in cached if kind in price]
            assert all(type(unit) is int and unit >= 0 for unit in units)
            assert price["input"] <= price["output"] or "embeddings" in entry["capabilities"]
            assert price.get("cache_read", 0) <= price["input"]
            if "cache_write_long" in price:
                assert price["cache_write_long"] >= price["cache_write"]
            assert datetime.fromisoformat(price["starts_at"]).utcoffset() is not None
            for span in price.get("hours", []):
                assert "00:00" <= span["from"] < span["to"] <= "24:00"
                assert set(span["days"]) <= {1, 2, 3, 4, 5, 6, 7}


def test_an_offering_says_its_limits_where_they_are_other_than_the_models():
    for entry in ENTRIES:
        for offering in entry["offerings"]:
            for limit in ("context", "max_output"):
                assert limit not in offering or offering[limit] not in (None, entry[limit])
            context = offering.get("context", entry["context"])
            most = offering.get("max_output", entry["max_output"])
            assert not most or not context or most <= context, entry["id"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("model", "provider", "context", "max_output"),
    [
        ("minimax/minimax-m3", "minimax", 1_000_000, 524_288),
        ("minimax/minimax-m3", "fireworks", 512_000, 512_000),
        ("minimax/minimax-m3", "novita", 1_000_000, 131_072),
        ("moonshotai/kimi-k3", "fireworks", 1_048_576, 131_072),
        ("mistralai/devstral-2512", "bedrock", 256_000, 8_192),
        ("meta-llama/llama-3.3-70b-instruct", "bedrock", 128_000, 4_096),
        ("x-ai/grok-4.3", "bedrock", 1_000_000, 131_072),
        ("x-ai/grok-4.3", "xai", 1_000_000, 30_000),
        ("z-ai/glm-5.3", "fireworks", 1_048_573, 131_072),
    ],
)
def test_each_provider_has_its_own_limits(model, provider, context, max_output):
    offers = {offer.provider: offer for offer in catalogue().models[model].offers}

    assert (offers[provider].context, offers[provider].max_output) == (context, max_output)


def test_claude_asks_twice_the_input_for_what_stays_cached_for_an_hour():
    """By the company's rule, at all lengths of prompts; 1.25 times for what stays five minutes."""
    for entry in ENTRIES:
        if entry["id"].startswith("anthropic/"):
            for price in (price for o in entry["offerings"] for price in o["prices"]):
                assert price["cache_write_long"] == 2 * price["input"]
                assert 4 * price["cache_write"] == 5 * price["input"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("provider", "model", "prompt", "write", "write_long"),
    [
        ("anthropic", "anthropic/claude-opus-5.5", 1000, 5_000_000, 8_000_000),
        ("anthropic", "anthropic/claude-haiku-5.5", 100_001, 625_000, 1_000_000),
        ("moonshotai", "moonshotai/kimi-k3", 1000, 3_000_000, 6_000_000),
        ("openai", "openai/gpt-6.1-terra", 1000, 1_250_000, 2_500_000),
        ("openai", "openai/gpt-6.1-terra", 272_001, 2_500_000, 5_000_000),
        ("openai", "openai/gpt-6-sol", 1000, 2_500_000, None),
        ("novita", "moonshotai/kimi-k3", 1000, None, None),
    ],
)
def test_long_cache_writes_have_the_price_that_is_known(provider, model, prompt, write, write_long):
    prices = Price.objects.filter(offering__provider=provider, offering__model=model)
    found = price_in_force(prices, NOVEMBER, prompt)

    assert found is not None
    assert (found.cache_write, found.cache_write_long) == (write, write_long)


def test_what_is_offered_directly_is_an_entry_of_its_own_under_its_providers_id():
    for entry in ENTRIES:
        for offering in entry["offerings"]:
            provider = PROVIDERS[offering["provider"]]
            assert offering.get("direct", False) == provider.direct
            if provider.direct:
                assert entry["id"] == f"{provider.id}/{offering['upstream_id'].lower()}"
                assert len(entry["offerings"]) == 1
                assert entry["aliases"] == []


#: Upstream ids by provider, as the companies' price pages and their kind have them.
SOLD = {
    "anthropic": 10,
    "openai": 14,
    "google": 13,
    "bedrock": 31,
    "mistral": 8,
    "deepseek": 2,
    "xai": 6,
    "minimax": 6,
    "moonshotai": 5,
    "perplexity": 5,
    "fireworks": 12,
    "novita": 16,
    "inception": 4,
    "xiaomi": 3,
    "zai": 11,
}


@pytest.mark.parametrize(("provider", "least"), SOLD.items(), ids=SOLD)
def test_every_standard_provider_sells_its_models(provider, least):
    sold = [o for entry in ENTRIES for o in entry["offerings"] if o["provider"] == provider]

    assert len(sold) >= least


def test_every_direct_provider_has_the_models_that_its_test_calls():
    sold = {(o["provider"], o["upstream_id"]) for entry in ENTRIES for o in entry["offerings"]}

    for provider in PROVIDERS.values():
        if provider.direct:
            assert {(provider.id, probe.model) for probe in provider.probes} <= sold


@pytest.mark.parametrize(
    ("model", "served"),
    [
        (
            "anthropic/claude-haiku-4.5",
            {
                ("anthropic", "claude-haiku-4-5-20251001"),
                ("bedrock", "{geo}.anthropic.claude-haiku-4-5-20251001-v1:0"),
            },
        ),
        ("openai/gpt-6-luna", {("openai", "gpt-6-luna"), ("bedrock", "{geo}.openai.gpt-6-luna")}),
        (
            "openai/gpt-oss-120b",
            {
                ("bedrock", "openai.gpt-oss-120b-1:0"),
                ("fireworks", "accounts/fireworks/models/gpt-oss-120b"),
                ("novita", "openai/gpt-oss-120b"),
            },
        ),
        (
            "moonshotai/kimi-k3",
            {
                ("moonshotai", "kimi-k3"),
                ("fireworks", "accounts/fireworks/models/kimi-k3"),
                ("novita", "moonshotai/kimi-k3"),
            },
        ),
        (
            "minimax/minimax-m3",
            {
                ("minimax", "MiniMax-M3"),
                ("fireworks", "accounts/fireworks/models/minimax-m3"),
                ("novita", "minimax/minimax-m3"),
            },
        ),
        (
            "mistralai/devstral-2512",
            {("mistral", "devstral-2512"), ("bedrock", "mistral.devstral-2-123b")},
        ),
        ("x-ai/grok-4.6", {("xai", "grok-4.6"), ("bedrock", "xai.grok-4.6")}),
        (
            "xiaomi/mimo-v2.6-pro",
            {("xiaomi", "mimo-v2.6-pro"), ("novita", "xiaomimimo/mimo-v2.6-pro")},
        ),
        (
            "z-ai/glm-5.3",
            {
                ("zai", "glm-5.3"),
                ("fireworks", "accounts/fireworks/models/glm-5p3"),
                ("novita", "zai-org/glm-5.3"),
            },
        ),
        ("perplexity/sonar", {("perplexity", "perplexity/sonar"), ("perplexity", "sonar")}),
        ("google/gemini-4-neon", {("google", "gemini-4-neon")}),
        ("inception/mercury-edit-2", {("inception", "mercury-edit-2")}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_model_is_served_by_all_who_serve_it_under_their_own_ids(model, served):
    (entry,) = [entry for entry in ENTRIES if entry["id"] == model]

    assert {(o["provider"], o["upstream_id"]) for o in entry["offerings"]} == served


@pytest.mark.parametrize(
    ("provider", "upstream_id", "endpoints"),
    [
        ("openai", "gpt-5.3-codex", ["responses"]),
        ("openai", "text-embedding-3-small", ["embeddings"]),
        ("bedrock", "{geo}.anthropic.claude-opus-5-5", ["invoke"]),
        ("bedrock", "openai.gpt-oss-20b-1:0", ["converse"]),
        ("mistral", "codestral-2508", ["chat/completions", "fim/completions"]),
        ("inception", "mercury-edit-2", ["fim/completions"]),
        ("perplexity", "perplexity/sonar", ["responses"]),
        ("perplexity", "sonar", ["chat/completions"]),
    ],
)
def test_an_offering_names_the_endpoints_it_is_limited_to(provider, upstream_id, endpoints):
    (found,) = [
        o["endpoints"]
        for entry in ENTRIES
        for o in entry["offerings"]
        if (o["provider"], o["upstream_id"]) == (provider, upstream_id)
    ]

    assert found == endpoints


@pytest.mark.parametrize(
    ("upstream_id", "context", "price"),
    [
        ("sonar", 127_072, (1_000_000, 1_000_000)),
        ("sonar-pro", 200_000, (3_000_000, 15_000_000)),
        ("sonar-reasoning-pro", 128_000, (2_000_000, 8_000_000)),
        ("sonar-deep-research", 128_000, (2_000_000, 8_000_000)),
    ],
)
def test_what_is_said_to_have_ended_is_there_with_its_day(upstream_id, context, price):
    ((entry, offered),) = [
        (entry, offered)
        for entry in ENTRIES
        for offered in entry["offerings"]
        if (offered["provider"], offered["upstream_id"]) == ("perplexity", upstream_id)
    ]

    assert entry["id"] == f"perplexity/{upstream_id}"
    assert (offered["retires_on"], offered["confidence"]) == ("2026-09-27", "uncertain")
    assert offered["endpoints"] == ["chat/completions"]
    assert offered.get("context", entry["context"]) == context
    assert [(each["input"], each["output"]) for each in offered["prices"]] == [price]


def test_only_models_made_for_it_are_offered_for_embeddings_or_to_fill_a_gap():
    """Null stands for all endpoints of the provider, so those have to be named."""
    special = {Endpoint.EMBEDDINGS: "embeddings", Endpoint.FIM: "fim"}
    for entry in ENTRIES:
        for offering in entry["offerings"]:
            has = offering.get("endpoints") or PROVIDERS[offering["provider"]].endpoints
            for endpoint, capability in special.items():
                assert endpoint not in has or capability in entry["capabilities"], entry["id"]


def test_no_two_offerings_of_a_provider_share_an_upstream_id():
    places = [(o["provider"], o["upstream_id"]) for entry in ENTRIES for o in entry["offerings"]]

    assert len(places) == len(set(places))


def test_a_test_calls_a_cheap_model_first():
    for provider in PROVIDERS.values():
        cost = {
            name: o["prices"][0]["input"]
            for entry in ENTRIES
            for o in entry["offerings"]
            if o["provider"] == provider.id and o["prices"]
            for name in (o["upstream_id"], *entry["aliases"])
        }
        called = [cost[probe.model] for probe in provider.probes if probe.model in cost]
        assert called or provider.direct
        # An account at AWS may have the models of one company and not those of another.
        assert provider.id == "bedrock" or not called or called[0] <= 1.5 * min(called)


@pytest.mark.django_db
def test_an_open_weight_model_is_served_by_two_providers():
    serving = Offering.objects.filter(model="openai/gpt-oss-120b")

    assert {row.provider for row in serving} >= {"fireworks", "novita"}


def input_price(provider: str, upstream_id: str, prompt: int, at: datetime = NOVEMBER) -> int:
    prices = Price.objects.filter(offering__provider=provider, offering__upstream_id=upstream_id)
    found = price_in_force(prices, at, prompt)
    assert found is not None
    return found.input


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("provider", "upstream_id", "prompt", "expected"),
    [
        ("anthropic", "claude-haiku-5-5", 100_000, 100_000),
        ("anthropic", "claude-haiku-5-5", 100_001, 500_000),
        ("openai", "gpt-6-luna", 272_000, 100_000),
        ("openai", "gpt-6-luna", 272_001, 200_000),
        ("openai", "gpt-4.1", 1_000_000, 2_000_000),
        ("novita", "minimax/minimax-m3", 524_287, 300_000),
        ("novita", "minimax/minimax-m3", 524_288, 1_200_000),
        ("fireworks", "accounts/fireworks/models/minimax-m3", 524_288, 300_000),
        ("minimax", "MiniMax-M3", 512_000, 300_000),
        ("minimax", "MiniMax-M3", 512_001, 600_000),
        ("google", "gemini-3.1-pro-preview", 200_001, 4_000_000),
        ("xai", "grok-4.7", 200_001, 4_000_000),
        ("bedrock", "{geo}.anthropic.claude-haiku-5-5", 100_001, 500_000),
    ],
)
def test_long_prompts_cost_what_their_tier_says(provider, upstream_id, prompt, expected):
    assert input_price(provider, upstream_id, prompt) == expected


@pytest.mark.django_db
def test_a_long_prompt_at_openai_doubles_input_and_cache_and_adds_half_to_output():
    prices = Price.objects.filter(offering__provider="openai", offering__model="openai/gpt-6-sol")
    short, long = (price_in_force(prices, NOVEMBER, n) for n in (1000, 300_000))

    assert short is not None
    assert long is not None
    assert long.input == 2 * short.input
    assert long.cache_read == 2 * (short.cache_read or 0)
    assert long.cache_write == 2 * (short.cache_write or 0)
    assert 2 * long.output == 3 * short.output


@pytest.mark.django_db
def test_deepseek_costs_double_in_its_peak_hours():
    monday = datetime(2026, 11, 23, tzinfo=UTC)

    assert input_price("deepseek", "deepseek-flash", 10, monday.replace(hour=2)) == 300_000
    assert input_price("deepseek", "deepseek-flash", 10, monday.replace(hour=5)) == 150_000
    assert input_price("deepseek", "deepseek-flash", 10, monday.replace(day=22, hour=2)) == 150_000


@pytest.mark.django_db
def test_a_price_that_was_announced_begins_on_its_day():
    december, january = datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)

    october = datetime(2026, 10, 7, tzinfo=UTC)
    prices = Price.objects.filter(offering__upstream_id="claude-sonnet-5-5")
    read = [price_in_force(prices, at, 10) for at in (october - timedelta(seconds=1), october)]
    assert [found and found.cache_read for found in read] == [200_000, 100_000]
    for model in ("gemini-4-carbon", "gemini-4-argon"):
        assert input_price("google", model, 10) == 2_000_000
        assert input_price("google", model, 10, december) == 4_000_000
    assert input_price("google", "gemini-3.8-flash", 10, december) == 750_000
    assert input_price("google", "gemini-3.8-flash", 10, january) == 1_500_000
