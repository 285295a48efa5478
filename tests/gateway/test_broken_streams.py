"""A stream that breaks after its first byte: one ending in the caller's dialect, no second try.

The official SDKs raise it; the usage row says what became of the call and keeps what was used.
"""

import anthropic
import openai
import pytest

from byok.models import ProviderKey
from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES, RESPONSES, add_keys, post_all
from tests.gateway.raw_upstream import raw_upstream

MODEL = "openai/gpt-oss-120b"
PROMPT = "say: one two three four five six seven eight nine ten"

WHY = {
    "lateerror": "",
    "cut": "broke off its answer",
    "end": "ended its answer in the middle",
    "stall": "took too long over its answer",
    "bad": "",
    "flood": "sent an event that is too long",
}


def shown(key: ProviderKey) -> str:
    return f"(key {str(key.pk)[:8]})"


@pytest.fixture
def idle(settings):
    """Silence for longer than this ends a stream."""
    settings.MEGABRAIN_IDLE_SECONDS = 1


@pytest.mark.parametrize("word", WHY)
def test_it_ends_with_one_error_event(agent, key, usage_row, simulator, idle, word):
    stored = add_keys(key, word)
    for dialect, response in post_all(agent, PROMPT, stream=True).items():
        assert response.status_code == 200
        told = dialect.stream(response.content).error
        overloaded = "server_is_overloaded"
        assert told.code == (overloaded if dialect is RESPONSES else "upstream_unavailable")
        assert shown(stored[dialect]) in told.message
        assert WHY[word] in told.message
        assert response.headers["x-megabrain-attempts"] == "1"
        row = usage_row(response.headers["x-request-id"])
        assert (row.status, row.outcome, row.streamed) == (200, "upstream_unavailable", True)
        assert len(row.attempts) == 1
        assert row.attempts[0]["outcome"] in {"unavailable", "overloaded"}
        assert row.usage_source == "estimate"
        assert row.input_tokens > 0
        assert row.market_micros > 0
    assert len(simulator.calls) == len(DIALECTS)


@pytest.mark.parametrize("word", ["lateerror", "cut", "end"])
def test_another_key_is_not_tried_after_the_first_byte(agent, key, simulator, word):
    key("fireworks", word)
    key("novita")
    response = agent.post(CHAT.path, CHAT.body(PROMPT, model=MODEL, stream=True))
    assert CHAT.stream(response.content).error.code == "upstream_unavailable"
    assert [call.provider for call in simulator.calls] == ["fireworks"]


@pytest.mark.parametrize("word", ["lateerror", "cut", "end", "bad"])
def test_the_sdks_raise_it_and_do_not_try_again(agent, key, simulator, word):
    add_keys(key, word)
    for dialect, raised in ((CHAT, openai.APIError), (MESSAGES, anthropic.APIStatusError)):
        with pytest.raises(raised, match="key"):
            dialect.ask(agent, PROMPT, stream=True, retries=2)
    # A failed response is an event, which this SDK hands on.
    *_, last = RESPONSES.ask(agent, PROMPT, stream=True, retries=2)
    assert last.type == "response.failed"
    assert last.response.error.code == "server_is_overloaded"
    assert len(simulator.calls) == len(DIALECTS)


def test_an_error_as_the_first_event_is_an_error_with_a_status(agent, key, simulator):
    add_keys(key, "error")
    for dialect, response in post_all(agent, stream=True).items():
        assert response.status_code in {502, 503, 529}
        assert dialect.error(response).message.startswith("No provider could answer")
    assert len(simulator.calls) == 2 * len(DIALECTS)


# Event by event ---------------------------------------------------------------------------------


def chunk(text: str) -> bytes:
    return (
        b'data: {"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n'
        % text.encode()
    )


FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def chat(agent, key, settings, usage_row):
    """The stream of a provider that sends these events, and the usage row of the call."""

    def chat(*events: bytes):
        with raw_upstream(lambda wire: wire.stream(*events)) as upstream:
            settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
            key("openai")
            response = agent.post(CHAT.path, CHAT.body(stream=True))
            assert len(upstream.requests) == 1
        return CHAT.stream(response.content), usage_row(response.headers["x-request-id"])

    return chat


def test_a_missing_done_is_added(chat):
    stream, row = chat(chunk("a"), FINISH, USAGE)
    assert stream.complete
    assert (row.outcome, row.usage_source, row.input_tokens) == ("ok", "provider", 7)


def test_nothing_follows_the_end(chat):
    stream, row = chat(chunk("a"), FINISH, USAGE, DONE, chunk("b"), DONE)
    assert stream.complete
    assert stream.text == "a"
    assert row.outcome == "ok"


def test_done_without_a_finish_reason_is_a_broken_stream(chat):
    # Agents that get it send the same request again, without end.
    stream, row = chat(chunk("a"), DONE)
    assert stream.error.code == "upstream_unavailable"
    assert row.outcome == "upstream_unavailable"


def test_nothing_follows_an_error(chat):
    stream, _ = chat(chunk("a"), b'data: {"error":{"message":"Overloaded"}}\n\n', chunk("b"), DONE)
    assert stream.text == "a"
    assert stream.error.code == "upstream_unavailable"


def test_a_half_event_at_the_end_is_not_passed_on(chat):
    stream, _ = chat(chunk("a"), chunk("b")[:-9])
    assert stream.text == "a"
    assert stream.error.code == "upstream_unavailable"


def test_a_refusal_in_mid_stream_keeps_the_providers_words(chat):
    error = b'{"error":{"message":"Stop: \\"x\\" is not allowed.","code":"content_filter"}}'
    stream, row = chat(chunk("a"), b"data: " + error + b"\n\n")
    assert stream.error.message == 'Stop: "x" is not allowed.'
    assert stream.error.code == "content_filter"
    assert row.outcome == "invalid_request"


def test_usage_that_came_before_the_break_is_kept(chat):
    said = chunk("a").replace(b'"finish_reason"', b'"x":0,"finish_reason"')
    counted = said.replace(b"]}\n\n", b'],"usage":{"prompt_tokens":70,"completion_tokens":5}}\n\n')
    _, row = chat(counted)
    assert (row.input_tokens, row.output_tokens) == (70, 5)
    assert row.usage_source == "estimate"


def test_a_mid_stream_failure_names_the_page_of_the_keys(chat):
    error = b'data: {"error":{"message":"no","code":"insufficient_quota"}}\n\n'
    stream, _ = chat(chunk("a"), error)
    assert stream.error.code == "byok_no_credit"
    assert "/account/byok/" in stream.error.message


@pytest.mark.parametrize(
    "error",
    [
        b'{"object":"error","message":"busy","type":"x","param":null,"code":"3505"}',
        b'{"code":500,"reason":"INTERNAL_SERVER_ERROR","message":"busy","metadata":{}}',
        b'{"error":{"message":"busy"},"choices":[{"index":0,"finish_reason":"error"}]}',
    ],
    ids=["mistral", "novita", "with a choice"],
)
def test_an_error_is_known_in_every_form_in_which_hosts_send_it(chat, error):
    # A chunk without choices would break the AI SDK, and one with both be taken for an answer.
    stream, row = chat(chunk("a"), b"data: " + error + b"\n\n", FINISH, DONE)
    assert stream.text == "a"
    assert stream.error.code == "upstream_unavailable"
    assert row.outcome == "upstream_unavailable"
