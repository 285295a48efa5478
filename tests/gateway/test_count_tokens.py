"""Tokens are counted for every model that one can call."""

import pytest

ASKED = {
    "system": "You are brief.",
    "messages": [{"role": "user", "content": "Hello, world"}],
    "tools": [{"name": "get_weather", "input_schema": {"type": "object", "properties": {}}}],
}


def counted(agent, model: str, **more) -> tuple[int, int]:
    """The tokens, and how many attempts it took to learn them."""
    answer = agent.post("messages/count_tokens", {"model": model, **ASKED, **more})
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"input_tokens"}
    return answer.json()["input_tokens"], int(answer.headers["x-megabrain-attempts"])


@pytest.mark.parametrize(
    ("provider", "model"),
    [("anthropic", "anthropic/claude-haiku-5.5"), ("google", "google/gemini-3.8-flash")],
)
def test_a_provider_that_counts_is_asked(agent, key, simulator, usage_row, provider, model):
    key(provider)
    tokens, attempts = counted(agent, model)
    assert tokens > 0
    assert attempts == 1
    assert [call.provider for call in simulator.calls] == [provider]
    longer, _ = counted(agent, model, system="You are brief. " * 100)
    assert longer > tokens


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "openai/gpt-6-luna"),
        ("novita", "moonshotai/kimi-k3"),
        ("bedrock", "anthropic/claude-haiku-5.5"),
    ],
)
def test_for_any_other_they_are_counted_here(agent, key, simulator, usage_row, provider, model):
    key(provider)
    tokens, attempts = counted(agent, model)
    assert (simulator.calls, attempts) == ([], 0)
    assert tokens > len("You are brief.Hello, world") // 4
    longer, _ = counted(agent, model, system="You are brief. " * 100)
    assert longer >= tokens + 1400 // 4
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    picture = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    assert counted(agent, model, messages=picture)[0] > 1000


def test_nothing_is_charged_for_counting(agent, key, usage_row):
    key("openai")
    body = {"model": "openai/gpt-6-luna", **ASKED}
    row = usage_row(agent.post("messages/count_tokens", body).headers["x-request-id"])
    assert (row.status, row.outcome, row.payer) == (200, "ok", "none")
    assert (row.input_tokens, row.market_micros, row.usage_source) == (0, 0, "none")


def test_without_a_key_nothing_is_counted(agent, key):
    key("deepseek")
    answer = agent.post("messages/count_tokens", {"model": "openai/gpt-6-luna", **ASKED})
    assert answer.status_code == 404
    assert answer.json()["error"]["details"]["error_code"] == "byok_key_required"


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        ({"messages": "hello"}, "invalid_request", "messages"),
        ({"tools": [{"type": "web_search_20250305"}]}, "unsupported_parameter", "web_search"),
    ],
)
@pytest.mark.parametrize("model", ["openai/gpt-6-luna", "google/gemini-3.5-flash"])
def test_what_cannot_be_counted_is_refused_by_its_name(agent, key, model, change, code, named):
    key("openai"), key("google")
    answer = agent.post("messages/count_tokens", {"model": model, **ASKED, **change})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["details"]["error_code"] == code
    assert named in error["message"]


def test_a_body_of_too_many_parts_is_refused_before_it_is_decoded(agent, key):
    key("openai")
    numbers = b"[" + b"1," * 1_000_001 + b"1]"
    body = b'{"model":"openai/gpt-6-luna","messages":[],"odd":' + numbers + b"}"
    answer = agent.post("messages/count_tokens", data=body)
    assert answer.status_code == 400
    assert "too many values" in answer.json()["error"]["message"]
