"""A balance pays for tokens: nothing gets past that by the way in which it is written."""

import json
from typing import Any

import pytest

from billing.models import Hold
from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES, RESPONSES, Dialect

SEARCHES = {
    RESPONSES: {"type": "web_search"},
    MESSAGES: {"type": "web_search_20250305", "name": "web_search", "max_uses": 50},
}
FUNCTIONS = {
    RESPONSES: {"type": "function", "name": "look", "parameters": {"maximum": "@"}},
    MESSAGES: {"name": "look", "input_schema": {"maximum": "@"}},
}


@pytest.fixture
def own_keys(platform_key, fund):
    """MegaBrain's own, and plenty to pay for them."""
    fund(10**9)
    return {each: platform_key(each) for each in ("openai", "anthropic", "mistral", "fireworks")}


@pytest.fixture
def refused(agent, own_keys, simulator):
    """Sends what a balance does not pay for; says what its caller is told."""

    def refused(dialect: Dialect, body: Any = None, **options: Any) -> str:
        answer = agent.post(dialect.path, body, **options)
        error = dialect.error(answer)
        assert (answer.status_code, error.code) == (400, "unsupported_parameter"), answer.text
        assert simulator.calls == []
        assert not Hold.objects.exists()
        return error.message

    return refused


def spelled(body: Any, **fields: str) -> bytes:
    """A body with these fields besides, spelled as given."""
    added = "".join(f', "{name}": {value}' for name, value in fields.items())
    return (json.dumps(body)[:-1] + added + "}").encode("utf-8", "surrogateescape")


# Tools ------------------------------------------------------------------------------------------

#: What this reader, or that of a provider, cannot read.
ODD = {"too large": "1e400", "long": "1" + "0" * 400, "a stray byte": '"\udcff"'}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("dialect", SEARCHES, ids=str)
def test_no_tool_hides_behind_another_that_cannot_be_read(agent, own_keys, simulator, dialect, odd):
    tools = json.dumps([SEARCHES[dialect], FUNCTIONS[dialect]]).replace('"@"', odd)
    agent.post(dialect.path, data=spelled(dialect.body(), tools=tools))
    assert b'"look"' in simulator.calls[-1].body
    assert b"web_search" not in simulator.calls[-1].body


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_nor_among_the_tools_of_an_item(agent, own_keys, simulator, odd):
    tools = json.dumps([SEARCHES[RESPONSES], FUNCTIONS[RESPONSES]]).replace('"@"', odd)
    body = RESPONSES.body()
    items = (
        f'[{{"role": "user", "content": "hi"}}, {{"type": "additional_tools", "tools": {tools}}}]'
    )
    agent.post(RESPONSES.path, data=spelled(body, input=items))
    assert b'"look"' in simulator.calls[-1].body
    assert b"web_search" not in simulator.calls[-1].body


def test_a_type_that_is_there_twice_is_there_once_when_it_goes_out(agent, own_keys, simulator):
    tools = '[{"type": "web_search", "type": "function", "name": "look"}]'
    agent.post(RESPONSES.path, data=spelled(RESPONSES.body(), tools=tools))
    assert b"web_search" not in simulator.calls[-1].body
    parts = '[{"type": "document_url", "type": "text", "text": "hi"}]'
    said = f'[{{"role": "user", "content": {parts}}}]'
    agent.post(CHAT.path, data=spelled(CHAT.body(), messages=said))
    assert b"document_url" not in simulator.calls[-1].body


@pytest.mark.parametrize(
    "tools",
    ['{"0": {"type": "web_search"}}', '["web_search"]', '[{"type": ["web_search"]}]', "true"],
)
def test_tools_that_are_none_are_refused(refused, tools):
    assert "tools" in refused(RESPONSES, data=spelled(RESPONSES.body(), tools=tools))


@pytest.mark.parametrize("name", ["metadata", "prompt", "previous_response_id"])
def test_a_field_that_cannot_be_read_is_refused(refused, name):
    assert name in refused(RESPONSES, data=spelled(RESPONSES.body(), **{name: "1e400"}))


# Content ----------------------------------------------------------------------------------------

UNSOLD: dict[str, Any] = {
    "document_url": {"document_url": "https://books.example/1000-pages.pdf"},
    "audio_url": {"audio_url": {"url": "https://sounds.example/a.mp3"}},
    "input_audio": {"input_audio": {"data": "https://sounds.example/a.mp3", "format": "mp3"}},
    "video_url": {"video_url": {"url": "https://films.example/a.mp4"}},
    "of_next_year": {"text": "hi"},
}


@pytest.mark.parametrize("kind", UNSOLD)
@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
@pytest.mark.parametrize("model", ["", "mistralai/mistral-small-2603"], ids=["own", "mistral"])
def test_content_that_is_not_billed_as_tokens_is_refused(refused, dialect, kind, model):
    said = [{"role": "user", "content": [{"type": kind, **UNSOLD[kind]}]}]
    field = "input" if dialect is RESPONSES else "messages"
    assert kind in refused(dialect, {**dialect.body(model=model), field: said})


def test_nor_does_it_hide_in_the_result_of_a_tool_or_without_a_type(refused):
    within = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "input_audio"}]}
    said = [{"role": "user", "content": [within]}]
    assert "input_audio" in refused(MESSAGES, {**MESSAGES.body(), "messages": said})
    part = {"text": "", "audio_url": {"url": "https://sounds.example/a.mp3"}}
    said = [{"role": "user", "content": [part]}]
    assert "messages" in refused(CHAT, {**CHAT.body(), "messages": said})


def test_what_agents_send_goes_on_as_it_is(agent, own_keys, simulator):
    """Pictures, files, results of tools with pictures, thinking, and what a search once found."""
    picture = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"type": "audio"}}
    shown = [{"type": "text", "text": "a"}, {"type": "image", "source": picture}]
    said = [
        {"role": "user", "content": "say: pong"},
        {"role": "assistant", "content": [call]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": shown},
                {"type": "text", "text": "say: pong", "cache_control": {"type": "ephemeral"}},
            ],
        },
    ]
    body = {**MESSAGES.body(), "messages": said, "system": [{"type": "text", "text": "Be brief."}]}
    answer = agent.post(MESSAGES.path, body)
    assert answer.status_code == 200, answer.text
    sent = json.loads(simulator.calls[-1].body)
    assert (sent["messages"], sent["system"]) == (said, body["system"])
    output = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:a"}]
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "say: pong"}]},
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": output},
        {"type": "shell_call_output", "call_id": "d", "output": [{"stdout": "a", "stderr": ""}]},
    ]
    agent.post(RESPONSES.path, {**RESPONSES.body(), "input": items})
    assert json.loads(simulator.calls[-1].body)["input"] == items


# Options ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [0, 5000])
@pytest.mark.parametrize("path", ["chat/completions", "completions"])
def test_a_stream_always_tells_its_usage_to_us(
    agent, own_keys, simulator, usage_row, path, padding
):
    model = "deepseek/deepseek-v4.1-flash"
    asked = CHAT.body("say: pong") if path == CHAT.path else {"prompt": "say: pong"}
    body = {**asked, "model": model, "stream": True}
    options = '{"include_usage": false' + " " * padding + "}"
    usage = '{"include": false' + " " * padding + "}"
    answer = agent.post(path, data=spelled(body, stream_options=options, usage=usage))
    assert answer.status_code == 200, answer.text
    sent = json.loads(simulator.calls[-1].body)
    assert (sent["stream_options"], "usage" in sent) == ({"include_usage": True}, False)
    assert usage_row(answer.headers["x-request-id"]).usage_source == "provider"


@pytest.mark.parametrize("number", ["64", 1.5, True, 0, -1, [2], 1e19])
@pytest.mark.parametrize("name", ["n", "best_of"])
@pytest.mark.parametrize("path", ["chat/completions", "completions"])
def test_a_number_of_answers_is_a_whole_one(refused, path, name, number):
    asked = CHAT.body() if path == CHAT.path else {**CHAT.body(), "prompt": "say: pong"}
    assert name in refused(Dialect("chat", path, "", ""), {**asked, name: number})


@pytest.mark.parametrize("path", ["chat/completions", "completions"])
@pytest.mark.parametrize("name", ["n", "best_of"])
def test_as_many_answers_are_paid_for_as_are_asked_for(agent, own_keys, path, name):
    model = "deepseek/deepseek-v4.1-flash"
    asked = CHAT.body("say: pong") if path == CHAT.path else {"prompt": "say: pong"}
    body = {**asked, "model": model, "max_tokens": 100_000}
    agent.post(path, body)
    agent.post(path, {**body, name: 8})
    one, eight = Hold.objects.order_by("created_at").values_list("amount_micros", flat=True)
    assert eight > 7 * one


@pytest.mark.parametrize("number", ["64", 2, 0])
def test_a_model_that_gives_one_answer_refuses_to_give_another_number(
    agent, key, simulator, number
):
    """With a key of one's own too: nobody is to take one answer for all that were asked for."""
    key("anthropic")
    asked = {"model": MESSAGES.model, "max_tokens": 9, "n": number}
    for path, prompt in (
        (CHAT.path, {"messages": CHAT.body()["messages"]}),
        ("completions", {"prompt": "say: pong"}),
    ):
        answer = agent.post(path, {**asked, **prompt})
        assert (answer.status_code, "n" in answer.json()["error"]["message"]) == (400, True)
    assert simulator.calls == []


def test_a_conversation_may_be_cleared_and_not_summed_up(agent, own_keys, simulator):
    edits = [{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "compact_20260112"}]
    body = {**MESSAGES.body(), "context_management": {"edits": edits}}
    answer = agent.post(MESSAGES.path, body)
    assert answer.headers["x-megabrain-dropped"] == "context_management"
    assert json.loads(simulator.calls[-1].body)["context_management"] == {"edits": edits[:1]}
    compacting = [{"type": "compaction", "compact_threshold": 1000}]
    answer = agent.post(RESPONSES.path, {**RESPONSES.body(), "context_management": compacting})
    assert answer.headers["x-megabrain-dropped"] == "context_management"
    assert "context_management" not in json.loads(simulator.calls[-1].body)


# Headers ----------------------------------------------------------------------------------------

SOLD = (
    "claude-code-20250219",
    "interleaved-thinking-2025-05-14",
    "fine-grained-tool-streaming-2025-05-14",
    "prompt-caching-2024-07-31",
    "context-management-2025-06-27",
    "structured-outputs-2025-11-13",
    "mid-conversation-system-2026-04-07",
)
NOT_SOLD = ("context-1m-2025-08-07", "fast-mode-2026-02-01", "files-api-2025-04-14")


def test_of_anthropics_betas_those_that_cost_nothing_apart_go_on(agent, own_keys, key, simulator):
    asked = {
        "anthropic-beta": ", ".join((*NOT_SOLD, *SOLD)),
        "anthropic-version": "2023-06-01",
        "anthropic-priority": "high",
        "x-claude-code-session-id": "one",
    }
    answer = agent.post(MESSAGES.path, MESSAGES.body(), headers=asked)
    assert answer.status_code == 200, answer.text
    dropped = answer.headers["x-megabrain-dropped"].split(", ")
    assert sorted(dropped) == sorted((*NOT_SOLD, "anthropic-priority"))
    went = simulator.calls[-1].headers
    assert went["anthropic-beta"].split(",") == list(SOLD)
    assert (went["anthropic-version"], went["x-claude-code-session-id"]) == ("2023-06-01", "one")
    assert "anthropic-priority" not in went
    # With a key of one's own they are one's own affair.
    key("anthropic")
    answer = agent.post(MESSAGES.path, MESSAGES.body(), headers=asked)
    assert "x-megabrain-dropped" not in answer.headers
    assert asked.items() <= simulator.calls[-1].headers.items()


def test_of_openais_headers_those_that_turn_something_on_stay_behind(agent, own_keys, simulator):
    asked = {
        "openai-beta": "assistants=v2",
        "x-openai-internal-priority": "true",
        "x-openai-internal-codex-responses-lite": "true",
        "x-codex-window-id": "one",
        # Of another company, so that nobody would have got it.
        "anthropic-beta": NOT_SOLD[0],
    }
    answer = agent.post(RESPONSES.path, RESPONSES.body(), headers=asked)
    assert answer.status_code == 200, answer.text
    left_out = ["openai-beta", "x-openai-internal-priority"]
    assert sorted(answer.headers["x-megabrain-dropped"].split(", ")) == left_out
    went = simulator.calls[-1].headers
    assert not went.keys() & {*left_out, "anthropic-beta"}
    assert {"x-openai-internal-codex-responses-lite", "x-codex-window-id"} <= went.keys()


def test_bedrock_is_asked_for_no_others(agent, platform_key, fund, simulator):
    platform_key("bedrock")
    fund(10**9)
    asked = {"anthropic-beta": "context-1m-2025-08-07,effort-2025-11-24"}
    answer = agent.post(MESSAGES.path, MESSAGES.body(), headers=asked)
    assert answer.status_code == 200, answer.text
    assert json.loads(simulator.calls[-1].body)["anthropic_beta"] == ["effort-2025-11-24"]
