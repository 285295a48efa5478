"""A request that is itself at fault: returned at once, in the provider's own words."""

import pytest

from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES, RESPONSES, add_keys, post_all

OPEN_MODEL = "openai/gpt-oss-120b"


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_a_bad_request_has_the_providers_words_and_no_second_attempt(
    agent, key, usage_row, simulator, dialect
):
    key(dialect.provider)
    wrong, words = {
        CHAT: ("no_such_field", "Unrecognized request argument supplied: no_such_field"),
        RESPONSES: ("no_such_field", "Unknown parameter: 'no_such_field'."),
        MESSAGES: ("no_such_field", "no_such_field: Extra inputs are not permitted"),
    }[dialect]
    for stream in (False, True):
        simulator.clear()
        response = agent.post(dialect.path, {**dialect.body(stream=stream), wrong: 7})
        told = dialect.error(response)
        assert response.status_code == 400
        assert told.kind == "invalid_request_error"
        # Agents mend themselves by it.
        assert told.message == words
        assert response.headers["x-should-retry"] == "false"
        assert response.headers["x-megabrain-attempts"] == "1"
        assert len(simulator.calls) == 1
        row = usage_row(response.headers["x-request-id"])
        assert (row.status, row.outcome) == (400, "invalid_request")
        assert row.attempts[0]["outcome"] == "bad_request"


def test_the_providers_own_code_and_parameter_are_kept(agent, key):
    key("openai")
    response = agent.post(RESPONSES.path, {**RESPONSES.body(), "no_such_field": 1})
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("unknown_parameter", "no_such_field")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (r"\ud83d", "half of a surrogate pair"),
        (r"\uD83Dx", "half of a surrogate pair"),
        (r"\ud83d\ud83d\ude00", "half of a surrogate pair"),
        (r"\ud83d\ude00\x", "JSON is malformed"),
        (r"\\ud83d\x", "JSON is malformed"),
        (r"\ud83d\ude00", None),
    ],
)
def test_a_text_cut_in_the_middle_of_a_character_is_called_that(agent, key, text, told):
    key("openai")
    start, end = '{"model":"gpt-6-luna","messages":[{"role":"user","content":"', '"}]}'
    response = agent.post(CHAT.path, data=(start + text + end).encode())
    assert response.status_code == (400 if told else 200)
    assert told is None or told in CHAT.error(response).message


def test_another_key_is_not_tried_with_a_bad_request(agent, key, simulator):
    key("fireworks", "400")
    key("novita")
    response = agent.post(CHAT.path, CHAT.body(model=OPEN_MODEL))
    assert CHAT.error(response).message == "Invalid request"
    assert [call.provider for call in simulator.calls] == ["fireworks"]


def test_a_refusal_is_masked(agent, key):
    stored = add_keys(key, "echo")
    for dialect, response in post_all(agent).items():
        told = dialect.error(response)
        assert "nvalid request" in told.message
        assert "***" in told.message
        assert stored[dialect].secret.unseal().reveal()[-12:] not in response.text
        assert "<script>" not in response.text


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_an_overlong_prompt_is_told_in_the_words_that_make_agents_compact(
    agent, key, usage_row, stream
):
    add_keys(key)
    for dialect, response in post_all(agent, "refuse: too_long", stream=stream).items():
        told = dialect.error(response)
        assert response.status_code == 400
        assert told.code == "context_length_exceeded"
        assert response.headers["x-should-retry"] == "false"
        if dialect is MESSAGES:
            # Claude Code looks for exactly this.
            assert told.message == "prompt is too long: 250000 tokens > 200000 maximum"
        row = usage_row(response.headers["x-request-id"])
        assert (row.status, row.outcome) == (400, "context_length_exceeded")
