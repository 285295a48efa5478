"""What is set aside covers what is sent, and nothing is sent that it would not cover."""

import base64
import json
import os
import socket
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Hold
from byok.catalogue import version
from byok.models import Offering, Price, ProviderKey
from orgs.changes import announce
from tests.gateway.dialect import CHAT, MESSAGES, RESPONSES
from tests.gateway.raw_upstream import Wire, raw_upstream

GEMINI = "google/gemini-3.8-flash"
PICTURE = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture
def own_keys(platform_key, fund):
    """MegaBrain's own, and plenty to pay for them."""
    fund(10**9)
    return {each: platform_key(each) for each in ("openai", "anthropic", "google", "bedrock")}


@pytest.fixture
def held(agent, own_keys):
    """What is set aside for a call, in micro-dollars."""

    def held(path: str, body: Any) -> int:
        answer = agent.post(path, body)
        assert answer.status_code == 200, answer.text
        return Hold.objects.get(pk=answer.headers["x-request-id"]).amount_micros

    return held


def price_of(model: str, provider: str) -> Price:
    return Price.objects.filter(
        offering__model_id=model, offering__provider=provider, above_tokens=0
    ).earliest("starts_at")


def dollars_of(tokens: int, per_token: int) -> float:
    return tokens * per_token / 10**6


# How much is written ----------------------------------------------------------------------------


def test_the_limit_that_is_sent_is_the_one_that_counts(held):
    """Such a body at Chat's address has the limit of Responses, and perhaps Chat's besides."""
    body = {"model": CHAT.model, "input": "hi", "max_tokens": 16}
    few = held(CHAT.path, body)
    many = held(CHAT.path, {**body, "max_output_tokens": 20_000})
    assert many - few >= dollars_of(19_000, price_of(CHAT.model, "openai").output)


@pytest.mark.parametrize("model", [MESSAGES.model, GEMINI], ids=["claude", "gemini"])
def test_a_limit_that_is_no_whole_number_is_none(held, model):
    body = CHAT.body(model=model)
    limits = [held(CHAT.path, {**body, "max_tokens": limit}) for limit in (16, 16.5)]
    price = price_of(model, "google" if model == GEMINI else "anthropic")
    assert limits[1] - limits[0] >= dollars_of(16_000, price.output)


def test_a_model_that_is_given_no_limit_may_write_as_much_as_it_can(held, simulator):
    body = {**CHAT.body(model="amazon/nova-2-lite-v1"), "max_tokens": 16}
    amount = held(CHAT.path, {**body, "reasoning_effort": "high"})
    assert b"maxTokens" not in simulator.calls[-1].body
    assert amount >= dollars_of(4096, price_of("amazon/nova-2-lite-v1", "bedrock").output)


# How much is read -------------------------------------------------------------------------------


def test_each_text_of_a_list_may_be_as_long_as_the_context(agent, own_keys):
    model = "openai/text-embedding-3-small"
    # The simulator refuses all that is longer than the context.
    agent.post("embeddings", {"model": model, "input": ["heron " * 8000] * 5})
    amount = Hold.objects.get().amount_micros
    assert amount >= dollars_of(5 * 8192, price_of(model, "openai").input)


@pytest.mark.parametrize(
    "url",
    ["https://films.example/watch?v=1", "data:application/pdf;base64,JVBERi0="],
    ids=["film", "book"],
)
def test_gemini_may_find_a_film_or_a_book_in_a_picture(held, url):
    def asking(url: str) -> Any:
        part = {"type": "image_url", "image_url": {"url": url}}
        said = [{"role": "user", "content": [{"type": "text", "text": "say: pong"}, part]}]
        return {"model": GEMINI, "messages": said, "max_tokens": 100}

    price = price_of(GEMINI, "google")
    assert held(CHAT.path, asking(PICTURE)) < dollars_of(100_000, price.input)
    assert held(CHAT.path, asking(url)) >= dollars_of(1_000_000, price.input)


@pytest.mark.parametrize("url", ["https://books.example/a.pdf", f"{PICTURE}#transform=inline"])
def test_a_host_of_chat_may_find_a_book_in_a_picture(agent, platform_key, fund, url):
    platform_key("fireworks")
    fund(10**9)
    model = "deepseek/deepseek-v4.1-flash"
    part = {"type": "image_url", "image_url": {"url": PICTURE}}
    amounts = []
    for content in (part, {**part, "image_url": {"url": url}}):
        said = [{"role": "user", "content": [{"type": "text", "text": "say: pong"}, content]}]
        answer = agent.post(CHAT.path, {"model": model, "messages": said, "max_tokens": 100})
        assert answer.status_code == 200, answer.text
        amounts.append(Hold.objects.get(pk=answer.headers["x-request-id"]).amount_micros)
    assert amounts[1] > 5 * amounts[0]


@pytest.mark.parametrize("named", ["file", "document", "input_file"])
@pytest.mark.parametrize("dialect", [CHAT, RESPONSES, MESSAGES], ids=str)
def test_an_argument_called_a_file_is_none(held, dialect, named):
    schema = {"type": "object", "properties": {named: {"type": "string"}}}
    function = {"name": "look", "parameters": schema}
    tool = {
        CHAT: {"type": "function", "function": function},
        RESPONSES: {"type": "function", **function},
        MESSAGES: {"name": "look", "input_schema": schema},
    }[dialect]
    body = dialect.body()
    few = held(dialect.path, body)
    provider = "anthropic" if dialect is MESSAGES else "openai"
    most = held(dialect.path, {**body, "tools": [tool]})
    assert most - few < dollars_of(10_000, price_of(dialect.model, provider).input)


def test_pictures_that_stand_far_into_a_request_count_too(held):
    long = "herons " * 40_000
    part = {"type": "image_url", "image_url": {"url": PICTURE}}
    amounts = []
    for parts in ([], [part]):
        content = [{"type": "text", "text": f"say: pong\n{long}"}, *parts]
        said = [{"role": "user", "content": content}]
        body = {"model": GEMINI, "messages": said, "max_tokens": 100}
        amounts.append(held(CHAT.path, body))
    assert amounts[1] - amounts[0] >= dollars_of(16_000, price_of(GEMINI, "google").input)


# At a guess -------------------------------------------------------------------------------------


def test_a_picture_in_an_answer_that_broke_off_is_charged_as_one(
    agent, platform_key, fund, usage_row
):
    platform_key("openai", "cut")
    fund()
    picture = base64.b64encode(os.urandom(1_500_000)).decode()
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
    content = [{"type": "text", "text": "say: one two three four"}, part]
    body = {**CHAT.body(stream=True), "messages": [{"role": "user", "content": content}]}
    answer = agent.post(CHAT.path, body)
    row = usage_row(answer.headers["x-request-id"])
    assert (row.usage_source, row.charged_micros > 0) == ("estimate", True)
    assert 1500 < row.input_tokens < 3000


def test_a_text_without_blanks_is_no_picture(agent, platform_key, fund, usage_row):
    platform_key("openai", "cut")
    fund()
    text = {"type": "text", "text": "say: one two three four\n" + "herons_fly_" * 40_000}
    picture = {"type": "image_url", "image_url": {"url": PICTURE}}
    uncertain = {"type": "image_url", "image_url": {"url": "https://pictures.example/a"}}
    for parts in ([], [uncertain]):
        body = CHAT.body(stream=True)
        body["messages"][0]["content"] = [text, *parts]
        row = usage_row(agent.post(CHAT.path, body).headers["x-request-id"])
        assert row.usage_source == "estimate"
        assert row.input_tokens > 100_000
    # As many as there are pictures may be some.
    runs = [{**text, "text": text["text"] + " " * 4096}] * 5
    body["messages"][0]["content"] = [*runs, picture]
    row = usage_row(agent.post(CHAT.path, body).headers["x-request-id"])
    assert row.input_tokens > 300_000


@pytest.mark.parametrize("model", [CHAT.model, MESSAGES.model], ids=["as it came", "translated"])
def test_an_answer_that_broke_off_is_charged_by_its_length(
    agent, own_keys, usage_row, settings, model
):
    text = "heron " * 12_500
    chat = json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]})
    start: Any = {"type": "message_start", "message": {"id": "m", "type": "message", "content": []}}
    delta: Any = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": text},
    }
    block: Any = {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}
    events = {
        CHAT.model: [f"data: {chat}\n\n".encode()] * 20,
        MESSAGES.model: [
            f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode()
            for each in (start, block, *[delta] * 20)
        ],
    }
    provider = "openai" if model == CHAT.model else "anthropic"
    with raw_upstream(lambda wire: wire.stream(*events[model])) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {provider: upstream.url}
        answer = agent.post(CHAT.path, CHAT.body(model=model, stream=True))
    row = usage_row(answer.headers["x-request-id"])
    assert row.usage_source == "estimate"
    assert 300_000 < row.output_tokens < 400_000


def test_what_an_answer_repeats_of_its_request_was_not_written(
    agent, own_keys, usage_row, settings
):
    response = {"id": "resp_1", "object": "response", "output": [], "instructions": "heron " * 9999}
    events = [
        {"type": "response.created", "sequence_number": 0, "response": response},
        {"type": "response.output_text.delta", "sequence_number": 1, "delta": "pong"},
    ]

    def answer(wire: Wire) -> None:
        wire.stream(*(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events))

    with raw_upstream(answer) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        told = agent.post(RESPONSES.path, RESPONSES.body(stream=True))
    assert 0 < usage_row(told.headers["x-request-id"]).output_tokens < 20


# What is sold -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        (RESPONSES, {"models": ["openai/gpt-6-astra"], "preset": "xhigh", "max_steps": 10}),
        (CHAT, {"search_parameters": {"mode": "on"}, "prediction": {"type": "content"}}),
        (MESSAGES, {"fallbacks": ["claude-opus-5"], "workspace_id": "w", "user_profile_id": "u"}),
    ],
    ids=str,
)
def test_a_field_that_nobody_knows_to_be_free_is_left_out(
    agent, own_keys, simulator, dialect, fields
):
    answer = agent.post(dialect.path, {**dialect.body(), **fields})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-megabrain-dropped"] == ", ".join(fields)
    assert not json.loads(simulator.calls[-1].body).keys() & fields.keys()


@pytest.mark.parametrize(
    "item",
    [
        {"type": "additional_tools"},
        {"type": "tool_search_output", "call_id": "call_1", "status": "completed"},
    ],
    ids=lambda item: item["type"],
)
@pytest.mark.parametrize("inside", [False, True], ids=["by itself", "in a namespace"])
def test_tools_that_items_of_the_input_offer_are_the_callers_own(
    agent, own_keys, simulator, item, inside
):
    tools: list[Any] = [{"type": "web_search"}, {"type": "function", "name": "look"}]
    if inside:
        tools = [{"type": "namespace", "name": "n", "description": "d", "tools": tools}]
    said = {"role": "user", "content": "say: pong"}
    body = {**RESPONSES.body(), "input": [said, {**item, "tools": tools}]}
    # As no client writes it, and every provider reads it.
    sent = json.dumps(body).replace('"additional_tools"', '"\\u0061dditional_tools"')
    answer = agent.session.post(
        f"{agent.gateway.base_url}/{RESPONSES.path}",
        data=sent,
        headers={"authorization": f"Bearer {agent.token}", "content-type": "application/json"},
    )
    assert simulator.calls, answer.text
    assert b"web_search" not in simulator.calls[-1].body
    assert b'"look"' in simulator.calls[-1].body
    assert answer.headers["x-megabrain-dropped"] == "tools.web_search"


def test_a_thread_at_the_provider_is_refused(agent, own_keys, simulator):
    answer = agent.post(MESSAGES.path, {**MESSAGES.body(), "thread": "thread_1"})
    assert (answer.status_code, MESSAGES.error(answer).code) == (400, "unsupported_parameter")
    assert simulator.calls == []


def test_answers_in_audio_are_not_sold(agent, own_keys, simulator):
    audio = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
    answer = agent.post(CHAT.path, {**CHAT.body(), **audio})
    assert (answer.status_code, CHAT.error(answer).code) == (400, "unsupported_parameter")
    assert simulator.calls == []


def test_what_costs_a_fee_a_request_is_not_sold(agent, platform_key, fund, simulator):
    platform_key("perplexity")
    fund()
    offering = Offering.objects.get(model_id="perplexity/sonar-pro", provider="perplexity")
    Offering.objects.filter(pk=offering.pk).update(retired_at=None)
    version.changed()
    answer = agent.post(CHAT.path, CHAT.body(model="perplexity/sonar-pro"))
    assert (answer.status_code, CHAT.error(answer).code) == (404, "byok_key_required")
    assert simulator.calls == []


def test_what_gets_its_price_while_it_is_asked_for_is_not_sold(
    agent, platform_key, fund, simulator
):
    """The moment of a call is when it began, and then nobody knew what it costs."""
    platform_key("openai")
    fund()
    prices = Price.objects.filter(offering__model_id=CHAT.model, offering__provider="openai")
    prices.update(starts_at=timezone.now() + timedelta(days=1))
    version.changed()
    body = json.dumps(CHAT.body()).encode()
    host, _, port = agent.gateway.address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"POST /v1/{CHAT.path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            f"content-length: {len(body)}\r\nauthorization: Bearer {agent.token}\r\n\r\n".encode()
        )
        connection.sendall(body[:9])
        # Whoever is answered now has been heard after the call.
        agent.get("models")
        prices.update(starts_at=timezone.now())
        version.changed()
        announce("catalogue")
        agent.get("models")
        connection.sendall(body[9:])
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert b"byok_key_required" in answer
    assert simulator.calls == []


def test_what_is_free_needs_no_balance(agent, platform_key, usage_row, settled_wallet):
    platform_key("openai")
    Price.objects.filter(offering__model_id=CHAT.model).update(
        input=0, output=0, cache_read=0, cache_write=0, cache_write_long=None
    )
    version.changed()
    answer = agent.post(CHAT.path, CHAT.body())
    assert answer.status_code == 200, answer.text
    assert usage_row(answer.headers["x-request-id"]).charged_micros == 0
    assert settled_wallet().posted_micros == 0


def test_tokens_are_never_counted_for_the_balance(agent, own_keys, key, simulator):
    """Not even after a key of one's own has failed, which was to fall back on it."""
    stored = key("anthropic", "500")
    ProviderKey.objects.filter(pk=stored.pk).update(on_failure="balance")
    body = {"model": MESSAGES.model, "messages": [{"role": "user", "content": "say: pong"}]}
    answer = agent.post("messages/count_tokens", body)
    assert answer.status_code >= 500
    assert answer.headers["x-megabrain-payer"] == "byok"
    assert not Hold.objects.exists()
