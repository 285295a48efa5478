"""Embeddings, at every provider that has them."""

import base64
import json
import struct

import pytest

from tests.gateway.raw_upstream import raw_upstream

MODELS = [
    ("openai", "openai/text-embedding-3-small"),
    ("mistral", "mistralai/mistral-embed"),
    ("google", "google/gemini-embedding-001"),
]


@pytest.mark.parametrize(("provider", "model"), MODELS)
def test_the_sdk_gets_one_vector_for_each_text(agent, key, usage_row, provider, model):
    key(provider)
    # The SDK asks for base64 and unpacks it.
    answer = agent.openai.embeddings.with_raw_response.create(model=model, input=["one", "two"])
    found = answer.parse()
    assert len(found.data) == 2
    assert len(found.data[0].embedding) > 1
    assert found.data[0].embedding != found.data[1].embedding
    row = usage_row(answer.headers["x-request-id"])
    assert (row.endpoint, row.provider, row.output_tokens) == ("embeddings", provider, 0)
    assert row.input_tokens > 0


@pytest.mark.parametrize(("provider", "model"), MODELS)
def test_base64_is_honoured_whoever_computes(agent, key, provider, model):
    key(provider)
    body = {"model": model, "input": "one"}
    plain = agent.post("embeddings", body).json()["data"][0]["embedding"]
    packed = agent.post("embeddings", {**body, "encoding_format": "base64"}).json()
    raw = base64.b64decode(packed["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == pytest.approx(plain, abs=1e-6)


def test_a_model_that_only_converses_has_no_embeddings(agent, key, simulator):
    key("openai")
    answer = agent.post("embeddings", {"model": "openai/gpt-6-luna", "input": "one"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "endpoint_not_supported"
    assert simulator.calls == []


def test_where_no_usage_is_reported_the_vectors_are_not_taken_for_words(
    agent, key, usage_row, settings
):
    vectors = {"data": [{"index": 0, "embedding": [0.25] * 1000}]}
    with raw_upstream(lambda wire: wire.whole(200, json.dumps(vectors).encode())) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        answer = agent.post("embeddings", {"model": MODELS[0][1], "input": "one " * 100})
    row = usage_row(answer.headers["x-request-id"])
    assert (row.usage_source, row.output_tokens) == ("estimate", 0)
    assert row.input_tokens >= 100
