"""What a caller with a single key is told when that key fails.

Status, code and type are those that stop a useless retry in the caller's dialect; the words are
ours, and name the provider, the key, the reason and where to mend it.
"""

from dataclasses import dataclass

import pytest

from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES, RESPONSES, add_keys
from tests.gateway.raw_upstream import raw_upstream

MIB = 1024 * 1024
PAGE = "/account/byok/"


@dataclass(frozen=True)
class Expected:
    code: str
    #: For callers of Chat, Responses and Messages.
    statuses: tuple[int, int, int]
    why: str
    outcome: str
    retry: bool = False
    attempts: int = 1

    @property
    def about_the_key(self) -> bool:
        """Whether it can be mended on the page of the keys."""
        return self.statuses == FORBIDDEN


FORBIDDEN = (403, 400, 403)
BROKEN = Expected(
    "upstream_unavailable",
    (503, 503, 502),
    "failed with a fault of its own",
    "unavailable",
    retry=True,
    # Once more with the same key, since nothing has been begun there.
    attempts=2,
)

EXPECTED = {
    "401": Expected("byok_key_rejected", FORBIDDEN, "rejected the key", "rejected"),
    "402": Expected(
        "byok_no_credit", FORBIDDEN, "says the key's account there is out of credit", "no_credit"
    ),
    "403": Expected("byok_no_access", FORBIDDEN, "does not let the key use", "no_access"),
    "404": Expected(
        "model_not_found", (404, 400, 404), "does not serve this model", "model_missing"
    ),
    "429": Expected(
        "byok_rate_limited", (429, 429, 429), "is limiting the calls", "rate_limited", retry=True
    ),
    "500": BROKEN,
    "html": BROKEN,
    "huge": BROKEN,
    "529": Expected(
        "upstream_unavailable", (503, 503, 529), "is overloaded", "overloaded", True, 2
    ),
}

KINDS = {
    400: "invalid_request_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    502: "api_error",
    503: "api_error",
    529: "overloaded_error",
}


@pytest.mark.parametrize("word", EXPECTED)
def test_the_error_has_the_shape_status_and_words_of_the_dialect(
    agent, key, usage_row, simulator, word
):
    expected = EXPECTED[word]
    stored = add_keys(key, word)
    names = {"openai": "OpenAI", "anthropic": "Anthropic"}
    for dialect in DIALECTS:
        used = stored[dialect]
        for stream in (False, True):
            simulator.clear()
            response = agent.post(dialect.path, dialect.body(stream=stream))
            told = dialect.error(response)
            status = expected.statuses[DIALECTS.index(dialect)]
            assert response.status_code == status, told
            overloaded = dialect.name == "responses" and status == 503
            assert told.code == ("server_is_overloaded" if overloaded else expected.code)
            assert told.kind == KINDS[status]
            shown = str(used.pk)[:8]
            assert f"{names[used.provider]} (key {shown}) {expected.why}" in told.message
            assert (PAGE in told.message) == expected.about_the_key
            headers = response.headers
            assert headers["x-should-retry"] == ("true" if expected.retry else "false")
            assert headers.get("retry-after") == ("3" if word == "429" else None)
            assert headers["x-megabrain-payer"] == "byok"
            assert headers["x-megabrain-provider"] == used.provider
            assert headers["x-megabrain-key"] == shown
            assert headers["x-megabrain-attempts"] == str(expected.attempts)
            assert len(simulator.calls) == expected.attempts
            row = usage_row(headers["x-request-id"])
            assert (row.status, row.outcome, row.payer) == (status, expected.code, "byok")
            assert row.provider_key_id == used.pk
            assert [each["outcome"] for each in row.attempts] == (
                [expected.outcome] * expected.attempts
            )
            assert all(each["key"] == str(used.pk) for each in row.attempts)
            assert row.usage_source == "none"
            assert row.market_micros == row.charged_micros == 0


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("bad", "sent an answer that could not be read"),
        ("cut", "broke off its answer"),
    ],
)
def test_a_broken_answer_in_one_piece_is_not_asked_for_again(
    agent, key, usage_row, simulator, word, why
):
    add_keys(key, word)
    for dialect in DIALECTS:
        simulator.clear()
        response = agent.post(dialect.path, dialect.body())
        told = dialect.error(response)
        assert response.status_code == BROKEN.statuses[DIALECTS.index(dialect)]
        assert why in told.message
        # It may have cost something already.
        assert len(simulator.calls) == 1
        row = usage_row(response.headers["x-request-id"])
        assert (row.status, row.outcome) == (response.status_code, "upstream_unavailable")
        assert [each["outcome"] for each in row.attempts] == ["unavailable"]


@pytest.mark.parametrize(
    ("status", "why"), [(200, "sent an answer that is too long"), (500, "failed with a fault")]
)
def test_an_answer_without_end_is_given_up(agent, key, settings, status, why):
    sent = 0

    def flood(wire):
        nonlocal sent
        wire.send(b"HTTP/1.1 %d Reason\r\ncontent-length: 1000000000\r\n\r\n" % status)
        while sent < 100:
            wire.send(b"x" * MIB)
            sent += 1

    with raw_upstream(flood) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        response = agent.post(CHAT.path, CHAT.body())
        assert upstream.left.wait(10)
    assert response.status_code == 503
    assert why in CHAT.error(response).message
    # 32 MiB of an answer, little of an error, and what the buffers on the way hold.
    assert sent < (48 if status == 200 else 24)


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_that_breaks_off_is_told_by_its_status(agent, key, settings, stream):
    sent = b'HTTP/1.1 401 No\r\ncontent-length: 999\r\n\r\n{"error":'
    with raw_upstream(lambda wire: wire.send(sent)) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        response = agent.post(CHAT.path, CHAT.body(stream=stream))
    assert (response.status_code, CHAT.error(response).code) == (403, "byok_key_rejected")


def test_a_rate_limit_says_when_to_try_again_in_the_words_codex_reads(agent, key):
    key("openai", "429")
    told = RESPONSES.error(agent.post(RESPONSES.path, RESPONSES.body()))
    assert "Please try again in 3s." in told.message


def test_a_missing_model_is_told_in_the_words_claude_code_reads(agent, key):
    key("anthropic", "404")
    told = MESSAGES.error(agent.post(MESSAGES.path, MESSAGES.body()))
    assert f"model: {MESSAGES.model}" in told.message
