"""Streams to the letter of each company's documents, passed through and translated."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.dialect import CHAT, MESSAGES, RESPONSES
from tests.gateway.raw_upstream import RawUpstream

SAMPLES = json.loads((Path(__file__).parent / "wire_samples.json").read_text())
FIM = "fim/completions"
MODELS = {
    ("openai", "openai_chat"): "openai/gpt-4.1",
    # Which has no Chat.
    ("openai", "openai_responses"): "openai/gpt-5.3-codex",
    ("deepseek", "openai_chat"): "deepseek/deepseek-v4-pro-0813",
    ("deepseek", "fim"): "deepseek/deepseek-v4-pro-0813",
    ("perplexity", "openai_responses"): "perplexity/sonar",
}
#: Where each is asked for: in its own dialect, and in one that has to be translated.
INBOUND = {
    ("openai", "openai_chat"): (CHAT.path, MESSAGES.path),
    ("openai", "openai_responses"): (RESPONSES.path, CHAT.path),
    ("deepseek", "openai_chat"): (CHAT.path, RESPONSES.path),
    ("deepseek", "fim"): (FIM,),
    ("perplexity", "openai_responses"): (RESPONSES.path, MESSAGES.path),
}


def asked(path: str, model: str) -> dict[str, Any]:
    content: dict[str, Any] = {"messages": [{"role": "user", "content": "ping"}]}
    if path in (RESPONSES.path, FIM):
        content = {"input": "ping"} if path == RESPONSES.path else {"prompt": "a", "suffix": "b"}
    return {"model": model, "max_tokens": 999, **content, "stream": True}


def text_of(content: bytes) -> str:
    """What the model said, in whichever dialect the events are."""
    said = ""
    for line in content.decode().splitlines():
        if line.startswith("data: {"):
            event = json.loads(line.removeprefix("data: "))
            if event.get("type") == "response.output_text.delta":
                said += event["delta"]
            if event.get("type") == "content_block_delta":
                said += event["delta"].get("text", "")
            for choice in event.get("choices") or []:
                said += choice["delta"].get("content") or ""
    return said


@pytest.mark.parametrize(
    ("sample", "inbound"),
    [(each, inbound) for each in SAMPLES for inbound in INBOUND[each["provider"], each["api"]]],
    ids=lambda value: f"{value['provider']} {value['name']}" if isinstance(value, dict) else value,
)
def test_a_stream_says_and_costs_what_it_did(agent, key, settings, usage_row, sample, inbound):
    provider, expected = sample["provider"], sample["expect"]
    key(provider)
    wire = sample["wire"].encode()
    with closing(RawUpstream(lambda each: each.stream(wire))) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {provider: upstream.url}
        answer = agent.post(inbound, asked(inbound, MODELS[provider, sample["api"]]))

    assert answer.status_code == 200, answer.text
    assert text_of(answer.content) == expected["text"]
    row, used = usage_row(answer.headers["x-request-id"]), expected["usage"]
    assert (row.outcome, row.usage_source) == ("ok", "provider")
    assert row.input_tokens + row.cache_read_tokens == used["input_total"]
    assert (row.cache_read_tokens, row.output_tokens) == (used["cache_read"], used["output_total"])
    assert row.reasoning_tokens == used["reasoning"]
