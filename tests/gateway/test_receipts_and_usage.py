"""Who paid for a call, what served it, what it used and what that is worth: receipt and row."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from math import ceil
from typing import Any

import pytest

from billing.models import UsageRecord
from tests.bundled import SERVED
from tests.gateway.raw_upstream import Wire, raw_upstream

CATALOGUE: dict[str, Any] = {model["id"]: model for model in SERVED}
#: Longer than the 1,024 tokens from which on OpenAI's kind of provider remembers a prompt.
LONG = "Herons stand still. " * 300
CHAT, RESPONSES, MESSAGES = "chat/completions", "responses", "messages"


def cost(row: UsageRecord, **price: int) -> int:
    """Micro-dollars at unit prices of 10⁻¹² dollars a token, rounded up once."""
    exact = (
        row.input_tokens * Fraction(price["input"])
        + row.cache_read_tokens * Fraction(price.get("cache_read", price["input"]))
        + (row.cache_write_tokens - row.cache_write_long_tokens)
        * Fraction(price.get("cache_write", price["input"]))
        + row.cache_write_long_tokens * Fraction(price.get("cache_write_long", 0))
        + row.output_tokens * Fraction(price["output"])
    )
    return ceil(exact / 10**6)


def prices(row: UsageRecord) -> list[dict[str, int]]:
    """The prices of what served the call, the later begun and the dearer last."""
    offered = CATALOGUE[row.model]["offerings"]
    (found,) = [each["prices"] for each in offered if each["provider"] == row.provider]
    return [{k: v for k, v in price.items() if isinstance(v, int)} for price in found]


def question(endpoint: str, model: str, prompt: str, *, stream: bool = False) -> dict[str, Any]:
    if endpoint == RESPONSES:
        return {"model": model, "input": prompt, "stream": stream}
    content: Any = prompt
    more: dict[str, Any] = {}
    if endpoint == MESSAGES:
        content = [{"type": "text", "text": prompt, "cache_control": {"type": "ephemeral"}}]
        more = {"max_tokens": 500, "thinking": {"type": "adaptive"}}
    messages = [{"role": "user", "content": content}]
    return {"model": model, "messages": messages, "stream": stream, **more}


@pytest.fixture
def used(agent, usage_row) -> Callable[..., UsageRecord]:
    """Makes a call and returns its row."""

    def call(endpoint: str, model: str, prompt: str = LONG, *, stream: bool = False) -> UsageRecord:
        answer = agent.post(endpoint, question(endpoint, model, prompt, stream=stream))
        assert answer.status_code == 200, answer.text
        row: UsageRecord = usage_row(answer.headers["x-request-id"])
        return row

    return call


@pytest.mark.parametrize(
    ("provider", "endpoint", "model"),
    [
        ("openai", CHAT, "openai/gpt-6-luna"),
        ("openai", RESPONSES, "openai/gpt-6-luna"),
        ("anthropic", MESSAGES, "anthropic/claude-sonnet-5.5"),
        ("deepseek", CHAT, "deepseek/deepseek-v4.1-flash"),
        ("deepseek", MESSAGES, "deepseek/deepseek-v4.1-flash"),
        ("fireworks", CHAT, "z-ai/glm-5.3-flash"),
        ("novita", CHAT, "z-ai/glm-5.3-flash"),
    ],
)
def test_the_row_of_a_call_says_who_paid_what_served_and_what_it_used(
    agent, key, account, owner, used, provider, endpoint, model
):
    stored = key(provider)
    used(endpoint, model)
    for stream in (False, True):
        row = used(endpoint, model, stream=stream)
        assert (row.account_id, row.user_id) == (account.pk, owner.pk)
        assert (row.token_id, row.payer) == (agent.record.pk, "byok")
        assert (row.provider, row.provider_key_id) == (provider, stored.pk)
        assert (row.endpoint, row.model, row.streamed) == (endpoint, model, stream)
        assert (row.status, row.outcome, row.usage_source) == (200, "ok", "provider")
        assert [attempt["outcome"] for attempt in row.attempts] == ["ok"]
        # The first call has put most of the prompt into the provider's cache.
        assert row.cache_read_tokens > 1000 > row.input_tokens
        assert row.output_tokens > 10
        # Fireworks does not say how much of the output was reasoning.
        assert (0 < row.reasoning_tokens < row.output_tokens) == (provider != "fireworks")
        # DeepSeek has a price for the night and another for the day.
        assert row.market_micros in {cost(row, **price) for price in prices(row)}
        assert (row.market_micros > 0, row.charged_micros) == (True, 0)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_the_tokens_of_a_chat_are_those_the_provider_reported(agent, key, used, usage_row, stream):
    key("openai")
    used(CHAT, "openai/gpt-6-luna")
    body = question(CHAT, "openai/gpt-6-luna", LONG, stream=stream)
    if stream:
        body["stream_options"] = {"include_usage": True}
    answer = agent.post(CHAT, body)
    text = answer.text.split("data: ")[-2] if stream else answer.text
    said = json.loads(text)["usage"]
    row = usage_row(answer.headers["x-request-id"])
    cached = said["prompt_tokens_details"]["cached_tokens"]
    assert (row.input_tokens, row.cache_read_tokens) == (said["prompt_tokens"] - cached, cached)
    assert row.output_tokens == said["completion_tokens"]
    assert row.reasoning_tokens == said["completion_tokens_details"]["reasoning_tokens"]


def test_what_anthropic_writes_to_its_cache_and_reads_from_it_has_a_price_each(key, used):
    key("anthropic")
    wrote = used(MESSAGES, "anthropic/claude-opus-5.5")
    read = used(MESSAGES, "anthropic/claude-opus-5.5", stream=True)
    assert wrote.cache_write_tokens == read.cache_read_tokens > 1000
    assert (wrote.cache_read_tokens, read.cache_write_tokens) == (0, 0)
    price = {"input": 4_000_000, "output": 20_000_000, "cache_read": 200_000}
    for row in (wrote, read):
        assert row.market_micros == cost(row, **price, cache_write=5_000_000)
    assert wrote.market_micros > 3 * read.market_micros


@pytest.mark.parametrize("provider", ["anthropic", "bedrock"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_what_is_to_stay_in_the_cache_for_an_hour_costs_twice_the_input(
    agent, key, usage_row, provider, stream
):
    key(provider)
    body = question(MESSAGES, "anthropic/claude-opus-5.5", LONG, stream=stream)
    body["messages"][0]["content"][0]["cache_control"]["ttl"] = "1h"
    answer = agent.post(MESSAGES, body)
    row = usage_row(answer.headers["x-request-id"])
    assert (row.provider, row.usage_source) == (provider, "provider")
    assert row.cache_write_long_tokens == row.cache_write_tokens > 1000
    price = {"input": 4_000_000, "output": 20_000_000, "cache_write": 5_000_000}
    assert row.market_micros == cost(row, **price, cache_write_long=8_000_000)
    said = agent.get(f"requests/{answer.headers['x-request-id']}").json()["usage"]
    assert said["cache_write_long_tokens"] == row.cache_write_long_tokens


def test_a_price_that_has_changed_counts_from_its_day_on(key, used):
    key("anthropic")
    used(MESSAGES, "anthropic/claude-sonnet-5.5")
    row = used(MESSAGES, "anthropic/claude-sonnet-5.5")
    # Since 7 October 2026 reading from the cache costs half of what it did.
    assert row.market_micros == cost(row, input=2_000_000, output=10_000_000, cache_read=100_000)


def test_a_long_prompt_has_the_price_of_long_prompts(key, used):
    key("anthropic")
    short = used(MESSAGES, "anthropic/claude-haiku-5.5", "say: pong")
    long = used(MESSAGES, "anthropic/claude-haiku-5.5", f"say: pong\n{'herons ' * 65_000}")
    assert long.cache_write_tokens > 100_000
    price = {"input": 100_000, "output": 500_000, "cache_write": 125_000}
    assert short.market_micros == cost(short, **price)
    assert long.market_micros == cost(long, **{name: 5 * unit for name, unit in price.items()})


def test_a_fraction_of_a_micro_dollar_is_rounded_up(key, used):
    key("novita")
    row = used(CHAT, "openai/gpt-oss-20b", "say: pong")
    exact = Fraction(row.input_tokens * 40_000 + row.output_tokens * 150_000, 10**6)
    assert exact.denominator > 1
    assert row.market_micros == ceil(exact)


def test_two_providers_of_a_model_have_a_price_each(key, used, owner):
    cheap = key("novita")
    row = used(CHAT, "openai/gpt-oss-120b")
    assert (row.provider, row.upstream_model) == ("novita", "openai/gpt-oss-120b")
    assert row.market_micros == cost(row, input=50_000, output=250_000)
    cheap.delete()
    key("fireworks")
    row = used(CHAT, "openai/gpt-oss-120b")
    assert row.upstream_model == "accounts/fireworks/models/gpt-oss-120b"
    assert row.market_micros == cost(row, input=150_000, output=600_000, cache_read=15_000)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("endpoint", [CHAT, MESSAGES])
def test_a_report_of_no_tokens_is_none(key, used, settings, endpoint, stream):
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    said = {"role": "assistant", "content": "Herons stand still."}

    def answer(wire: Wire) -> None:
        part = {"delta" if stream else "message": said, "index": 0, "finish_reason": "stop"}
        body = json.dumps({"choices": [part], "usage": usage}).encode()
        if stream:
            wire.stream(b"data: " + body + b"\n\ndata: [DONE]\n\n")
        else:
            wire.whole(200, body)

    key("novita")
    with raw_upstream(answer) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"novita": upstream.url}
        row = used(endpoint, "openai/gpt-oss-20b", stream=stream)
    assert row.usage_source == "estimate"
    assert row.input_tokens > len(LONG) / 5
    assert row.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("endpoint", "model"),
    [(RESPONSES, "openai/gpt-6-luna"), (MESSAGES, "anthropic/claude-haiku-5.5")],
)
def test_every_answer_carries_its_receipt(agent, key, endpoint, model, stream):
    keys = {"openai": key("openai"), "anthropic": key("anthropic")}
    alias = model.partition("/")[2].upper()
    headers = agent.post(endpoint, question(endpoint, alias, "say: pong", stream=stream)).headers
    provider = model.partition("/")[0]
    receipt = {name[12:]: value for name, value in headers.items() if name[:12] == "x-megabrain-"}
    assert float(receipt.pop("overhead-ms")) > 0
    assert receipt == {
        "payer": "byok",
        "provider": provider,
        "key": str(keys[provider].pk)[:8],
        "model": model,
        "attempts": "1",
    }
    assert len(headers["x-request-id"]) == 36
    assert headers["request-id"] == headers["x-request-id"]


def test_an_error_carries_a_receipt_of_what_was_tried(agent, key):
    stored = key("openai", "401")
    body = question(CHAT, "openai/gpt-6-luna", "hi")
    headers = agent.post(CHAT, body).headers
    assert headers["x-megabrain-key"] == str(stored.pk)[:8]
    assert (headers["x-megabrain-payer"], headers["x-megabrain-attempts"]) == ("byok", "1")
    nothing = agent.post(CHAT, {"model": "nobody/knows"}).headers
    assert (nothing["x-megabrain-payer"], nothing["x-megabrain-attempts"]) == ("none", "0")
    assert "x-megabrain-provider" not in nothing


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("word", ["ok", "402"], ids=["answered", "refused"])
@pytest.mark.parametrize("paying", ["keys", "balance"])
def test_the_page_of_a_call_shows_the_receipt_that_its_reply_carried(
    owner,
    owner_client,
    organization,
    make_agent,
    key,
    platform_key,
    fund,
    usage_row,
    paying,
    word,
    stream,
):
    for provider, of_this in (("novita", "402"), ("fireworks", word)):
        if paying == "balance":
            platform_key(provider, of_this)
        else:
            key(provider, of_this, account=organization)
    fund(account=organization)
    agent = make_agent(owner, account=organization)
    body = question(CHAT, "openai/gpt-oss-120b", "say: pong", stream=stream)
    headers = agent.post(CHAT, body).headers
    carried = {
        name: value
        for name, value in headers.items()
        if name.startswith("x-megabrain-") or name == "x-request-id"
    }
    assert carried["x-megabrain-organization"] == "acme"
    assert ", fireworks" in carried["x-megabrain-tried"]
    usage_row(headers["x-request-id"])
    page = owner_client.get(f"/orgs/acme/usage/{headers['x-request-id']}/").content.decode()
    start = page.index("x-request-id: ")
    lines = page[start : page.index("<", start)].strip().splitlines()
    shown = dict(line.split(": ", 1) for line in lines)
    # Of two roundings.
    for each in (carried, shown):
        del each["x-megabrain-overhead-ms"]
    assert shown == carried


def test_a_call_is_seen_on_its_key_and_its_token(agent, key, used):
    stored = key("openai")
    called_at = used(CHAT, "openai/gpt-6-luna", "say: pong").created_at
    for used_thing in (stored, agent.record):
        until = time.monotonic() + 5
        while used_thing.last_used_at is None and time.monotonic() < until:
            used_thing.refresh_from_db()
        assert timedelta() <= called_at - used_thing.last_used_at < timedelta(seconds=1)


def test_every_call_has_one_row_of_its_own(agent, key, account, usage_row):
    key("openai")
    body = question(CHAT, "openai/gpt-6-luna", "say: pong")
    ids = [agent.post(CHAT, body).headers["x-request-id"] for _ in range(20)]
    for request_id in ids:
        usage_row(request_id)
    rows = UsageRecord.objects.for_account(account)
    assert sorted(str(row.request_id) for row in rows) == sorted(ids)
