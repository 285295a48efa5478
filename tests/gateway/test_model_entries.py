"""What is said of a model: to every program that reads it, and no more than is true."""

from collections.abc import Mapping
from fractions import Fraction

import pytest

from byok.catalogue import version
from byok.models import CatalogModel, Offering, Source
from byok.providers import PROVIDERS
from tests.gateway.model_readers import misfits

HAIKU = "anthropic/claude-haiku-5.5"
PING = [{"role": "user", "content": "say: pong"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
#: What a call asks for, and what shows that its provider was asked for it.
ASKED: Mapping[str, tuple[Mapping[str, object], str]] = {
    "temperature": ({"temperature": 0.5}, "0.5"),
    "stop": ({"stop": ["mb-end"]}, "mb-end"),
    "seed": ({"seed": 918273}, "918273"),
    "top_k": ({"top_k": 977}, "977"),
    "max_tokens": ({"max_tokens": 1031}, "1031"),
    "tools": ({}, '"look"'),
}


def test_every_program_can_read_every_entry(agent, key):
    for provider in ("anthropic", "novita", "zai-coding", "chutes"):
        key(provider)
    entries = agent.get("models").json()["data"]
    assert len(entries) > 100
    assert {entry["id"]: misfits(entry) for entry in entries if misfits(entry)} == {}


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("anthropic", "anthropic/claude-haiku-4.5"),
        ("anthropic", HAIKU),
        ("openai", "openai/gpt-4.1"),
        ("openai", "openai/gpt-6-luna"),
        ("google", "google/gemini-3.5-flash"),
        ("bedrock", "openai/gpt-oss-120b"),
        ("deepseek", "deepseek/deepseek-v4-flash"),
        ("novita", "openai/gpt-oss-120b"),
        ("minimax", "minimax/minimax-m2.7"),
    ],
)
def test_a_parameter_is_supported_if_the_provider_is_told_of_it(
    agent, key, simulator, provider, model
):
    key(provider)
    entry = agent.get(f"models/{model}").json()

    def sent(parameters: Mapping[str, object]) -> str:
        simulator.clear()
        # With tools, as an agent calls: without, some models are asked in another dialect.
        body = {"model": model, "messages": PING, "tools": [TOOL], **parameters}
        assert agent.post("chat/completions", body).status_code == 200
        body_sent: bytes = simulator.calls[-1].body
        return body_sent.decode()

    told = {name for name, (parameters, mark) in ASKED.items() if mark in sent(parameters)}
    if sent({}) != sent({"reasoning": {"effort": "high"}}):
        told.add("reasoning")
    supported = set(entry["supported_parameters"])
    assert supported & {*ASKED, "reasoning"} == told
    assert "include_reasoning" in supported or "reasoning" not in told


def test_a_description_is_a_sentence(agent, key):
    key("zai-coding")
    entries = {entry["id"]: entry for entry in agent.get("models").json()["data"]}
    assert entries["anthropic/claude-haiku-4.5"]["description"] == (
        "Claude Haiku 4.5 by Anthropic, with 200,000 tokens of context and up to 64,000 of output; "
        "it calls tools, sees images and reasons."
    )
    of_a_plan = entries["zai-coding/glm-4.7"]["description"]
    assert of_a_plan.startswith("GLM-4.7")
    assert "served only with a key of Z.ai Coding Plan" in of_a_plan
    for entry in entries.values():
        assert entry["description"].startswith(entry["name"])
        assert entry["description"].endswith(".")


def test_limits_are_those_that_fit_whichever_key_serves(agent, key):
    version.changed()
    model = CatalogModel.objects.create(
        id="openai/limits", name="Limits", context=400_000, max_output=50_000, source=Source.STAFF
    )
    for provider, context, most in (("openai", None, None), ("novita", 131_072, 9_000)):
        Offering.objects.create(
            model=model,
            provider=provider,
            upstream_id="limits",
            context=context,
            max_output=most,
            source=Source.STAFF,
        )

    def limits() -> tuple[int, int]:
        entry = agent.get("models/openai/limits").json()
        top = entry["top_provider"]
        assert (entry["max_input_tokens"], entry["max_tokens"]) == tuple(top.values())[:2]
        return entry["context_length"], top["max_completion_tokens"]

    assert limits() == (400_000, 50_000)
    key("openai")
    assert limits() == (400_000, 50_000)
    key("novita")
    assert limits() == (131_072, 9_000)


def test_a_model_tells_who_serves_it(agent, key):
    stored = key("bedrock")
    found = agent.get(f"models/{HAIKU}").json()
    assert found["byok"] == {
        "available": True,
        "providers": ["bedrock"],
        "keys": [str(stored.pk)],
    }
    own, other = found["offerings"]
    assert (own["provider"], own["provider_name"]) == ("bedrock", "AWS Bedrock")
    assert own["byok"] == {"available": True, "keys": [str(stored.pk)]}
    assert other["byok"] == {"available": False, "keys": []}
    assert (other["provider"], other["upstream_id"]) == ("anthropic", "claude-haiku-5-5")
    assert own["upstream_id"] == "anthropic.claude-haiku-5-5"
    assert (other["dialects"], own["dialects"][0]) == (
        ["messages", "messages/count_tokens"],
        "invoke",
    )
    assert "/v1/chat/completions" in other["endpoints"]
    assert other["context_length"] == found["context_length"]
    assert other["prices"][0]["starts_at"].endswith("Z")
    assert (other["direct"], other["retires_on"]) == (False, None)
    short, long = other["prices"]
    assert (short["above_tokens"], other["pricing"]["prompt"]) == (0, short["prompt"])
    assert Fraction(long["prompt"]) > Fraction(short["prompt"])
    assert "temperature" not in other["supported_parameters"]


def test_openrouters_readers_learn_who_serves_a_model(agent):
    """Roo Code asks so, once for the model that was chosen."""
    for name in (HAIKU, HAIKU.replace("/", "%2F"), "claude-haiku-5-5"):
        data = agent.get(f"models/{name}/endpoints").json()["data"]
        assert (data["id"], type(data["name"])) == (HAIKU, str)
        assert data["architecture"]["output_modalities"] == ["text"]
        names = [(each["provider_name"], each["tag"]) for each in data["endpoints"]]
        assert names == [(PROVIDERS[id_].name, id_) for id_ in ("anthropic", "bedrock")]
        for each in data["endpoints"]:
            assert (type(each["name"]), type(each["context_length"])) == (str, int)
            assert Fraction(each["pricing"]["prompt"]) > 0
    missing = agent.get("models/openai/gpt-6-lunar/endpoints")
    assert missing.status_code == 404
    assert "openai/gpt-6-luna" in missing.json()["error"]["message"]
