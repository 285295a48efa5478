"""The bundled catalogue: what it says, how it gets into the database, how a model is found."""

import json
import threading
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connections
from django.utils import timezone

from billing.prices import price_in_force
from byok import catalogue
from byok.catalogue import load_bundled, near_matches, resolve, spellings
from byok.models import CatalogModel, CatalogueLoad, Offering, Price
from byok.providers import PROVIDERS
from byok.providers.base import Endpoint
from orgs import changes
from orgs.catalogue import known_models

ENTRIES = json.loads(catalogue.BUNDLED.read_text())["models"]
NOVEMBER = datetime(2026, 11, 23, 12, tzinfo=UTC)

CAPABILITIES = {"tools", "vision", "reasoning", "fim", "search", "embeddings"}

every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=[entry["id"] for entry in ENTRIES])


def forget() -> None:
    """As if the bundled file were new to this database."""
    CatalogueLoad.objects.update(edition="an earlier one")


def everything() -> list[object]:
    """All rows, without the ids that the database gives them."""
    return [
        list(CatalogModel.objects.values().order_by("id")),
        list(
            Offering.objects.order_by("provider", "upstream_id").values_list(
                "provider", "upstream_id", "model", "endpoints", "enabled", "note", "confidence"
            )
        ),
        sorted(
            Price.objects.values_list(
                "offering__provider",
                "offering__upstream_id",
                "starts_at",
                "above_tokens",
                "input",
                "output",
                "cache_read",
                "cache_write",
            ),
            key=str,
        ),
    ]


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
        # A plan has no price a token, and nobody is charged for what is called directly.
        assert offering["prices"] or offering.get("direct")
        for price in offering["prices"]:
            units = [price[kind] for kind in ("input", "output")]
            units += [price[kind] for kind in ("cache_read", "cache_write") if kind in price]
            assert all(type(unit) is int and unit >= 0 for unit in units)
            assert price["input"] <= price["output"] or "embeddings" in entry["capabilities"]
            assert price.get("cache_read", 0) <= price["input"]
            assert datetime.fromisoformat(price["starts_at"]).utcoffset() is not None
            for span in price.get("hours", []):
                assert "00:00" <= span["from"] < span["to"] <= "24:00"
                assert set(span["days"]) <= {1, 2, 3, 4, 5, 6, 7}


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
    # Those of its older API are said to have ended.
    "perplexity": 1,
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
        ("perplexity/sonar", {("perplexity", "perplexity/sonar")}),
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
def test_migrating_has_loaded_the_catalogue():
    assert CatalogModel.objects.count() == len(ENTRIES)
    assert Offering.objects.count() == sum(len(entry["offerings"]) for entry in ENTRIES)
    assert Offering.objects.get(provider="openai", upstream_id="gpt-5.3-codex").endpoints == [
        Endpoint.RESPONSES
    ]


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

    for model in ("gemini-4-carbon", "gemini-4-argon"):
        assert input_price("google", model, 10) == 2_000_000
        assert input_price("google", model, 10, december) == 4_000_000
    assert input_price("google", "gemini-3.8-flash", 10, december) == 750_000
    assert input_price("google", "gemini-3.8-flash", 10, january) == 1_500_000


@pytest.mark.django_db
def test_loading_again_is_one_query_and_changes_nothing(django_assert_num_queries):
    before = everything()

    with django_assert_num_queries(1):
        assert load_bundled() is False

    assert everything() == before


@pytest.mark.django_db
def test_a_new_edition_brings_the_database_up_to_the_file(django_assert_max_num_queries):
    before = everything()
    CatalogModel.objects.filter(pk="openai/gpt-6-sol").update(name="Old name")
    Offering.objects.get(provider="novita", upstream_id="openai/gpt-oss-20b").delete()
    Price.objects.filter(offering__provider="openai").update(input=1)
    retired = CatalogModel.objects.create(id="openai/retired", name="Retired")
    gone = Offering.objects.create(model=retired, provider="openai", upstream_id="retired")
    Price.objects.create(offering=gone, starts_at=timezone.now(), input=1, output=1)
    forget()

    with django_assert_max_num_queries(30):
        assert load_bundled() is True

    assert everything() == before


@pytest.mark.django_db
def test_what_staff_wrote_stays():
    CatalogModel.objects.filter(pk="openai/gpt-6-sol").update(name="Ours", source="staff")
    CatalogModel.objects.create(id="acme/own", name="Own", source="staff")
    Offering.objects.filter(provider="openai", model="openai/gpt-6-luna").update(enabled=False)
    Offering.objects.filter(provider="openai", model="openai/gpt-4.1").update(
        note="Ours", endpoints=["responses"], source="staff"
    )
    priced = Price.objects.filter(offering__upstream_id="gpt-6-astra").order_by("above_tokens")
    priced.filter(above_tokens=0).update(input=7, source="staff")
    own = Offering.objects.create(
        model_id="acme/own", provider="openai", upstream_id="own", source="staff"
    )
    forget()

    load_bundled()

    assert CatalogModel.objects.get(pk="openai/gpt-6-sol").name == "Ours"
    assert not Offering.objects.get(upstream_id="gpt-6-luna").enabled
    kept = Offering.objects.get(upstream_id="gpt-4.1")
    assert (kept.note, kept.endpoints) == ("Ours", ["responses"])
    assert priced.values_list("input", flat=True).first() == 7
    assert priced.count() == 2
    assert Offering.objects.filter(pk=own.pk).exists()


@pytest.mark.django_db
def test_a_failed_load_changes_nothing(tmp_path):
    before = everything()
    broken = json.loads(catalogue.BUNDLED.read_text())
    priced = [o for entry in broken["models"] for o in entry["offerings"] if o["prices"]]
    priced[-1]["prices"][0]["input"] = None
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps(broken))

    with pytest.raises(IntegrityError):
        load_bundled(file)

    assert everything() == before


@pytest.mark.django_db(transaction=True)
def test_two_loads_at_once_leave_one_catalogue():
    before = everything()
    forget()
    results: list[object] = []

    def load() -> None:
        try:
            results.append(load_bundled())
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            results.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(str, results)) == ["False", "False", "False", "True"]
    assert everything() == before


@pytest.mark.django_db(transaction=True)
def test_a_load_is_announced():
    heard: list[tuple[str, str]] = []
    forget()
    stop = changes.subscribe(lambda kind, changed: heard.append((kind, changed)))

    load_bundled()
    stop()

    # Redis brings our own word back, and says so once more when it begins to listen.
    assert set(heard) == {("catalogue", "")}


@pytest.mark.django_db
def test_tokens_can_be_limited_to_the_models_that_somebody_serves():
    Offering.objects.filter(model="openai/gpt-oss-20b").update(enabled=False)
    Offering.objects.filter(model="openai/gpt-oss-120b", provider="novita").update(enabled=False)

    models = dict(known_models())

    assert "openai/gpt-oss-20b" not in models
    assert models["openai/gpt-oss-120b"] == "gpt-oss 120B"
    assert len(models) == len(ENTRIES) - 1


DIRECT = {
    entry["id"] for entry in ENTRIES if all(o.get("direct", False) for o in entry["offerings"])
}
KNOWN = spellings(((entry["id"], entry["aliases"]) for entry in ENTRIES), DIRECT)


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
        ("deepseek-flash", "deepseek/deepseek-v4.1-flash"),
        ("deepseek-chat", "deepseek/deepseek-chat"),
        ("deepseek-v4-flash", "deepseek/deepseek-v4-flash"),
        ("zai-org/glm-5.3", "z-ai/glm-5.3"),
        ("accounts/fireworks/models/glm-5p3", "z-ai/glm-5.3"),
        ("us.anthropic.claude-sonnet-5-5", "anthropic/claude-sonnet-5.5"),
        ("global.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic/claude-haiku-4.5"),
        ("MiniMax-M3", "minimax/minimax-m3"),
        ("codestral-latest", "mistralai/codestral-2508"),
        ("glm-4.7", "z-ai/glm-4.7"),
        ("zai-coding/glm-4.7", "zai-coding/glm-4.7"),
        ("ollama-cloud/kimi-k2.6:cloud", "ollama-cloud/kimi-k2.6:cloud"),
        ("kimi-for-coding", None),
        ("Chutes/Qwen3-30B-A3B", "chutes/qwen3-30b-a3b"),
        ("openai/claude-haiku-4-5", None),
        ("anthropic/gpt-6-luna", None),
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

    assert resolve("two", known) == resolve("a/two", known) == "a/two"


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("claude-hiaku-4.5", "anthropic/claude-haiku-4.5"),
        ("anthropic/claude-haiku-4.5-latest", "anthropic/claude-haiku-4.5"),
        ("gpt6-luna", "openai/gpt-6-luna"),
        ("GLM 5.3 flash", "z-ai/glm-5.3-flash"),
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


def shown(*args: str) -> str:
    out = StringIO()
    call_command("catalogue", "show", *args, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_the_command_lists_models_and_who_serves_them():
    assert "openai/gpt-oss-120b" in shown()
    assert "fireworks, novita" in shown()
    assert f"{len(ENTRIES)} models" in shown()
    assert "claude" not in shown("--provider", "novita")


@pytest.mark.django_db
def test_the_command_shows_one_model_with_its_prices():
    text = shown("CLAUDE-haiku-5-5")

    assert "input $0.10, output $0.50, cache read $0.01, cache write $0.125" in text
    assert "prompts above 100,000 tokens" in text
    assert "01:00–04:00" in shown("deepseek-flash")


@pytest.mark.django_db
def test_the_command_suggests_near_names_and_names_an_empty_catalogue():
    with pytest.raises(CommandError, match=r"anthropic/claude-haiku-4\.5"):
        shown("claude-hiaku-4.5")

    CatalogModel.objects.all().delete()
    with pytest.raises(CommandError, match="migrate"):
        shown()


@pytest.mark.django_db
def test_prices_of_a_model_are_read_in_few_queries(django_assert_num_queries):
    with django_assert_num_queries(5):
        shown("claude-haiku-5-5")
