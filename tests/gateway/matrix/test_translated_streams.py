"""What holds of every stream, whichever dialect it was translated from.

Its events are those that strict readers take, a silence is filled in the caller's way, and it ends
once: with the terminal event of its dialect, or with one error.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from byok.actions import delete_key
from orgs.origin import Origin
from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES, RESPONSES, Dialect
from tests.gateway.matrix.callers import WEATHER
from tests.gateway.matrix.test_every_dialect_onto_every_other import PARALLEL, UPSTREAMS, Upstream
from tests.gateway.raw_upstream import raw_upstream
from tests.gateway.strict import check
from tests.gateway_fixture import Agent

Json = dict[str, Any]
SLOW = "stream: 4 events at 8/s"


@pytest.fixture(params=UPSTREAMS, ids=str)
def upstream(request):
    return request.param


def streams(agent: Agent, bodies: dict[Dialect, Json]) -> dict[Dialect, requests.Response]:
    """All of them at once, for most of it is waiting."""
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = pool.map(lambda dialect: agent.post(dialect.path, bodies[dialect]), bodies)
        return dict(zip(bodies, answers, strict=True))


def asking(upstream: Upstream, prompt: str) -> dict[Dialect, Json]:
    return {
        dialect: dialect.body(prompt, stream=True, model=upstream.model) for dialect in DIALECTS
    }


def with_tools(upstream: Upstream) -> dict[Dialect, Json]:
    """Reasoning, where the model reasons, and two calls."""
    bodies = asking(upstream, PARALLEL)
    function = {"name": "get_weather", "description": "Weather", "parameters": WEATHER}
    bodies[CHAT]["tools"] = [{"type": "function", "function": function}]
    bodies[RESPONSES]["tools"] = [{"type": "function", **function, "strict": False}]
    tool = {"name": "get_weather", "description": "Weather", "input_schema": WEATHER}
    bodies[MESSAGES]["tools"] = [tool]
    if upstream.reasons:
        bodies[CHAT]["reasoning_effort"] = "high"
        bodies[RESPONSES]["reasoning"] = {"effort": "high", "summary": "auto"}
        bodies[MESSAGES]["thinking"] = {"type": "adaptive", "display": "summarized"}
        bodies[MESSAGES]["output_config"] = {"effort": "high"}
    return bodies


def test_strict_readers_take_it(agent, key, upstream):
    key(upstream.provider)
    text, cut = asking(upstream, "say: pong"), asking(upstream, "stream: 200 events")
    for dialect, name in ((CHAT, "max_tokens"), (RESPONSES, "max_output_tokens")):
        cut[dialect][name] = 20
    cut[MESSAGES]["max_tokens"] = 20
    for bodies in (text, cut, with_tools(upstream)):
        for dialect, answer in streams(agent, bodies).items():
            assert answer.status_code == 200, answer.text
            check(dialect, dialect.stream(answer.content))


def test_usage_comes_where_it_is_asked_for(agent, key, upstream):
    key(upstream.provider)
    for asked in ({"stream_options": {"include_usage": True}}, {"usage": {"include": True}}):
        body = {**asking(upstream, "say: pong")[CHAT], **asked}
        answer = agent.post(CHAT.path, body)
        check(CHAT, CHAT.stream(answer.content), usage_asked=True)


def test_a_silence_is_filled_in_the_callers_way(agent, key, settings, upstream):
    settings.MEGABRAIN_KEEPALIVE_SECONDS = 0.04
    key(upstream.provider)
    answers = streams(agent, asking(upstream, SLOW))
    found = {dialect: dialect.stream(answer.content) for dialect, answer in answers.items()}
    for dialect, stream in found.items():
        # Which also reads the numbers of Responses, and that nothing but comments is in Chat.
        check(dialect, stream)
        assert stream.text == "1 2 3 4 "
    assert len(found[CHAT].comments) > 1
    assert found[RESPONSES].names.count("keepalive") > 1
    assert found[MESSAGES].names.count("ping") > 1
    assert found[MESSAGES].names[0] == "message_start"
    for dialect in (RESPONSES, MESSAGES):
        # Codex never notices a comment.
        assert found[dialect].comments == []


def test_a_break_is_told_once_and_in_the_callers_way(agent, key, owner, usage_row, upstream):
    prompt = "say: one two three four five six seven eight nine ten"
    for word in ("lateerror", "cut", "end"):
        stored = key(upstream.provider, word)
        for dialect, answer in streams(agent, asking(upstream, prompt)).items():
            assert answer.status_code == 200, answer.text
            stream = dialect.stream(answer.content)
            # No [DONE], message_stop or response.completed: `error` finds the one ending.
            told = stream.error
            overloaded = "server_is_overloaded"
            assert told.code == (overloaded if dialect is RESPONSES else "upstream_unavailable")
            assert len(stream.events) > 1, word
            row = usage_row(answer.headers["x-request-id"])
            assert (row.outcome, row.usage_source) == ("upstream_unavailable", "estimate")
        delete_key(actor=owner, key=stored, origin=Origin())


@pytest.mark.parametrize("dialect", [CHAT, RESPONSES], ids=str)
def test_usage_that_came_before_a_break_is_kept(agent, key, settings, usage_row, dialect):
    usage = {"input_tokens": 1234, "cache_read_input_tokens": 100, "output_tokens": 1}
    begun: Json = {"type": "message_start", "message": {"id": "msg_1", "usage": usage}}
    opened = {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    }
    said = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "po"},
    }
    wire = b"".join(
        f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode()
        for each in (begun, opened, said, said, said)
    )
    with raw_upstream(lambda each: each.stream(wire)) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"anthropic": upstream.url}
        key("anthropic")
        answer = agent.post(dialect.path, dialect.body(stream=True, model=MESSAGES.model))
    assert dialect.stream(answer.content).error.message
    row = usage_row(answer.headers["x-request-id"])
    assert (row.input_tokens, row.cache_read_tokens) == (1234, 100)
    # What was said in the meantime is more than what the beginning knew of.
    assert row.output_tokens >= 3
    assert row.usage_source == "estimate"
