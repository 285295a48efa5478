"""Every caller's dialect onto a Bedrock key: Claude by InvokeModel, the others by Converse."""

import base64
import json
from typing import Any
from urllib.parse import unquote

import pytest

from byok.models import ProviderKey
from orgs.models import User
from tests.gateway_fixture import AddKey, Agent
from tests.simulator_fixture import RunningSimulator

CLAUDE = "anthropic/claude-sonnet-5"
HAIKU = "anthropic/claude-haiku-4.5"
NOVA = "amazon/nova-pro-v1"
NOVA_2 = "amazon/nova-2-lite-v1"
OSS = "openai/gpt-oss-20b"
GPT = "openai/gpt-6-luna"
MISTRAL = "mistralai/devstral-2512"
MODELS = [CLAUDE, HAIKU, NOVA, OSS, GPT, MISTRAL]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL = 'call: get_weather {"city": "Paris"}\ncall: get_weather {"city": "Rome"}'
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


@pytest.fixture(autouse=True)
def bedrock(key: AddKey) -> ProviderKey:
    return key("bedrock")


def sent(simulator: RunningSimulator, number: int = -1) -> Any:
    return simulator.calls[number].json


def messages(agent: Agent, model: str, prompt: Any, **more: Any) -> Any:
    content = prompt if isinstance(prompt, list) else [{"type": "text", "text": prompt}]
    turns = more.pop("messages", [{"role": "user", "content": content}])
    return agent.anthropic.messages.create(
        **{"model": model, "max_tokens": 200, "messages": turns, **more}
    )


def chat(agent: Agent, model: str, prompt: Any, **more: Any) -> Any:
    turns = more.pop("messages", [{"role": "user", "content": prompt}])
    return agent.openai.chat.completions.create(model=model, messages=turns, **more)


def chat_tool() -> dict[str, Any]:
    return {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}


# Each dialect, whole and streamed ---------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_chat_callers_are_answered(agent, simulator, usage_row, model):
    whole = chat(agent, model, "say: pong")
    assert whole.choices[0].message.content == "pong"
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.prompt_tokens > 0

    chunks = list(
        chat(agent, model, "say: pong", stream=True, stream_options={"include_usage": True})
    )
    said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(said) == "pong"
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert [call.operation for call in simulator.calls] == (
        ["invoke", "invoke-with-response-stream"]
        if "claude" in model
        else ["converse", "converse-stream"]
    )
    row = usage_row()
    assert (row.provider, row.output_tokens) == ("bedrock", chunks[-1].usage.completion_tokens)


@pytest.mark.parametrize("model", [CLAUDE, NOVA, OSS])
def test_responses_callers_are_answered(agent, model):
    whole = agent.openai.responses.create(model=model, input="say: pong")
    assert (whole.status, whole.output_text) == ("completed", "pong")

    events = list(agent.openai.responses.create(model=model, input="say: pong", stream=True))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "pong"
    assert events[-1].response.usage.output_tokens == whole.usage.output_tokens


@pytest.mark.parametrize("model", MODELS)
def test_messages_callers_are_answered(agent, model):
    whole = messages(agent, model, "say: pong")
    assert [block.text for block in whole.content if block.type == "text"] == ["pong"]
    assert whole.stop_reason == "end_turn"

    content = [{"role": "user", "content": [{"type": "text", "text": "say: pong"}]}]
    with agent.anthropic.messages.stream(model=model, max_tokens=200, messages=content) as stream:
        assert "".join(stream.text_stream) == "pong"
        final = stream.get_final_message()
    assert final.usage.input_tokens == whole.usage.input_tokens
    assert final.usage.output_tokens == whole.usage.output_tokens > 0


@pytest.mark.parametrize("model", [CLAUDE, NOVA, OSS, MISTRAL])
@pytest.mark.parametrize("stream", [False, True])
def test_parallel_calls_of_tools_and_their_results(agent, simulator, model, stream):
    tools = [{"name": "get_weather", "description": "Weather.", "input_schema": WEATHER}]
    asked = [{"role": "user", "content": CALL}]
    if stream:
        with agent.anthropic.messages.stream(
            model=model, max_tokens=200, messages=asked, tools=tools
        ) as events:
            answer = events.get_final_message()
    else:
        answer = messages(agent, model, "", messages=asked, tools=tools)
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"city": "Paris"}, {"city": "Rome"}]
    assert answer.stop_reason == "tool_use"

    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"{call.input['city']}: mild"}
        for call in calls
    ]
    history = [
        *asked,
        {"role": "assistant", "content": [block.model_dump() for block in answer.content]},
        {"role": "user", "content": results},
    ]
    last = messages(agent, model, "", messages=history, tools=tools)
    assert "Paris: mild; Rome: mild" in last.content[-1].text


@pytest.mark.parametrize("model", [CLAUDE, OSS])
def test_calls_of_tools_over_chat(agent, model):
    asked = [{"role": "user", "content": CALL}]
    chunks = list(chat(agent, model, "", messages=asked, tools=[chat_tool()], stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    calls = [call for delta in deltas for call in delta.tool_calls or []]
    assert {call.index for call in calls} == {0, 1}
    assert json.loads(
        "".join(call.function.arguments or "" for call in calls if call.index == 1)
    ) == {"city": "Rome"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


# Regions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "model", "called"),
    [
        ("us-east-2", CLAUDE, "us.anthropic.claude-sonnet-5"),
        ("eu-central-1", CLAUDE, "eu.anthropic.claude-sonnet-5"),
        ("ap-northeast-1", CLAUDE, "jp.anthropic.claude-sonnet-5"),
        ("ap-northeast-1", NOVA, "apac.amazon.nova-pro-v1:0"),
        ("ap-southeast-1", CLAUDE, "global.anthropic.claude-sonnet-5"),
        ("eu-west-1", "anthropic/claude-sonnet-5.5", "global.anthropic.claude-sonnet-5-5"),
        ("eu-west-1", OSS, "openai.gpt-oss-20b-1:0"),
    ],
)
def test_a_model_is_called_by_the_profile_of_the_keys_region(
    agent, simulator, bedrock, owner, region, model, called
):
    text = bedrock.secret.unseal().reveal().replace("us-east-1", region)
    replace_secret(owner, bedrock, text)
    assert chat(agent, model, "say: pong").choices[0].message.content == "pong"
    assert unquote(simulator.calls[-1].raw_path).split("/")[3] == called
    assert simulator.calls[-1].region == region


def replace_secret(owner: User, key: ProviderKey, text: str) -> None:
    from byok.actions import update_key
    from byok.vault import Secret
    from orgs.origin import Origin

    update_key(actor=owner, key=key, secret=Secret(text), origin=Origin())


def test_a_profile_that_does_not_exist_moves_the_call_to_the_next_key(
    agent, key, simulator, bedrock, owner
):
    text = bedrock.secret.unseal().reveal().replace("us-east-1", "sa-east-1")
    replace_secret(owner, bedrock, text)
    key("anthropic")
    answer = messages(agent, "anthropic/claude-fable-5.2", "say: pong")
    assert answer.content[0].text == "pong"
    assert [call.provider for call in simulator.calls] == ["bedrock", "anthropic"]


def test_a_bedrock_api_key_is_sent_as_a_bearer_token(agent, simulator, bedrock, owner):
    replace_secret(
        owner, bedrock, json.dumps({"apiKey": f"ABSKsimok{'x' * 120}", "region": "eu-west-1"})
    )
    assert chat(agent, NOVA, "say: pong").choices[0].message.content == "pong"
    assert simulator.calls[-1].headers["authorization"] == f"Bearer ABSKsimok{'x' * 120}"


# InvokeModel: what Bedrock's schema refuses -----------------------------------------------------


def test_pitfall_10_fields_and_betas_that_bedrock_refuses_stay_behind(agent, simulator):
    """Each of these alone is a 400 there."""
    tool = {"name": "get_weather", "input_schema": WEATHER, "strict": True, "defer_loading": True}
    tool |= {
        "eager_input_streaming": True,
        "cache_control": {"type": "ephemeral", "scope": "global"},
    }
    body = {
        "model": CLAUDE,
        "max_tokens": 128_000,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "text",
                        "text": "say: pong",
                        "cache_control": {"type": "ephemeral", "scope": "session"},
                    }
                ],
            }
        ],
        "tools": [tool, {"type": "web_search_20250305", "name": "web_search"}],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
        "metadata": {"user_id": "someone"},
        "service_tier": "auto",
        "speed": "fast",
        "stream": False,
    }
    betas = "claude-code-20250219,context-1m-2025-08-07, interleaved-thinking-2025-05-14"
    answer = agent.post("messages", body, headers={"anthropic-beta": betas})
    assert answer.status_code == 200, answer.text
    went = sent(simulator)
    assert went["anthropic_version"] == "bedrock-2023-05-31"
    assert went["anthropic_beta"] == ["context-1m-2025-08-07"]
    assert went["output_config"] == {"effort": "low"}
    assert went["thinking"] == {"type": "adaptive"}
    assert went["tools"] == [
        {
            "name": "get_weather",
            "input_schema": WEATHER,
            "cache_control": {"type": "ephemeral"},
        }
    ]
    mark = {"type": "text", "text": "say: pong", "cache_control": {"type": "ephemeral"}}
    assert went["messages"] == [{"role": "user", "content": [mark]}]
    assert went["system"] == body["system"]
    refused = {"model", "stream", "service_tier", "speed", "context_management"}
    assert not refused & went.keys()
    assert "anthropic-beta" not in simulator.calls[-1].headers


WANTED = {"type": "json_schema", "schema": WEATHER}


@pytest.mark.parametrize(
    "asked", [{"output_config": {"format": WANTED}}, {"output_format": WANTED}]
)
def test_a_schema_is_demanded_by_a_tool_that_the_caller_never_sees(agent, simulator, asked):
    body = {"model": CLAUDE, "max_tokens": 99, **asked}
    turns = [{"role": "user", "content": "Weather in Paris?"}]
    answer = agent.post("messages", {**body, "messages": turns})
    assert answer.status_code == 200, answer.text
    went = sent(simulator)
    assert not {"output_config", "output_format"} & went.keys()
    assert went["tools"][0]["input_schema"]["properties"] == WEATHER["properties"]
    assert went["tool_choice"] == {"type": "tool", "name": went["tools"][0]["name"]}
    (block,) = answer.json()["content"]
    assert block["type"] == "text"
    assert set(json.loads(block["text"])) == {"city"}
    assert answer.json()["stop_reason"] == "end_turn"


def test_sampling_that_the_model_refuses_is_left_out_and_named(agent, simulator):
    turns = [{"role": "user", "content": "say: pong"}]
    body = {"model": CLAUDE, "messages": turns, "temperature": 0, "top_p": 0.5}
    answer = agent.post("chat/completions", body)
    assert answer.status_code == 200, answer.text
    assert not {"temperature", "top_p"} & sent(simulator).keys()
    assert answer.headers["x-megabrain-dropped"] == "temperature, top_p"


def test_a_limit_beyond_the_models_is_lowered(agent, simulator):
    turns = [{"role": "user", "content": "say: pong"}]
    body = {"model": HAIKU, "max_tokens": 128_000, "messages": turns, "stream": True}
    assert agent.post("messages", body).status_code == 200
    assert sent(simulator)["max_tokens"] == 64_000


def test_what_carries_meaning_is_refused_in_bedrocks_own_words(agent):
    turns = [{"role": "user", "content": "say: pong"}]
    body = {"model": CLAUDE, "max_tokens": 99, "messages": turns}
    answer = agent.post("messages", {**body, "mcp_servers": [{"url": "https://x.example"}]})
    assert answer.status_code == 400
    assert "mcp_servers: Extra inputs are not permitted" in answer.json()["error"]["message"]


# Converse: what it is strict about ----------------------------------------------------------------


def test_pitfall_19_tools_that_the_conversation_has_called_are_declared_again(agent, simulator):
    """The caller offers none any more."""
    call: dict[str, Any] = {"id": "call_1", "type": "function"}
    call["function"] = {"name": "get_weather", "arguments": '{"city":"Paris"}'}
    history = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "mild"},
        {"role": "user", "content": "Thanks."},
    ]
    for more in ({}, {"tools": [chat_tool()], "tool_choice": "none"}):
        answer = chat(agent, NOVA, "", messages=history, **more)
        assert "mild" in answer.choices[0].message.content
    bare = {"name": "get_weather", "inputSchema": {"json": {"type": "object"}}}
    assert sent(simulator, 0)["toolConfig"] == {"tools": [{"toolSpec": bare}]}


def test_turns_alternate_and_no_text_is_blank(agent, simulator):
    history = [
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "a"}]},
        {"role": "user", "content": "say: pong"},
        {"role": "assistant", "content": "pi "},
    ]
    for model in (NOVA, OSS):
        assert chat(agent, model, "", messages=history).choices[0].message.content
        turns = sent(simulator)["messages"]
        assert [turn["role"] for turn in turns][:3] == ["user", "assistant", "user"]
        assert turns[2]["content"][:2] == [{"text": "a"}, {"text": "say: pong"}]


def test_pictures_and_files_go_along_as_bytes(agent, simulator):
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    file = {"filename": "a_b..pdf", "file_data": f"data:application/pdf;base64,{PIXEL}"}
    parts = [picture, {"type": "file", "file": file}, {"type": "file", "file": file}]
    answer = chat(agent, NOVA, [*parts, {"type": "text", "text": "say: pong"}])
    assert answer.choices[0].message.content == "pong"
    image, one, two, _ = sent(simulator)["messages"][0]["content"]
    assert image == {"image": {"format": "png", "source": {"bytes": PIXEL}}}
    assert one["document"] == {"format": "pdf", "name": "a b", "source": {"bytes": PIXEL}}
    assert two["document"]["name"] == "a b 2"


def test_source_code_and_empty_files_go_along_as_text(agent, simulator):
    code = base64.b64encode(b"print()\n").decode()
    file = {"filename": "a.py", "file_data": f"data:text/x-python;base64,{code}"}
    chat(agent, NOVA, [{"type": "file", "file": file}, {"type": "text", "text": "say: pong"}])
    document = sent(simulator)["messages"][0]["content"][0]["document"]
    assert document == {"format": "txt", "name": "a", "source": {"bytes": code}}

    empty = {"type": "text", "media_type": "text/plain", "data": ""}
    messages(agent, NOVA, [{"type": "document", "source": empty}])
    document = sent(simulator)["messages"][0]["content"][0]["document"]
    assert base64.b64decode(document["source"]["bytes"]) == b"(empty)"


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}, "base64"),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/tiff", "data": PIXEL},
            },
            "PNG, JPEG, GIF or WebP",
        ),
        (
            {"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}},
            "as data",
        ),
    ],
)
def test_what_would_have_to_be_fetched_is_refused_with_a_way_out(agent, simulator, part, says):
    turns = [{"role": "user", "content": [part]}]
    answer = agent.post("messages", {"model": NOVA, "max_tokens": 9, "messages": turns})
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert not simulator.calls


ELSEWHERE = [
    {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
    {"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}},
    {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
]


@pytest.mark.parametrize("part", ELSEWHERE)
def test_claude_is_not_asked_to_fetch_anything_here(agent, key, simulator, part):
    turns = [{"role": "user", "content": [part, {"type": "text", "text": "say: pong"}]}]
    body = {"model": CLAUDE, "max_tokens": 99, "messages": turns}
    answer = agent.post("messages", body)
    assert answer.status_code == 400
    assert "as base64 data" in answer.json()["error"]["message"]
    assert not simulator.calls

    # Anthropic does.
    key("anthropic")
    agent.post("messages", body)
    assert [call.provider for call in simulator.calls] == ["anthropic"]


def test_parameters_that_a_family_refuses_stay_behind(agent, simulator):
    tuned = {"temperature": 1.5, "top_p": 0.5, "stop": ["x"], "max_completion_tokens": 99}
    chat(agent, GPT, "say: pong", **tuned, reasoning_effort="minimal")
    assert sent(simulator)["inferenceConfig"] == {"maxTokens": 99}
    assert sent(simulator)["additionalModelRequestFields"] == {"reasoning": {"effort": "low"}}

    chat(agent, OSS, "say: pong", **tuned, reasoning_effort="xhigh", seed=7)
    assert sent(simulator)["inferenceConfig"] == {"maxTokens": 99, "temperature": 1, "topP": 0.5}
    assert sent(simulator)["additionalModelRequestFields"] == {"reasoning_effort": "high"}

    chat(agent, NOVA_2, "say: pong", **tuned, reasoning_effort="high")
    assert sent(simulator)["inferenceConfig"] == {"stopSequences": ["x"]}


def test_unsigned_reasoning_is_shown_and_not_sent_back(agent, simulator):
    answer = messages(agent, OSS, "Why?")
    assert answer.content[0].type == "thinking"
    history = [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": [block.model_dump() for block in answer.content]},
        {"role": "user", "content": "say: pong"},
    ]
    assert messages(agent, OSS, "", messages=history).content[-1].text == "pong"
    assert "reasoningContent" not in json.dumps(sent(simulator))


def test_an_answer_is_held_to_its_schema(agent, simulator):
    schema = {"name": "weather", "schema": WEATHER, "strict": True}
    wanted = {"type": "json_schema", "json_schema": schema}
    for model in (OSS, NOVA):
        chat(agent, model, "Paris", response_format=wanted)
    held, asked = sent(simulator, 0), sent(simulator, 1)
    assert json.loads(held["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]) == (
        WEATHER
    )
    assert json.dumps(WEATHER, separators=(",", ":")) in asked["system"][-1]["text"]


def test_cache_marks_become_cache_points(agent, simulator, usage_row):
    mark = {"cache_control": {"type": "ephemeral"}}
    system = [{"type": "text", "text": "Be brief. " * 600, **mark}]
    answer = messages(agent, NOVA, "say: pong", system=system)
    written = answer.usage.cache_creation_input_tokens
    assert answer.usage.cache_creation.ephemeral_5m_input_tokens == written > 1000
    answer = messages(agent, NOVA, "say: pong", system=system)
    assert sent(simulator)["system"] == [
        {"text": "Be brief. " * 600},
        {"cachePoint": {"type": "default"}},
    ]
    assert answer.usage.cache_read_input_tokens > 1000
    assert usage_row(calls=2).cache_read_tokens == answer.usage.cache_read_input_tokens

    messages(agent, OSS, "say: pong", system=system)
    assert sent(simulator)["system"] == [{"text": "Be brief. " * 600}]


# Faults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
@pytest.mark.parametrize(
    ("word", "status", "code"),
    [
        ("401", 403, "byok_key_rejected"),
        ("402", 403, "byok_no_credit"),
        ("403", 403, "byok_no_access"),
        ("429", 429, "byok_rate_limited"),
        ("404", 404, "model_not_found"),
        ("529", 503, "upstream_unavailable"),
        ("error", 503, "upstream_unavailable"),
    ],
)
def test_a_failing_key_is_told_of_in_our_words(agent, bedrock, owner, model, word, status, code):
    replace_secret(
        owner, bedrock, bedrock.secret.unseal().reveal().replace("SIMOK", f"SIM{word}".upper())
    )
    answer = agent.post(
        "chat/completions",
        {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True},
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
@pytest.mark.parametrize("word", ["LATEERROR", "CUT", "END", "BAD"])
def test_a_stream_that_breaks_ends_with_one_error(agent, bedrock, owner, model, word):
    """Pitfall 20: a cut frame is no end."""
    replace_secret(owner, bedrock, bedrock.secret.unseal().reveal().replace("SIMOK", f"SIM{word}"))
    body = {"model": model, "max_tokens": 99, "stream": True}
    turns = [{"role": "user", "content": "stream: 20 events at 40/s"}]
    text = agent.post("messages", {**body, "messages": turns}).text
    assert text.count("event: error") == 1
    assert "message_stop" not in text


def test_a_refusal_of_the_request_keeps_bedrocks_words_and_no_part_of_the_key(
    agent, bedrock, owner, simulator
):
    text = bedrock.secret.unseal().reveal()
    replace_secret(owner, bedrock, text.replace("SIMOK", "SIMECHO"))
    answer = agent.post(
        "chat/completions", {"model": NOVA, "messages": [{"role": "user", "content": "hi"}]}
    )
    assert answer.status_code == 400
    assert "The request is not valid." in answer.text
    assert "SIMECHO" not in answer.text
