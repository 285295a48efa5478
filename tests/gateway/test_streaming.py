"""Events reach the caller as the provider sent them, and when it sent them."""

import json
from itertools import count
from typing import Any

import pytest
import requests

from tests.gateway.dialect import CHAT
from tests.gateway.raw_upstream import raw_upstream

PACED = "stream: 20 events at 10/s"
#: Endpoint, provider, model, and where the endpoint is at the provider.
CALLS = {
    "chat": ("chat/completions", "openai", "gpt-4.1", "/chat/completions"),
    "chat of another": ("chat/completions", "fireworks", "gpt-oss-20b", "/chat/completions"),
    "responses": ("responses", "openai", "gpt-6-luna", "/responses"),
    "messages": ("messages", "anthropic", "claude-sonnet-5-5", "/v1/messages"),
}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.fixture(params=CALLS)
def call(request, key) -> tuple[str, str, str, str]:
    """Each way to stream in turn, with a key for it."""
    key(CALLS[request.param][1])
    return CALLS[request.param]


def body(endpoint: str, model: str, prompt: str) -> dict[str, Any]:
    tool: dict[str, Any] = {"name": "get_weather", "parameters": WEATHER}
    if endpoint == "responses":
        tools = [{"type": "function", "strict": False, **tool}]
        return {"model": model, "stream": True, "input": prompt, "tools": tools}
    messages = [{"role": "user", "content": prompt}]
    if endpoint == "messages":
        tools = [{"name": "get_weather", "input_schema": WEATHER}]
        more: dict[str, Any] = {"max_tokens": 500, "thinking": {"type": "adaptive"}}
    else:
        tools = [{"type": "function", "function": tool}]
        more = {"stream_options": {"include_usage": True}}
    return {"model": model, "stream": True, "messages": messages, "tools": tools, **more}


PROMPTS = (
    'call: get_weather {"city": "Paris"}\ncall: get_weather {"city": "Zürich"}',
    # Words of the protocols, as somebody who develops a gateway would have them in a prompt.
    'say: "usage" "error" "finish_reason":"stop" \\n\\n data: [DONE] event: message_stop é🚀',
    "stream: 300 events",
)


def test_the_events_are_the_providers_to_the_byte(agent, call, simulator):
    endpoint, provider, model, path = call
    for prompt in PROMPTS:
        # Answers are numbered; both are to be the same one.
        simulator.application.numbers = count(1)
        through = agent.post(endpoint, body(endpoint, model, prompt))
        sent = simulator.calls[-1]
        simulator.application.numbers = count(1)
        direct = requests.post(
            simulator.url(provider) + path, data=sent.body, headers=sent.headers, timeout=20
        )
        assert direct.status_code == 200
        assert through.content == direct.content
        assert through.content.count(b"\n\n") > 5


def test_the_usage_nobody_asked_for_is_all_that_is_missing(agent, key, simulator):
    key("fireworks")
    asked = body("chat/completions", "gpt-oss-20b", "say: one two three")
    unasked = {name: value for name, value in asked.items() if name != "stream_options"}
    simulator.application.numbers = count(1)
    full = agent.post("chat/completions", asked).content.split(b"\n\n")
    simulator.application.numbers = count(1)
    short = agent.post("chat/completions", unasked).content.split(b"\n\n")
    missing = [event for event in full if event not in short]
    assert [json.loads(event[6:])["choices"] for event in missing] == [[]]
    assert short == [event for event in full if event not in missing]


def test_an_event_arrives_while_the_provider_still_sends(agent, call, simulator):
    endpoint, _, model, _ = call
    # As clients say what they could unpack, were a stream compressed.
    accepting = {"accept-encoding": "gzip, deflate, br, zstd"}
    with agent.post(
        endpoint, body(endpoint, model, PACED), headers=accepting, stream=True
    ) as answer:
        first = next(answer.iter_content(None))
        assert first.startswith((b"data: {", b"event: "))
        assert simulator.calls[-1].events < 20
        assert simulator.calls[-1].end == ""
    # Nor is anybody on the way to hold it back.
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in answer.headers


def test_the_sdks_see_the_first_event_while_the_provider_still_sends(agent, key, simulator):
    key("openai")
    with agent.openai.chat.completions.create(
        model="gpt-6-luna", messages=[{"role": "user", "content": PACED}], stream=True
    ) as stream:
        next(stream)
        assert simulator.calls[-1].events < 20


def test_many_streams_at_once_do_not_mix(agent, key):
    key("openai")
    names = [f"heron{number}" for number in range(20)]
    answers = [
        agent.post(
            "chat/completions",
            body("chat/completions", "gpt-6-luna", f"say: {name} {name} {name}"),
            stream=True,
        )
        for name in names
    ]
    for name, answer in reversed(list(zip(names, answers, strict=True))):
        lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
        choices = [choice for line in lines for choice in json.loads(line)["choices"]]
        said = "".join(choice["delta"].get("content") or "" for choice in choices)
        assert said == f"{name} {name} {name}"


def test_a_media_type_is_the_same_in_capitals(agent, key, settings):
    event = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream\r\nconnection: close\r\n\r\n"
    with raw_upstream(lambda wire: wire.send(head + event + b"data: [DONE]\n\n")) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        stream = CHAT.stream(agent.post(CHAT.path, CHAT.body(stream=True)).content)
    assert (stream.text, stream.complete) == ("a", True)
