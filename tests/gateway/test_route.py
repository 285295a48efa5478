"""GET /v1/route says what a call would do, and nobody is called."""

import pytest

from byok.actions import set_enabled
from orgs.origin import Origin
from tests.gateway.dialect import CHAT

MODEL = "openai/gpt-oss-120b"


@pytest.fixture
def explain(agent, simulator):
    """The route of a call, which must be explained without calling anybody."""

    def explain(query: str, status: int = 200):
        answer = agent.get(f"route?{query}")
        assert answer.status_code == status, answer.text
        assert simulator.calls == []
        return answer.json()

    return explain


def test_keys_are_listed_in_the_order_of_their_attempts(explain, key, agent):
    second, first = key("novita", "ok"), key("fireworks", "ok")
    # The one added first comes first.
    told = explain(f"model={MODEL}")
    assert [each["key"] for each in told["keys"]] == [str(second.pk), str(first.pk)]
    assert [each["position"] for each in told["keys"]] == [1, 2]
    assert (told["object"], told["model"], told["payer"]) == ("route", MODEL, "byok")
    assert (told["endpoint"], told["error"]) == ("/v1/chat/completions", None)
    assert told["keys"][0]["upstream_model"] == MODEL
    assert told["keys"][0]["translated"] is False
    answer = agent.post(CHAT.path, CHAT.body(model=MODEL))
    assert answer.headers["x-megabrain-provider"] == told["keys"][0]["provider"]


def test_every_other_key_is_there_with_the_reason_it_is_skipped(explain, key, owner):
    key("anthropic")
    off = key("novita")
    set_enabled(actor=owner, key=off, enabled=False, origin=Origin())
    key("fireworks")
    told = explain(f"model={MODEL}")
    assert [each["provider"] for each in told["keys"]] == ["fireworks"]
    reasons = {each["provider"]: each for each in told["skipped"]}
    assert reasons["novita"]["code"] == "disabled"
    assert "switched off" in reasons["novita"]["reason"]
    assert reasons["anthropic"]["code"] == "other_models"


def test_a_key_that_was_asked_to_pause_comes_later_and_the_route_says_why(agent, key, simulator):
    key("fireworks", "429"), key("novita")
    answer = agent.post(CHAT.path, CHAT.body(model=MODEL))
    assert answer.headers["x-megabrain-tried"].startswith("fireworks/")
    assert "=rate_limited, novita/" in answer.headers["x-megabrain-tried"]
    told = agent.get(f"route?model={MODEL}").json()
    assert [each["provider"] for each in told["keys"]] == ["novita", "fireworks"]
    assert told["keys"][1]["standing"] == "pausing"
    assert "pause" in told["keys"][1]["reason"]


def test_the_route_of_a_translated_call_names_the_dialect_spoken(explain, key):
    key("anthropic")
    told = explain("model=anthropic/claude-haiku-5.5&endpoint=responses")
    assert told["keys"][0]["upstream_dialect"] == "messages"
    assert told["keys"][0]["translated"] is True


def test_without_a_key_the_route_says_what_the_call_would_be_told(explain, key):
    key("anthropic")
    told = explain(f"model={MODEL}")
    assert (told["keys"], told["payer"]) == ([], "none")
    assert told["error"]["code"] == "byok_key_required"
    assert "Add one of" in told["error"]["message"]


def test_tokens_that_are_counted_here_need_no_key_and_are_no_error(explain, key, agent, simulator):
    key("openai")
    query = "model=openai/gpt-4.1&endpoint=messages/count_tokens"
    told = explain(query)
    assert (told["keys"], told["payer"], told["error"]) == ([], "none", None)
    body = {"model": "openai/gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
    assert agent.post("messages/count_tokens", body).status_code == 200
    assert simulator.calls == []
    assert explain("model=anthropic/claude-haiku-5.5&endpoint=messages/count_tokens")["error"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "invalid_request"),
        ("model=openai/gpt-nobody-knows", 404, "model_not_found"),
        (f"model={MODEL}&endpoint=nowhere", 400, "invalid_request"),
    ],
)
def test_what_cannot_be_explained_is_an_error_with_its_reason(explain, query, status, code):
    assert explain(query, status)["error"]["code"] == code
