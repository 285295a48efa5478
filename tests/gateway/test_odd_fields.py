"""Fields of a kind that nobody foresaw, from callers and from providers."""

import json
from typing import Any

import pytest

from tests.gateway.dialect import CHAT, MESSAGES, RESPONSES
from tests.gateway.raw_upstream import Wire, raw_upstream


@pytest.mark.parametrize(
    "options",
    [b'"\xff"', b"1e99999", b"1" * 5000, b"[1]", b'{"a":[' + b"{}," * 3000 + b"{}]}"],
    ids=["no text", "huge", "long", "list", "large"],
)
def test_odd_options_are_for_the_provider_to_refuse(agent, key, simulator, options):
    key("openai")
    body = b'{"model":"openai/gpt-6-luna","messages":[],"stream":true,"stream_options":%s}'
    response = agent.post(CHAT.path, data=body % options)
    assert response.status_code < 500
    assert options in simulator.calls[-1].body


def test_what_openrouters_clients_say_to_us_stays_here(agent, key, simulator):
    key("openai")
    agent.post(CHAT.path, {**CHAT.body(stream=True), "usage": {"include": True}})
    assert "usage" not in simulator.calls[-1].json


def test_an_option_for_one_provider_does_not_go_to_the_next(agent, key, simulator):
    key("openai", "529")
    agent.post(CHAT.path, CHAT.body(stream=True))
    first, second = simulator.calls
    assert first.body == second.body


USAGE = {"input_tokens": 1, "output_tokens": 1, "iterations": [{"type": {}}]}


@pytest.mark.parametrize("stream", [False, True])
def test_odd_usage_does_not_break_an_answer(agent, key, settings, stream):
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 1}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE},
        {"type": "message_stop"},
    ]

    def answer(wire: Wire) -> None:
        if not stream:
            whole = {"type": "message", "content": [], "usage": USAGE}
            wire.whole(200, json.dumps(whole).encode(), "content-type: application/json")
        else:
            for event in events:
                data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
                wire.stream(data) if event is events[0] else wire.send(data)

    with raw_upstream(answer) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"anthropic": upstream.url}
        key("anthropic")
        response = agent.post(MESSAGES.path, MESSAGES.body(stream=stream))
    assert response.status_code == 200
    assert not stream or MESSAGES.stream(response.content).complete


def test_a_ping_is_not_the_beginning_of_an_answer(agent, key, settings):
    """Or an overload that comes after it would be told instead of tried again."""

    def overloaded(wire: Wire) -> None:
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        ping = b'event: ping\ndata: {"type": "ping"}\n\n'
        wire.stream(ping, f"event: error\ndata: {json.dumps(error)}\n\n".encode())

    with raw_upstream(overloaded) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"anthropic": upstream.url}
        key("anthropic")
        response = agent.post(MESSAGES.path, MESSAGES.body(stream=True))
    assert response.status_code == 529
    assert response.headers["x-megabrain-attempts"] == "2"


STARTED = {"type": "message_start", "message": {"usage": {"input_tokens": 1}}}
OVERLOADED = {"error": {"type": "overloaded_error", "message": "Overloaded"}}
NO_BALANCE = {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}


def wire_of(*events: dict[str, Any]) -> list[bytes]:
    """Events under the names of their types, where they have one."""
    names = [f"event: {event['type']}\n" if "type" in event else "" for event in events]
    return [
        f"{name}data: {json.dumps(event)}\n\n".encode()
        for name, event in zip(names, events, strict=True)
    ]


@pytest.mark.parametrize(("dialect", "status"), [(MESSAGES, 529), (CHAT, 503)], ids=str)
def test_an_error_of_messages_that_does_not_say_its_type_is_one(
    agent, key, settings, dialect, status
):
    """As those have it who follow Anthropic in all the rest. To another dialect, any other event
    that is not known is nothing."""
    key("anthropic")
    body = dialect.body(stream=True, model=MESSAGES.model)
    with raw_upstream(lambda wire: wire.stream(*wire_of(OVERLOADED))) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"anthropic": upstream.url}
        response = agent.post(dialect.path, body)
    assert response.status_code == status
    assert response.headers["x-megabrain-attempts"] == "2"
    unknown = [{}, {"kind": "new"}] if dialect is CHAT else []
    events = wire_of(STARTED, *unknown, OVERLOADED)
    with raw_upstream(lambda wire: wire.stream(*events)) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"anthropic": upstream.url}
        response = agent.post(dialect.path, body)
    assert response.status_code == 200
    assert "overloaded" in dialect.stream(response.content).error.message


def test_minimax_fails_in_its_own_way_within_a_stream_of_messages(agent, key, settings):
    key("minimax")
    body = MESSAGES.body(stream=True, model="minimax/minimax-m2.5")
    with raw_upstream(lambda wire: wire.stream(*wire_of(STARTED, NO_BALANCE))) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"minimax": upstream.url}
        response = agent.post(MESSAGES.path, body)
    assert MESSAGES.stream(response.content).error.code == "byok_no_credit"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("insufficient_quota", "insufficient_quota"),
        ("rate_limit_exceeded", "rate_limit_exceeded"),
        ("invalid_api_key", "invalid_prompt"),
        ("server_error", "server_is_overloaded"),
    ],
)
def test_a_failed_response_has_the_code_that_codex_goes_by(agent, key, settings, code, told):
    events = [
        {"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1"}},
        {
            "type": "response.failed",
            "sequence_number": 1,
            "response": {"status": "failed", "error": {"code": code, "message": "No."}},
        },
    ]

    def fail(wire: Wire) -> None:
        wire.stream(*(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events))

    with raw_upstream(fail) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        response = agent.post(RESPONSES.path, RESPONSES.body(stream=True))
    assert RESPONSES.stream(response.content).error.code == told


@pytest.mark.parametrize("status", [413, 422])
def test_codex_is_not_made_to_repeat_what_was_refused(agent, key, settings, status):
    with raw_upstream(lambda wire: wire.whole(status, b'{"error":{"message":"No."}}')) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        assert agent.post(RESPONSES.path, RESPONSES.body()).status_code == 400
        assert agent.post(CHAT.path, CHAT.body()).status_code == status


def test_names_that_the_caller_sent_are_not_masked(agent, key, settings):
    name = "mcp__plugin_context7_context7__resolve-library-id"
    foreign = "sk-proj-" + "Ab1" * 12
    message = f"Invalid 'tools[3].function.name': {name} (not {foreign})"

    def refuse(wire: Wire) -> None:
        body = json.dumps({"error": {"message": message, "code": name}})
        wire.whole(400, body.encode(), "content-type: application/json")

    with raw_upstream(refuse) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        sent = {**CHAT.body(), "tools": [{"type": "function", "function": {"name": name}}]}
        told = CHAT.error(agent.post(CHAT.path, sent))
    assert name in told.message
    assert told.code == name
    assert foreign not in told.message


def test_a_call_that_may_have_begun_is_not_made_again(agent, key, settings):
    def work_and_hang_up(wire: Wire) -> None:
        wire.pause(1.2)

    with raw_upstream(work_and_hang_up) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        assert agent.post(CHAT.path, CHAT.body()).status_code == 503
        assert len(upstream.requests) == 1


def test_a_long_answer_arrives_whole(agent, key, settings):
    text = "é" * 700_000
    answer = json.dumps({"choices": [{"message": {"content": text}}]}).encode()
    with raw_upstream(
        lambda wire: wire.whole(200, answer, "content-type: application/json")
    ) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        assert agent.post(CHAT.path, CHAT.body()).content == answer


def test_its_record_is_there_when_a_stream_has_ended(agent, key, settings):
    def end_slowly(wire: Wire) -> None:
        finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        wire.stream(f"data: {json.dumps(finish)}\n\n".encode(), b"data: [DONE]\n\n")
        wire.pause(0.8)

    with raw_upstream(end_slowly) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        response = agent.post(CHAT.path, CHAT.body(stream=True))
        record = agent.get(f"requests/{response.headers['x-request-id']}")
    assert record.status_code == 200
    assert record.json()["outcome"] == "ok"


def test_a_dialect_that_no_provider_of_the_model_speaks_is_said_before_a_key_is_asked_for(agent):
    response = agent.post(MESSAGES.path, MESSAGES.body(model="openai/text-embedding-3-small"))
    assert response.status_code == 400
    assert "/v1/embeddings" in response.json()["error"]["message"]
