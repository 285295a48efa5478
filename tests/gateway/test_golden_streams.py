"""Streams as they were seen on the wire, through the gateway: text, end and usage are understood.

Built to the shapes in each company's documents.
"""

import json
from contextlib import closing

import pytest

from tests.gateway.raw_upstream import RawUpstream


def chunk(choice: dict[str, object], **more: object) -> bytes:
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**body, "choices": [choice], **more}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
PONG = chunk({"index": 0, "delta": {"role": "assistant", "content": "pong"}, "finish_reason": None})
STOP = {"index": 0, "delta": {}, "finish_reason": "stop"}

#: An event of its own, whose completion leaves reasoning out.
BESIDE = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"grok-4.7",'
    b'"choices":[],"usage":{"prompt_tokens":50,"completion_tokens":4,"total_tokens":354,'
    b'"prompt_tokens_details":{"cached_tokens":32},"completion_tokens_details":'
    b'{"reasoning_tokens":300}}}\n\n'
)

#: Provider, model, the events, and what they used: input, read from a cache, output, reasoning.
STREAMS = {
    "reasoning beside the completion": (
        "xai",
        "x-ai/grok-4.7",
        [
            PONG,
            chunk(STOP),
            BESIDE,
        ],
        (18, 32, 304, 300),
    ),
    "usage inside the choice": (
        "moonshotai",
        "moonshotai/kimi-k2.6",
        [
            PONG,
            chunk(
                {
                    **STOP,
                    "usage": {
                        "prompt_tokens": 40,
                        "completion_tokens": 2,
                        "total_tokens": 42,
                        "cached_tokens": 32,
                    },
                }
            ),
        ],
        (8, 32, 2, 0),
    ),
    "usage on the last chunk": (
        "mistral",
        "mistralai/codestral-2508",
        [
            PONG,
            chunk(STOP, usage={"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}),
        ],
        (8, 0, 3, 0),
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_counted_as_its_company_means_it(agent, key, settings, usage_row, name):
    provider, model, events, used = STREAMS[name]
    key(provider)
    with closing(RawUpstream(lambda wire: wire.stream(*events, DONE))) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {provider: upstream.url}
        answer = agent.post(
            "chat/completions",
            {
                "model": model,
                "messages": [{"role": "user", "content": "ping"}],
                "stream": True,
                "stream_options": {"include_usage": True},
            },
        )

    assert answer.status_code == 200, answer.text
    assert "pong" in answer.text
    row = usage_row(answer.headers["x-request-id"])
    assert (row.provider, row.outcome) == (provider, "ok")
    assert (
        row.input_tokens,
        row.cache_read_tokens,
        row.output_tokens,
        row.reasoning_tokens,
    ) == used


def test_filling_in_the_middle_streams_in_the_shape_of_chat(agent, key, settings, usage_row):
    key("mistral")
    usage = {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}
    begun = {"index": 0, "delta": {"role": "assistant", "content": "a + "}, "finish_reason": None}
    ended = {"index": 0, "delta": {"content": "b"}, "finish_reason": "stop"}
    events = [chunk(begun), chunk(ended, usage=usage), DONE]
    with closing(RawUpstream(lambda wire: wire.stream(*events))) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"mistral": upstream.url}
        answer = agent.post(
            "fim/completions",
            {
                "model": "mistralai/codestral-2508",
                "prompt": "def f(",
                "suffix": "return x",
                "stream": True,
            },
        )

    assert answer.status_code == 200, answer.text
    assert answer.content == b"".join(events)
    row = usage_row(answer.headers["x-request-id"])
    assert (row.input_tokens, row.output_tokens) == (8, 3)


def test_a_failure_inside_a_200_is_one_of_the_key(agent, key, settings):
    key("minimax")
    body = (
        b'{"id":"x","choices":null,"created":1,"model":"MiniMax-M3",'
        b'"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}'
    )
    with closing(RawUpstream(lambda wire: wire.whole(200, body))) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"minimax": upstream.url}
        answer = agent.post(
            "chat/completions",
            {"model": "minimax/minimax-m3", "messages": [{"role": "user", "content": "ping"}]},
        )

    assert answer.json()["error"]["code"] == "byok_no_credit"
