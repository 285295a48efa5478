"""Signs of life while a provider is silent: each dialect has its own, and its streams stay sound.

The first silence before the headers is left alone, so that an error can keep its status.
"""

from collections.abc import Iterable

import pytest

from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES, RESPONSES, add_keys, post_all
from tests.gateway.raw_upstream import raw_upstream

SLOW_STREAM = "stream: 4 events at 4/s"


@pytest.fixture(autouse=True)
def often(settings):
    settings.MEGABRAIN_KEEPALIVE_SECONDS = 0.05


def test_chat_gets_comments(agent, key, usage_row):
    key("openai")
    response = agent.post(CHAT.path, CHAT.body(SLOW_STREAM, stream=True))
    stream = CHAT.stream(response.content)
    assert set(stream.comments) == {": keep-alive"}
    assert stream.complete
    assert stream.text == "1 2 3 4 "
    assert usage_row(response.headers["x-request-id"]).usage_source == "provider"


def test_messages_gets_pings_after_the_message_has_begun(agent, key):
    key("anthropic")
    response = agent.post(MESSAGES.path, MESSAGES.body(SLOW_STREAM, stream=True))
    stream = MESSAGES.stream(response.content)
    assert stream.names.index("message_start") == 0
    # One is the provider's own.
    assert stream.names.count("ping") > 1
    assert stream.comments == []
    assert stream.complete
    assert stream.text == "1 2 3 4 "


def test_responses_gets_numbered_events_and_later_ones_move_up(agent, key):
    key("openai")
    response = agent.post(RESPONSES.path, RESPONSES.body(SLOW_STREAM, stream=True))
    stream = RESPONSES.stream(response.content)
    assert stream.names[0] == "response.created"
    assert "keepalive" in stream.names
    # What came after the first had to move up; that all numbers follow is checked in reading.
    assert stream.names.index("keepalive") < len(stream.names) - 3
    assert stream.comments == []
    assert stream.complete
    assert stream.text == "1 2 3 4 "


def test_the_number_of_a_failure_follows_those_of_the_keep_alives(agent, key, settings):
    settings.MEGABRAIN_IDLE_SECONDS = 2
    key("openai", "stall")
    response = agent.post(RESPONSES.path, RESPONSES.body(stream=True))
    stream = RESPONSES.stream(response.content)
    assert "keepalive" in stream.names
    assert stream.error.code == "server_is_overloaded"


def test_before_the_first_event_there_are_only_comments(agent, key):
    add_keys(key)
    first = {MESSAGES: "message_start", RESPONSES: "response.created", CHAT: ""}
    for dialect, response in post_all(agent, "wait: 2\nsay: pong", stream=True).items():
        assert response.content.startswith(b": keep-alive\n\n")
        stream = dialect.stream(response.content)
        assert stream.names[0] == first[dialect]
        assert stream.complete
        assert stream.text == "pong"
        # Gone out before the provider answered, the headers know the key all the same.
        assert response.headers["x-megabrain-provider"] == dialect.provider


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_the_sdks_take_no_notice_of_them(agent, key, dialect):
    key(dialect.provider)
    events = dialect.ask(agent, "wait: 0.7\nstream: 2 events at 4/s", stream=True)
    quiet = dialect.ask(agent, "stream: 2 events", stream=True)
    assert [type(event) for event in model_events(events)] == [
        type(event) for event in model_events(quiet)
    ]


def model_events(events: Iterable[object]) -> list[object]:
    """Without the signs of life that come as events."""
    return [each for each in events if getattr(each, "type", "") not in {"keepalive", "ping"}]


def test_an_answer_in_one_piece_has_none(agent, key):
    add_keys(key)
    for dialect, response in post_all(agent, "wait: 0.8\nsay: pong").items():
        assert response.content.startswith(b"{")
        assert dialect.text(response.json()) == "pong"


def test_an_error_after_early_headers_is_an_event(agent, key, usage_row, settings):
    settings.MEGABRAIN_FIRST_BYTE_SECONDS = 2
    add_keys(key, "hang")
    for dialect, response in post_all(agent, stream=True).items():
        assert response.status_code == 200
        stream = dialect.stream(response.content)
        assert len(stream.events) == 1
        assert "did not answer in time" in stream.error.message
        row = usage_row(response.headers["x-request-id"])
        assert (row.status, row.outcome) == (200, "upstream_unavailable")


def test_an_error_in_the_first_silence_keeps_its_status(agent, key, settings):
    # One silence, and the answer before the second.
    settings.MEGABRAIN_KEEPALIVE_SECONDS = 1
    settings.MEGABRAIN_FIRST_BYTE_SECONDS = 1.2
    key("openai", "hang")
    response = agent.post(CHAT.path, CHAT.body(stream=True))
    assert response.status_code == 503


def test_another_key_takes_over_after_early_headers(agent, key, settings, usage_row):
    settings.MEGABRAIN_FIRST_BYTE_SECONDS = 2
    key("fireworks", "hang")
    key("novita")
    body = CHAT.body("say: pong", model="openai/gpt-oss-120b", stream=True)
    response = agent.post(CHAT.path, body)
    stream = CHAT.stream(response.content)
    assert stream.comments
    assert stream.text == "pong"
    assert stream.complete
    row = usage_row(response.headers["x-request-id"])
    assert (row.provider, row.outcome) == ("novita", "ok")
    assert len(row.attempts) == 2


def test_the_keep_alives_of_a_provider_are_no_beginning_of_an_answer(agent, key, settings):
    settings.MEGABRAIN_KEEPALIVE_SECONDS = 15
    key("deepseek", "slow")
    body = CHAT.body("say: pong", model="deepseek/deepseek-v4-pro-0813", stream=True)
    stream = CHAT.stream(agent.post(CHAT.path, body).content)
    assert stream.comments == []
    assert stream.complete
    assert stream.text == "pong"


def test_they_keep_their_place_among_events_that_come_as_often(agent, key, settings):
    settings.MEGABRAIN_KEEPALIVE_SECONDS = 0.001
    add_keys(key)
    prompt = "wait: 0.6\nstream: 150 events at 300/s"
    for dialect, response in post_all(agent, prompt, stream=True).items():
        # Reading it checks the numbers.
        stream = dialect.stream(response.content)
        signs = stream.names.count("ping") + stream.names.count("keepalive") + len(stream.comments)
        assert signs > 20
        assert stream.complete
        assert stream.text == "".join(f"{number} " for number in range(1, 151))


def test_an_event_in_two_parts_is_not_parted_by_a_keep_alive(agent, key, settings):
    event = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

    def halting(wire):
        wire.stream(event, event[:30])
        wire.pause(0.8)
        wire.send(event[30:] + end)

    with raw_upstream(halting) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        stream = CHAT.stream(agent.post(CHAT.path, CHAT.body(stream=True)).content)
    assert stream.comments
    assert stream.text == "aa"
    assert stream.complete
