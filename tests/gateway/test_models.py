"""The list of models, in the shapes that OpenAI's, OpenRouter's and Anthropic's readers expect."""

import re
from fractions import Fraction
from typing import Any

import anthropic
import openai
import pytest

from byok.actions import set_enabled
from orgs.origin import Origin
from tests.bundled import SERVED
from tests.gateway.dialect import DIALECTS

CATALOGUE: dict[str, Any] = {model["id"]: model for model in SERVED}
#: What a caller sees who has no key of a direct provider.
IDS = sorted(
    id_
    for id_, model in CATALOGUE.items()
    if not all(each.get("direct") for each in model["offerings"])
)
DIRECT = sorted(CATALOGUE.keys() - set(IDS))
VERSION = {"anthropic-version": "2023-06-01"}


def test_openais_sdk_lists_every_model_of_the_catalogue(agent):
    models = agent.openai.models.list().data
    assert [model.id for model in models] == IDS
    assert {model.object for model in models} == {"model"}
    assert {type(model.created) for model in models} == {int}
    assert all(model.owned_by == model.id.split("/")[0] for model in models)


def test_pitfall_24_every_entry_has_what_openrouters_readers_cannot_do_without(agent):
    listing = agent.get("models").json()
    assert listing["total_count"] == len(listing["data"]) == len(IDS)
    for entry in listing["data"]:
        known = CATALOGUE[entry["id"]]
        assert entry["name"] == known["name"]
        assert entry["context_length"] == (known["context"] or 0)
        assert entry["top_provider"]["max_completion_tokens"] == known["max_output"]
        sees = {"text", "image"} if "vision" in known["capabilities"] else {"text"}
        gives = ["embeddings"] if "embeddings" in known["capabilities"] else ["text"]
        assert set(entry["architecture"]["input_modalities"]) == sees
        assert entry["architecture"]["output_modalities"] == gives
        assert ("tools" in entry["supported_parameters"]) == ("tools" in known["capabilities"])
        # To Kilo Code an empty list means that everything is supported.
        assert entry["supported_parameters"] or not entry["endpoints"]
        assert entry["providers"] == sorted(each["provider"] for each in known["offerings"])


def test_prices_are_plain_decimals_of_dollars_a_token(agent):
    listing = {entry["id"]: entry for entry in agent.get("models").json()["data"]}
    pricing = listing["anthropic/claude-haiku-4.5"]["pricing"]
    fields = {
        "prompt": "input",
        "completion": "output",
        "input_cache_read": "cache_read",
        "input_cache_write": "cache_write",
    }
    (price,) = CATALOGUE["anthropic/claude-haiku-4.5"]["offerings"][0]["prices"]
    assert {shown: Fraction(pricing[shown]) for shown in fields} == {
        shown: Fraction(price[name], 10**12) for shown, name in fields.items()
    }
    everything = [text for entry in listing.values() for text in entry.get("pricing", {}).values()]
    assert all(re.fullmatch(r"\d+(\.\d*[1-9])?", text) for text in everything)


def test_it_says_which_models_the_callers_keys_serve(agent, owner, key):
    stored = key("novita")
    entry = agent.get("models/openai/gpt-oss-120b").json()
    assert entry["byok"] == {"available": True, "providers": ["novita"], "keys": [str(stored.pk)]}
    # The price is that of the provider who would serve it.
    assert Fraction(entry["pricing"]["prompt"]) == Fraction(50_000, 10**12)
    other = agent.get("models/gpt-6-luna").json()["byok"]
    assert other == {"available": False, "providers": [], "keys": []}

    set_enabled(actor=owner, key=stored, enabled=False, origin=Origin())
    assert agent.get("models/openai/gpt-oss-120b").json()["byok"]["available"] is False


def test_anthropics_sdk_reads_it_page_by_page(agent):
    page = agent.anthropic.models.list(limit=7)
    assert ([model.id for model in page.data], page.has_more) == (IDS[:7], True)
    assert (page.first_id, page.last_id) == (IDS[0], IDS[6])
    assert [model.id for model in page] == IDS
    model = page.data[0]
    assert (model.type, model.display_name) == ("model", CATALOGUE[IDS[0]]["name"])
    assert model.created_at.tzinfo is not None


def test_claude_code_gets_the_whole_list_at_once(agent):
    answer = agent.get("models?limit=1000", headers=VERSION).json()
    assert ([entry["id"] for entry in answer["data"]], answer["has_more"]) == (IDS, False)
    assert all(
        re.fullmatch(r"[\d-]{10}T[\d:]{8}Z", entry["created_at"]) for entry in answer["data"]
    )


@pytest.mark.parametrize(
    ("query", "expected", "more"),
    [
        ("", IDS[:20], True),
        (f"limit=3&after_id={IDS[4]}", IDS[5:8], True),
        (f"limit=3&after_id={IDS[-3]}", IDS[-2:], False),
        (f"after_id={IDS[-1]}", [], False),
        (f"limit=3&before_id={IDS[5]}", IDS[2:5], True),
        (f"limit=3&before_id={IDS[3]}", IDS[:3], False),
        (f"limit=1&before_id={IDS[0].replace('/', '%2F')}", [], False),
    ],
)
def test_a_page_is_what_its_cursor_says(agent, query, expected, more):
    page = agent.get(f"models?{query}", headers=VERSION).json()
    assert ([entry["id"] for entry in page["data"]], page["has_more"]) == (expected, more)
    ends = (expected[0], expected[-1]) if expected else (None, None)
    assert (page["first_id"], page["last_id"]) == ends


def test_a_page_that_makes_no_sense_is_refused(agent):
    digits = "1" * 5000
    many = "&".join(f"{each}=1" for each in range(51))
    for query in (
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=x",
        f"limit={digits}",
        "after_id=x",
        "before_id=x",
        many,
    ):
        answer = agent.get(f"models?{query}", headers=VERSION)
        assert (answer.status_code, answer.json()["type"]) == (400, "error"), query


@pytest.mark.parametrize(
    "spelling",
    [
        "openai/gpt-oss-120b",
        "openai%2Fgpt-oss-120b",
        "OpenAI/GPT-OSS-120B",
        "gpt-oss-120b",
        "accounts/fireworks/models/gpt-oss-120b",
        "accounts%2Ffireworks%2Fmodels%2Fgpt-oss-120b",
    ],
)
def test_a_model_is_found_under_every_spelling_of_its_name(agent, spelling):
    assert agent.get(f"models/{spelling}").json()["id"] == "openai/gpt-oss-120b"


def test_the_sdks_find_one_model(agent):
    assert agent.openai.models.retrieve("openai/gpt-6-luna").id == "openai/gpt-6-luna"
    claude = agent.anthropic.models.retrieve("claude-haiku-4-5-20251001")
    assert (claude.id, claude.type) == ("anthropic/claude-haiku-4.5", "model")


def test_a_model_nobody_knows_is_a_404_with_near_matches(agent):
    with pytest.raises(openai.NotFoundError) as missing:
        agent.openai.models.retrieve("openai/gpt-6-lunar")
    assert missing.value.code == "model_not_found"
    assert "openai/gpt-6-luna" in missing.value.message
    with pytest.raises(anthropic.NotFoundError):
        agent.anthropic.models.retrieve("claude-of-the-future")


def test_a_model_that_has_ended_is_neither_listed_nor_found(agent, key, simulator):
    key("perplexity")
    assert not [id_ for id_ in IDS if id_.startswith("perplexity/sonar-")]
    for name in ("sonar-pro", "perplexity/sonar-pro", "perplexity/sonar-deep-research"):
        assert agent.get(f"models/{name}").status_code == 404
        for dialect in DIALECTS:
            answer = agent.post(dialect.path, dialect.body(model=name))
            assert answer.status_code == (400 if dialect.name == "responses" else 404)
            told = dialect.error(answer)
            assert told.code == "model_not_found"
            assert f"model: {name} is not in the catalogue." in told.message
            assert ("Did you mean perplexity/sonar or" in told.message) == ("-pro" in name)
    assert simulator.calls == []
    # Of two offerings of one model the other one goes on.
    (offering,) = agent.get("models/sonar").json()["offerings"]
    assert offering["upstream_id"] == "perplexity/sonar"


def test_a_token_for_certain_models_sees_only_those(make_agent):
    agent = make_agent(allowed_models=["openai/gpt-6-luna", "anthropic/claude-haiku-5.5"])
    allowed = ["anthropic/claude-haiku-5.5", "openai/gpt-6-luna"]
    assert [model.id for model in agent.openai.models.list()] == allowed
    assert [model.id for model in agent.anthropic.models.list()] == allowed
    assert agent.get("models/gpt-6-luna").status_code == 200
    refused = agent.get("models/gpt-6-sol")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    assert "gpt-6-sol" in refused.json()["error"]["message"]
