"""Every provider's list of models, as the simulator answers it and as it must never be believed."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
import requests
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from byok.models import Offering
from byok.providers import PROVIDERS as ADAPTERS
from byok.providers.base import Provider, UpstreamRequest
from byok.providers.bedrock.lists import PROFILES
from byok.providers.custom import PROVIDER as CUSTOM
from byok.providers.listing import MOST_MODELS, Listed, ListedRate, Page, UnreadableList
from byok.vault import Secret
from megabrain.simulator.faults import HUGE_BYTES, REDIRECTED, ListFault
from megabrain.simulator.providers import PROVIDERS as SIMULATED
from tests.simulator_fixture import RunningSimulator

PUBLIC = {"chutes", "novita", "perplexity", "synthetic"}
CAPABILITIES = {"tools", "vision", "reasoning", "fim", "search"}
#: One of each kind: those that only differ in their data read their lists alike.
EVERYONE = list({type(each): each for each in [*ADAPTERS.values(), CUSTOM]}.values())
each_provider = pytest.mark.parametrize("id_", sorted(ADAPTERS))


def ask(request: UpstreamRequest | None) -> requests.Response:
    assert request is not None
    return requests.request(
        request.method,
        request.url,
        headers=request.headers,
        timeout=9,
        allow_redirects=False,
    )


def every_page(adapter: Provider, asking: Callable[[str | None], UpstreamRequest | None]) -> Page:
    """The whole list, page after page."""
    models: list[Listed] = []
    after = None
    while True:
        answer = ask(asking(after))
        assert answer.status_code == 200, answer.text
        page = adapter.read_list(answer.content)
        models += page.models
        if page.after is None:
            return Page(tuple(models))
        after = page.after


def whole_list(adapter: Provider, key: str = "") -> Page:
    secret = Secret(key or SIMULATED[adapter.id].sample_key)
    return every_page(adapter, lambda after: adapter.list_models(secret, after=after))


def names_of(id_: str) -> set[str]:
    """What the simulator's provider calls its models, as ours are called upstream."""
    return {
        "{geo}." + model.id if "{geo}." + model.id in model.aliases else model.id
        for model in SIMULATED[id_].models
        if model.listed
    }


@each_provider
def test_the_whole_list_is_read_over_http(simulator: RunningSimulator, id_: str):
    found = whole_list(ADAPTERS[id_])

    assert {model.id for model in found.models} == names_of(id_)
    assert len(found.models) == len({model.id for model in found.models})
    assert any(model.writes_text is not False for model in found.models)


@each_provider
def test_a_list_is_shown_to_anybody_or_to_holders_of_a_key_alone(
    simulator: RunningSimulator, id_: str
):
    adapter = ADAPTERS[id_]
    bad = Secret(SIMULATED[id_].key_that("401"))

    assert (adapter.public_list() is not None) == (id_ in PUBLIC)
    if id_ in PUBLIC:
        request = adapter.public_list()
        assert request is not None
        assert not {"authorization", "x-api-key", "api-key"} & request.headers.keys()
        assert every_page(adapter, adapter.public_list) == whole_list(adapter)
    else:
        assert ask(adapter.list_models(bad)).status_code in (400, 401, 403)


@pytest.mark.parametrize(
    ("id_", "path"), [("anthropic", "/v1/models?limit=3"), ("google", "/models?pageSize=3")]
)
def test_page_after_page_comes_to_the_same_list(simulator: RunningSimulator, id_: str, path: str):
    in_pieces = whole_list(replace(ADAPTERS[id_], models_path=path))

    asked = len(simulator.calls)
    assert asked == -(-len(SIMULATED[id_].models) // 3)
    assert in_pieces == whole_list(ADAPTERS[id_])
    assert len(simulator.calls) == asked + 1


def test_bedrock_lists_models_and_then_the_profiles_of_the_region(simulator: RunningSimulator):
    bedrock, key = ADAPTERS["bedrock"], SIMULATED["bedrock"].sample_key
    europe = key.replace("us-east-1", "eu-central-1")

    here, there = whole_list(bedrock).ids, whole_list(bedrock, europe).ids

    assert "{geo}.anthropic.claude-fable-5-2" in here
    assert "us.meta.llama4-maverick-17b-instruct-v1:0" in here
    # These have no profile in Europe.
    for missing in (
        "{geo}.anthropic.claude-fable-5-2",
        "us.meta.llama4-maverick-17b-instruct-v1:0",
    ):
        assert bedrock.lists(missing, here)
        assert not bedrock.lists(missing, there)
    assert bedrock.lists("{geo}.anthropic.claude-opus-5-5", there)
    assert bedrock.lists("{geo}.anthropic.claude-opus-5-5", {"eu.anthropic.claude-opus-5-5"})
    assert not bedrock.lists("{geo}.anthropic.claude-opus-5-5", {"anthropic.claude-opus-5-5"})
    assert bedrock.lists("openai.gpt-oss-120b-1:0", there)

    rest = ask(bedrock.list_models(Secret(key), after=f"{PROFILES}20"))
    assert rest.status_code == 200
    assert len(bedrock.read_list(rest.content).models) < len(here)
    assert "nextToken=20" in simulator.calls[-1].raw_query


def test_the_token_of_a_page_is_escaped_and_signed():
    bedrock, key = ADAPTERS["bedrock"], Secret(SIMULATED["bedrock"].sample_key)
    body = {"inferenceProfileSummaries": [], "nextToken": "a+b/c=&d"}

    after = bedrock.read_list(json.dumps(body).encode()).after

    assert bedrock.list_models(key, after=after).url.endswith("nextToken=a%2Bb%2Fc%3D%26d")
    google = ADAPTERS["google"].list_models(Secret("AIza" + "x" * 35), after="a+b/c=&d")
    assert google.url.endswith("?pageSize=1000&pageToken=a%2Bb%2Fc%3D%26d")


@pytest.mark.django_db
def test_the_lists_tell_what_the_bundled_catalogue_has(simulator: RunningSimulator):
    """In its own unit each of them tells the same figures as the documents of its company."""
    priced, limited, unlisted = set(), set(), set()
    for id_, adapter in ADAPTERS.items():
        listed = whole_list(adapter)
        models = {model.id: model for model in listed.models}
        rows = Offering.objects.routable().filter(provider=id_)
        for row in rows.select_related("model").prefetch_related("prices"):
            if not adapter.lists(row.upstream_id, listed.ids):
                unlisted.add(row.upstream_id)
            if row.upstream_id not in models:
                continue
            model = models[row.upstream_id]
            known = (row.context or row.model.context, row.max_output or row.model.max_output)
            for told, before in zip((model.context, model.max_output), known, strict=True):
                if told and before:
                    assert told == before, model.id
                    limited.add(id_)
            prices = {
                ListedRate(each.input, each.output, each.cache_read, None, each.above_tokens)
                for each in row.prices.all()
            }
            if model.rates and prices:
                assert set(model.rates) <= prices, model.id
                priced.add(id_)
            if adapter.makes(row.model_id):
                assert adapter.direct or model.name in (None, row.model.name)
                assert model.capabilities in (None, set(row.model.capabilities))
    assert priced == {"inception", "novita", "xai"}
    assert limited >= {"anthropic", "deepseek", "fireworks", "google", "mistral", "moonshotai"}
    # Names that move from model to model.
    assert {"deepseek-chat", "deepseek-reasoner"} <= unlisted
    assert not [id_ for id_ in unlisted if not id_.startswith(("deepseek-", "{geo}."))]


#: What those that cannot be read at all do.
UNREADABLE = (ListFault.BAD, ListFault.HTML, ListFault.TYPES, ListFault.HUGE)
keyed_and_public = pytest.mark.parametrize("id_", ["anthropic", "novita"])


def spoilt(simulator: RunningSimulator, id_: str, fault: ListFault) -> UpstreamRequest:
    """A call of a list that goes wrong: by a word in the key, or as the simulator is told where
    nobody needs a key."""
    if id_ in PUBLIC:
        simulator.application.list_faults[id_] = fault
        fault = ListFault("listbad")
    return ADAPTERS[id_].list_models(Secret(SIMULATED[id_].key_that(fault)))


@keyed_and_public
def test_a_list_that_goes_wrong_is_refused_or_ends(simulator: RunningSimulator, id_: str):
    for fault in UNREADABLE:
        answer = ask(spoilt(simulator, id_, fault))
        assert answer.status_code == 200
        with pytest.raises(UnreadableList):
            ADAPTERS[id_].read_list(answer.content)
    with pytest.raises(requests.RequestException):
        ask(spoilt(simulator, id_, ListFault.CUT))
    assert ask(spoilt(simulator, id_, ListFault.REFUSED)).status_code == 403
    assert len(ask(spoilt(simulator, id_, ListFault.HUGE)).content) > HUGE_BYTES
    away = ask(spoilt(simulator, id_, ListFault.REDIRECT))
    assert (away.status_code, away.headers["location"]) == (302, REDIRECTED)


@keyed_and_public
def test_a_list_can_be_readable_and_unlikely(simulator: RunningSimulator, id_: str):
    read = ADAPTERS[id_].read_list
    good = whole_list(ADAPTERS[id_]).models

    assert read(ask(spoilt(simulator, id_, ListFault.EMPTY)).content) == Page(())
    assert read(ask(spoilt(simulator, id_, ListFault.TENTH)).content) == Page(good[:1])
    dear = read(ask(spoilt(simulator, id_, ListFault.PRICES)).content).models
    for before, after in zip(good, dear, strict=True):
        for was, is_ in zip(before.rates, after.rates, strict=True):
            assert (is_.input, is_.output) == (100 * was.input, 100 * was.output)
    assert any(model.rates for model in dear) == (id_ in PUBLIC)


@keyed_and_public
def test_a_list_can_keep_its_caller_waiting(simulator: RunningSimulator, id_: str):
    silent = spoilt(simulator, id_, ListFault.HANG)
    with pytest.raises(requests.Timeout):
        requests.get(silent.url, headers=silent.headers, timeout=0.3)

    slow = spoilt(simulator, id_, ListFault.DRIP)
    with requests.get(slow.url, headers=slow.headers, timeout=9, stream=True) as answer:
        assert answer.raw.read(3) == b"   "
    assert simulator.call_ended().end == "gone"


def test_a_word_for_the_list_leaves_the_models_alone(simulator: RunningSimulator):
    adapter, simulated = ADAPTERS["anthropic"], SIMULATED["anthropic"]
    _, call = adapter.test_calls(Secret(simulated.key_that("listbad")))[0]

    answer = requests.post(call.url, headers=call.headers, data=call.body, timeout=9)

    assert answer.status_code == 200


# What must never be believed, and never raise anything but that it cannot be read.

NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([10**30, -1, 0, 2**31, 2**63, 1e308, -1e-300]),
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


def judged(adapter: Provider, body: bytes) -> Page | None:
    """The page that an adapter reads, which must be sound; None if it refuses to."""
    try:
        page = adapter.read_list(body)
    except UnreadableList:
        return None
    assert len({model.id for model in page.models}) == len(page.models)
    assert page.after is None or (page.after and page.after.isprintable())
    for model in page.models:
        for id_ in (model.id, *model.aliases):
            assert re.fullmatch(r"[!-~]{1,200}", id_)
        assert model.name is None or (0 < len(model.name) <= 120 and model.name.isprintable())
        for limit in (model.context, model.max_output):
            assert limit is None or (type(limit) is int and 0 < limit < 2**31)
        assert model.capabilities is None or model.capabilities <= CAPABILITIES
        assert model.released_on is None or model.released_on > date(2000, 1, 1)
        for rate in model.rates:
            for part in (rate.input, rate.output, rate.cache_read, rate.cache_write):
                assert part is None or (type(part) is int and 0 <= part <= 10**12)
        ours = adapter.canonical(model.id)
        assert ours is None or (len(ours) <= 120 and ours.islower() and "/" in ours)
        assert adapter.lists(model.id, page.ids)
    return page


@hypothesis_settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=60) | JSON.map(json.dumps).map(str.encode))
def test_any_answer_is_read_or_refused(body: bytes):
    for adapter in EVERYONE:
        judged(adapter, body)


@pytest.fixture(scope="module")
def good_answers(running_simulator: RunningSimulator) -> list[tuple[Provider, str]]:
    """A page of each list as it should be, and both of Bedrock's."""
    found = []
    for id_, adapter in ADAPTERS.items():
        secret = Secret(SIMULATED[id_].sample_key)
        found.append((adapter, ask(adapter.list_models(secret)).text))
    bedrock = ADAPTERS["bedrock"]
    key = Secret(SIMULATED["bedrock"].sample_key)
    return [*found, (bedrock, ask(bedrock.list_models(key, after=PROFILES)).text)]


@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_good_answer_with_something_odd_in_it_is_read_or_refused(good_answers, data):
    odd = data.draw(JSON)
    step = st.integers(min_value=0, max_value=10**6)
    steps = data.draw(st.lists(step, min_size=1, max_size=6))
    for adapter, text in good_answers:
        answer = json.loads(text)
        at = answer
        for number, chosen in enumerate(steps):
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            key = keys[chosen % len(keys)]
            deeper = isinstance(at[key], dict | list) and at[key]
            if number == len(steps) - 1 or not deeper:
                at[key] = odd
                break
            at = at[key]
        judged(adapter, json.dumps(answer).encode())


def one_entry(text: str, **fields: object) -> bytes:
    """A good answer with its first entry changed, and no others."""
    answer = json.loads(text)
    name = next(name for name, value in answer.items() if isinstance(value, list))
    answer[name] = [{**answer[name][0], **fields}]
    return json.dumps(answer).encode()


ID_FIELDS = ("id", "name", "modelId", "inferenceProfileId")


def id_field(text: str) -> str:
    entry = next(value for value in json.loads(text).values() if isinstance(value, list))[0]
    return next(name for name in ID_FIELDS if name in entry)


@pytest.mark.parametrize(
    "id_", [None, "", 7, ["x"], {"x": 1}, True, "x" * 10_000, "a b", "a\nb", "\ud800", "日本"]
)
def test_an_entry_without_a_usable_id_spoils_the_whole_answer(good_answers, id_):
    for adapter, text in good_answers:
        with pytest.raises(UnreadableList):
            adapter.read_list(one_entry(text, **{id_field(text): id_}))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b'"data"',
        b"7",
        b"{}",
        b"[7]",
        b"[" * 100_000,
        b'{"data":' * 1000 + b"1" + b"}" * 1000,
        b'{"data": {}, "models": {}, "modelSummaries": {}}',
        b'{"data": [1], "models": [1], "modelSummaries": [1]}',
        b"<html></html>",
        b'{"data": [{"id": ' + b"9" * 5000 + b"}]}",
        b'{"base_resp": {"status_code": 2049, "status_msg": "invalid api key"}}',
    ],
    ids=range(14),
)
def test_what_is_no_list_is_refused(body: bytes):
    for adapter in EVERYONE:
        with pytest.raises(UnreadableList):
            adapter.read_list(body)


def test_more_models_than_anybody_has_are_not_believed():
    many = json.dumps({"data": [{"id": "x"}] * (MOST_MODELS + 1)}).encode()

    with pytest.raises(UnreadableList):
        ADAPTERS["openai"].read_list(many)


@pytest.mark.parametrize("after", [7, ["x"], "a\nb", "x" * 3000])
def test_more_pages_that_cannot_be_asked_for_make_a_list_unreadable(after: object):
    for id_, answer in [
        ("anthropic", {"data": [], "has_more": True, "last_id": after}),
        ("anthropic", {"data": [], "has_more": True}),
        ("google", {"models": [], "nextPageToken": after}),
        ("bedrock", {"inferenceProfileSummaries": [], "nextToken": after}),
    ]:
        with pytest.raises(UnreadableList):
            ADAPTERS[id_].read_list(json.dumps(answer).encode())


def test_a_cache_for_nothing_is_one_that_is_not_told_unless_all_is_free():
    def read(**pricing: str) -> tuple[ListedRate, ...]:
        body = json.dumps({"data": [{"id": "x", "pricing": pricing}]}).encode()
        return ADAPTERS["inception"].read_list(body).models[0].rates

    assert read(prompt="0.000001", completion="0", input_cache_read="0") == (ListedRate(10**6, 0),)
    assert read(prompt="0", completion="0", input_cache_read="0") == (ListedRate(0, 0, 0),)


def test_a_duplicate_counts_once_and_depth_where_nothing_is_read_does_no_harm(good_answers):
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    for adapter, text in good_answers:
        answer = json.loads(text)
        name = next(name for name, value in answer.items() if isinstance(value, list))
        answer[name] = [*answer[name], *answer[name]]
        assert adapter.read_list(json.dumps(answer).encode()) == adapter.read_list(text.encode())
        assert judged(adapter, one_entry(text, capabilities=deep, pricing=deep, aliases=deep))


NO_NUMBERS = ["NaN", "Infinity", "-Infinity", "-1", "1e999999999", "1e99999999999999999999", '"x"']


@pytest.mark.parametrize("written", [*NO_NUMBERS, "1e-999999999", "0." + "1" * 1000, "true", "[]"])
def test_figures_that_cannot_be_are_none(written: str):
    limits = ("context_length", "max_output_length", "max_input_tokens", "max_tokens")
    entry = ", ".join(f'"{name}": {written}' for name in limits)
    for id_ in ("anthropic", "chutes", "inception"):
        body = f'{{"data": [{{"id": "x", {entry}}}]}}'.encode()
        (model,) = ADAPTERS[id_].read_list(body).models
        assert (model.context, model.max_output) == (None, None)
    for id_, price in [
        ("novita", '"input_token_price_per_m": %s, "output_token_price_per_m": 4'),
        ("novita", '"input_token_price_per_m": 4, "output_token_price_per_m": %s'),
        ("chutes", '"pricing": {"prompt": %s, "completion": 1}'),
        ("inception", '"pricing": {"prompt": "0.000001", "completion": %s}'),
    ]:
        body = f'{{"data": [{{"id": "x", {price % written}}}]}}'.encode()
        (model,) = ADAPTERS[id_].read_list(body).models
        assert model.rates == ()


@pytest.mark.parametrize(
    ("id_", "fields"),
    [
        ("novita", {"input_token_price_per_m": 2690, "output_token_price_per_m": "4000"}),
        ("chutes", {"pricing": {"prompt": 0.269, "completion": 0.4}}),
        ("synthetic", {"pricing": {"prompt": "$0.000000269", "completion": "$0.0000004"}}),
        ("inception", {"pricing": {"prompt": "2.69e-7", "completion": "0.0000004"}}),
    ],
)
def test_a_price_is_exact_in_each_unit(id_: str, fields: dict[str, object]):
    body = json.dumps({"data": [{"id": "x", **fields}]}).encode()

    (model,) = ADAPTERS[id_].read_list(body).models

    assert model.rates == (ListedRate(269_000, 400_000),)


@pytest.mark.parametrize("cached", [-1, "x", 0.5, True, [], "0.0000000000001"])
def test_a_price_of_which_a_part_cannot_be_is_none(cached: object):
    pricing = {"prompt": "0.000001", "completion": "0.000002", "input_cache_read": cached}
    body = json.dumps({"data": [{"id": "x", "pricing": pricing}]}).encode()

    (model,) = ADAPTERS["inception"].read_list(body).models

    assert model.rates == (() if cached != 0.5 else (ListedRate(10**6, 2 * 10**6, 5 * 10**11),))


def test_xai_tells_prices_of_long_prompts_too():
    entry = {
        "id": "grok-5",
        "prompt_text_token_price": 12500,
        "cached_prompt_text_token_price": 2000,
        "completion_text_token_price": 25000,
        "prompt_text_token_price_long_context": 25000,
        "completion_text_token_price_long_context": 50000,
        "long_context_threshold": 200000,
        "aliases": ["grok-5-0301", 7, "grok-5"],
    }
    read = ADAPTERS["xai"].read_list

    (model,) = read(json.dumps({"models": [{**entry, "aliases": ["grok-5-0301"]}]}).encode()).models
    (odd,) = read(json.dumps({"models": [entry]}).encode()).models
    (half,) = read(
        json.dumps({"models": [{**entry, "prompt_text_token_price_long_context": None}]}).encode()
    ).models

    assert model.rates == (
        ListedRate(1_250_000, 2_500_000, 200_000),
        ListedRate(2_500_000, 5_000_000, above_tokens=200_000),
    )
    assert model.aliases == ("grok-5-0301",)
    assert odd.aliases == ()
    # Half of what there is to pay is as good as nothing.
    assert half.rates == ()


def test_mistral_lists_a_model_again_under_each_of_its_aliases():
    chat = {"capabilities": {"completion_chat": True}}
    entries = [
        {"id": "devstral-2612", "name": "devstral-2612", "aliases": ["devstral-latest"], **chat},
        {"id": "devstral-latest", "name": "devstral-2612", "aliases": ["devstral-2612"], **chat},
        {"id": "mistral-ocr-2612", "deprecation": "2027-01-31T12:00:00Z", "capabilities": {}},
        {"id": "voxtral", "name": "elsewhere", **chat},
    ]

    page = ADAPTERS["mistral"].read_list(json.dumps({"data": entries}).encode())

    assert [model.id for model in page.models] == ["devstral-2612", "mistral-ocr-2612", "voxtral"]
    assert "devstral-latest" in page.ids
    assert [model.writes_text for model in page.models] == [True, False, True]
    assert page.models[1].retires_on == date(2027, 1, 31)


@pytest.mark.parametrize(
    ("id_", "writes", "does_not"),
    [
        (
            "openai",
            "gpt-7-luna gpt-4o o3-mini chatgpt-5-latest gpt-6.1-sol-2026-10-01 gpt-5.3-codex",
            """text-embedding-4 whisper-1 dall-e-3 gpt-image-2 gpt-4o-audio-preview gpt-realtime
            sora-2 tts-1 omni-moderation-latest gpt-4o-transcribe babbage-002 o3-deep-research
            gpt-3.5-turbo-instruct gpt-audio computer-use-preview""",
        ),
        (
            "google",
            "gemini-5-neon gemma-4-31b-it",
            "gemini-embedding-002 imagen-5 veo-4 gemini-5-flash-image gemini-5-tts aqa lyria-3",
        ),
    ],
)
def test_a_list_of_all_kinds_is_known_for_what_writes_text(id_: str, writes: str, does_not: str):
    for names, expected in ((writes, True), (does_not, False)):
        for name in names.split():
            entry = {"id": name, "name": f"models/{name}"}
            entry["supportedGenerationMethods"] = ["generateContent"]  # type: ignore[assignment]
            body = json.dumps({"data": [entry], "models": [entry]}).encode()
            assert [model.writes_text for model in ADAPTERS[id_].read_list(body).models] == [
                expected
            ], name


CANONICAL = [
    ("anthropic", "claude-opus-6-5", "anthropic/claude-opus-6.5"),
    ("anthropic", "claude-opus-6", "anthropic/claude-opus-6"),
    # A snapshot is a model of its own.
    ("anthropic", "claude-opus-6-5-20270101", "anthropic/claude-opus-6-5-20270101"),
    ("openai", "gpt-7-luna", "openai/gpt-7-luna"),
    ("openai", "ft:gpt-4.1:acme::1", None),
    ("openai", "chatgpt-5-latest", None),
    ("google", "gemini-5-neon", "google/gemini-5-neon"),
    ("mistral", "codestral-2612", "mistralai/codestral-2612"),
    ("mistral", "codestral-latest", None),
    ("deepseek", "deepseek-v5", "deepseek/deepseek-v5"),
    ("xai", "grok-5", "x-ai/grok-5"),
    ("minimax", "MiniMax-M4", "minimax/minimax-m4"),
    ("moonshotai", "kimi-k4", "moonshotai/kimi-k4"),
    ("inception", "mercury-4", "inception/mercury-4"),
    ("xiaomi", "mimo-v3", "xiaomi/mimo-v3"),
    ("zai", "glm-6", "z-ai/glm-6"),
    ("perplexity", "perplexity/sonar-2", "perplexity/sonar-2"),
    ("perplexity", "openai/gpt-7", None),
    ("perplexity", "sonar", None),
    ("novita", "zai-org/glm-6", "z-ai/glm-6"),
    ("novita", "xiaomimimo/mimo-v3", "xiaomi/mimo-v3"),
    ("novita", "deepseek/deepseek-v5", "deepseek/deepseek-v5"),
    ("novita", "somebody/glm-6", None),
    ("novita", "glm-6", None),
    ("fireworks", "accounts/fireworks/models/glm-6", None),
    ("bedrock", "{geo}.anthropic.claude-opus-6-5", "anthropic/claude-opus-6.5"),
    ("bedrock", "eu.anthropic.claude-opus-6", "anthropic/claude-opus-6"),
    ("bedrock", "anthropic.claude-opus-6-5-20270101-v1:0", None),
    ("bedrock", "{geo}.openai.gpt-6.1-astra", "openai/gpt-6.1-astra"),
    ("bedrock", "openai.gpt-oss-400b-1:0", None),
    ("bedrock", "meta.llama5-70b-v1:0", None),
    ("zai-coding", "GLM-6", "zai-coding/glm-6"),
    ("xiaomi-token-plan-ams", "mimo-v3", "xiaomi-token-plan-ams/mimo-v3"),
    ("chutes", "Qwen/Qwen4", "chutes/qwen/qwen4"),
    ("openai", "gpt-" + "9" * 150, None),
]


@pytest.mark.parametrize(("id_", "upstream_id", "ours"), CANONICAL)
def test_what_a_new_model_is_called_here(id_: str, upstream_id: str, ours: str | None):
    assert ADAPTERS[id_].canonical(upstream_id) == ours


def test_a_customers_own_models_are_nobody_elses():
    assert CUSTOM.canonical("gpt-7") is None


VENDORS = {
    "bedrock": {"anthropic", "openai"},
    "fireworks": set(),
    "novita": {"deepseek", "meta-llama", "minimax", "moonshotai", "openai", "xiaomi", "z-ai"},
}


@hypothesis_settings(max_examples=80, deadline=None)
@given(
    prefix=st.sampled_from(
        ["", "openai/", "anthropic/", "zai-org/", "{geo}.anthropic.", "us.openai.", "../", "x/"]
    ),
    name=st.from_regex(r"[a-z0-9.:/-]{1,30}", fullmatch=True)
    | st.sampled_from(["claude-opus-9-9", "gpt-6-luna", "gpt-5.6-x"]),
)
def test_no_provider_names_a_model_of_a_vendor_that_is_not_its_own(prefix: str, name: str):
    for adapter in ADAPTERS.values():
        ours = adapter.canonical(prefix + name)
        own = {adapter.id} if adapter.direct else VENDORS.get(adapter.id, {adapter.vendor})
        assert ours is None or ours.split("/")[0] in own


@pytest.mark.django_db
def test_what_the_catalogue_has_is_called_as_it_is_there_or_known_by_its_upstream_id():
    """So that a list which names it again adds nothing under another vendor's name."""
    for row in Offering.objects.select_related("model"):
        ours = ADAPTERS[row.provider].canonical(row.upstream_id)
        vendor = row.model_id.split("/")[0]
        assert ours is None or ours.split("/")[0] == vendor
