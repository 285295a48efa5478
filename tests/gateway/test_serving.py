"""A call with the caller's own key, as an official SDK makes it."""

CHAT_MODEL = "openai/gpt-6-luna"


def test_a_chat_completion(agent, key, usage_row):
    stored = key("openai")
    answer = agent.openai.chat.completions.with_raw_response.create(
        model=CHAT_MODEL, messages=[{"role": "user", "content": "say: pong"}]
    )
    assert answer.parse().choices[0].message.content == "pong"
    assert answer.headers["x-megabrain-payer"] == "byok"
    assert answer.headers["x-megabrain-provider"] == "openai"
    assert answer.headers["x-megabrain-key"] == str(stored.pk)[:8]
    row = usage_row(answer.headers["x-request-id"])
    assert row.provider_key_id == stored.pk
    assert row.usage_source == "provider"
    assert row.market_micros > 0
