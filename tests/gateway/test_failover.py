"""Two keys that can serve the same model: when one fails, the other does.

Only before the first byte: what happens after it is in test_broken_streams.
"""

import time
from collections.abc import Callable

import pytest

from byok.catalogue import version
from byok.models import Offering, ProviderKey
from tests.gateway.dialect import CHAT, MESSAGES
from tests.gateway.raw_upstream import Wire, raw_upstream

MODEL = "openai/gpt-oss-120b"

#: How often the first key is tried before the second one is.
TRIES = {
    "401": 1,
    "402": 1,
    "403": 1,
    "404": 1,
    "429": 1,
    "500": 2,
    "529": 2,
    "html": 2,
    "huge": 2,
    "hang": 1,
    "error": 2,
}


def until(true: Callable[[], bool], within: float = 5) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


@pytest.fixture
def ask(agent):
    """Asks for the model that two providers serve; returns the answer, which must be a good one."""

    def ask(*, stream: bool = False):
        response = agent.post(CHAT.path, CHAT.body("say: pong", model=MODEL, stream=stream))
        assert response.status_code == 200, response.text
        if stream:
            answer = CHAT.stream(response.content)
            assert answer.complete
            assert answer.text == "pong"
        else:
            assert CHAT.text(response.json()) == "pong"
        return response

    return ask


@pytest.mark.parametrize(
    ("word", "stream"), [(word, True) for word in TRIES] + [("401", False), ("529", False)]
)
def test_the_other_provider_answers_and_is_first_from_then_on(
    ask, key, usage_row, simulator, settings, word, stream
):
    settings.MEGABRAIN_FIRST_BYTE_SECONDS = 1 if word == "hang" else 120
    failing, working = key("fireworks", word), key("novita")
    response = ask(stream=stream)
    attempts = TRIES[word] + 1
    headers = response.headers
    assert headers["x-megabrain-attempts"] == str(attempts)
    assert headers["x-megabrain-provider"] == "novita"
    assert headers["x-megabrain-key"] == str(working.pk)[:8]
    assert headers["x-megabrain-payer"] == "byok"
    assert [call.provider for call in simulator.calls] == ["fireworks"] * TRIES[word] + ["novita"]
    if word == "429":
        assert ask(stream=stream).headers["x-megabrain-attempts"] == "1"
    else:
        # Some of it is remembered by the key's row, which is written a moment later.
        until(lambda: ask(stream=stream).headers["x-megabrain-attempts"] == "1")
    assert simulator.calls[-1].provider == "novita"
    row = usage_row(headers["x-request-id"])
    assert (row.status, row.outcome, row.provider_key_id) == (200, "ok", working.pk)
    assert [each["key"] for each in row.attempts] == [str(failing.pk)] * TRIES[word] + [
        str(working.pk)
    ]
    assert row.attempts[-1]["outcome"] == "ok"
    assert "ok" not in [each["outcome"] for each in row.attempts[:-1]]


@pytest.mark.parametrize("word", ["bad", "flood", "cut"])
def test_a_broken_answer_in_one_piece_is_replaced_by_the_other_providers(ask, key, word):
    key("fireworks", word)
    key("novita")
    assert ask().headers["x-megabrain-attempts"] == "2"


def test_a_messages_call_goes_on_to_the_other_provider(agent, key):
    key("anthropic", "429")
    key("deepseek")
    # As if the catalogue knew of two that serve it.
    Offering.objects.filter(upstream_id="deepseek-chat").update(model_id=MESSAGES.model)
    version.changed()
    response = agent.post(MESSAGES.path, MESSAGES.body("say: pong"))
    assert MESSAGES.text(response.json()) == "pong"
    assert response.headers["x-megabrain-attempts"] == "2"
    assert response.headers["x-megabrain-provider"] == "deepseek"


@pytest.mark.parametrize("first", ["fireworks", "novita"])
def test_among_healthy_keys_the_one_added_first_serves_every_call(ask, key, first):
    key(first)
    key({"fireworks": "novita", "novita": "fireworks"}[first])
    assert {ask().headers["x-megabrain-provider"] for _ in range(5)} == {first}


@pytest.mark.parametrize("word", ["401", "429", "404"])
def test_an_only_key_is_tried_however_often_it_has_failed(agent, key, simulator, word):
    key("novita", word)
    for _ in range(3):
        before = len(simulator.calls)
        agent.post(CHAT.path, CHAT.body(model=MODEL))
        assert len(simulator.calls) > before


def test_a_key_that_lacks_one_model_stays_first_for_the_others(ask, agent, key, simulator):
    # Its next model is fine; what it lacks is remembered for the model alone.
    key("fireworks", "404")
    key("novita")
    ask()
    agent.post(CHAT.path, CHAT.body(model="openai/gpt-oss-20b"))
    assert [call.provider for call in simulator.calls] == ["fireworks", "novita"] * 2


def test_a_failing_key_is_tried_when_the_working_one_fails(agent, key, simulator):
    key("fireworks", "401")
    key("novita", "500")
    ProviderKey.objects.filter(provider="fireworks").update(health=ProviderKey.Health.FAILING)
    response = agent.post(CHAT.path, CHAT.body(model=MODEL))
    assert [call.provider for call in simulator.calls] == ["novita", "novita", "fireworks"]
    # Told is what passes soonest, but of both keys.
    assert response.status_code == 503
    message = CHAT.error(response).message
    assert "Fireworks" in message
    assert "Novita" in message


def test_a_key_that_fails_every_other_time_is_tried_once_more(agent, key, usage_row, simulator):
    stored = key("openai", "flaky")
    response = agent.post(CHAT.path, CHAT.body("say: pong"))
    assert CHAT.text(response.json()) == "pong"
    assert response.headers["x-megabrain-attempts"] == "2"
    assert len(simulator.calls) == 2
    row = usage_row(response.headers["x-request-id"])
    assert [each["outcome"] for each in row.attempts] == ["overloaded", "ok"]
    assert {each["key"] for each in row.attempts} == {str(stored.pk)}


def test_every_attempt_of_a_call_without_a_working_key_is_recorded(agent, key, usage_row):
    key("deepseek", "401")
    key("fireworks", "402")
    key("novita", "429")
    response = agent.post(CHAT.path, CHAT.body(model="deepseek/deepseek-v4-pro-0813"))
    # The one that passes soonest.
    assert CHAT.error(response).code == "byok_rate_limited"
    row = usage_row(response.headers["x-request-id"])
    assert [(each["provider"], each["outcome"]) for each in row.attempts] == [
        ("deepseek", "rejected"),
        ("fireworks", "no_credit"),
        ("novita", "rate_limited"),
    ]


def test_a_key_is_first_again_when_the_pause_it_was_asked_for_is_over(ask, key, settings):
    statuses = [429, 200]
    answer = b'{"choices":[{"index":0,"message":{"content":"pong"},"finish_reason":"stop"}]}'

    def limit_once(wire: Wire) -> None:
        status = statuses[wire.number - 1]
        kind = "content-type: application/json"
        wire.whole(status, answer if status == 200 else b"{}", kind, "retry-after: 1")

    with raw_upstream(limit_once) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {
            **settings.MEGABRAIN_UPSTREAM_URLS,
            "fireworks": upstream.url,
        }
        first = key("fireworks")
        key("novita")
        assert ask().headers["x-megabrain-provider"] == "novita"
        until(lambda: ProviderKey.objects.get(pk=first.pk).health == ProviderKey.Health.COOLING)
        time.sleep(1.1)
        assert ask().headers["x-megabrain-provider"] == "fireworks"
