"""Callers of each dialect onto a key of Google AI Studio, through their official SDKs."""

import json
from typing import Any

import openai
import pytest

from megabrain.gateway.dialects.gemini.contents import DUMMY_SIGNATURE
from megabrain.simulator.dialects.gemini import signature
from tests.gateway.dialect import DIALECTS
from tests.gateway.raw_upstream import Wire, raw_upstream
from tests.gateway_fixture import AddKey, Agent

MODEL = "google/gemini-3.8-flash"
TWO_CALLS = 'call: get_weather {"city": "Paris"}\ncall: get_weather {"city": "Rome"}'
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)

# Any: what the SDKs return is read as it is, without the unions of their types in between.


class Chat:
    """A conversation in Chat Completions."""

    path = "chat/completions"

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.messages: list[Any] = []
        self.finish: str | None = None
        self.thought = ""

    def ask(self, prompt: str, *, stream: bool, **options: Any) -> Any:
        """The text of the answer, and the ids and arguments of its calls."""
        self.messages.append({"role": "user", "content": prompt})
        return self.go(stream=stream, **options)

    def go(self, *, stream: bool = False, tools: bool = False, **options: Any) -> Any:
        function = {"name": "get_weather", "parameters": SCHEMA}
        if tools:
            options["tools"] = [{"type": "function", "function": function}]
        asked = {"model": MODEL, "messages": self.messages, **options}
        if stream:
            with self.agent.openai.chat.completions.stream(**asked) as events:
                choice = events.get_final_completion().choices[0]
        else:
            choice = self.agent.openai.chat.completions.create(**asked).choices[0]
        said = choice.message
        self.finish, self.thought = choice.finish_reason, getattr(said, "reasoning_content", "")
        kept = said.to_dict(mode="json")
        self.messages.append({name: value for name, value in kept.items() if name != "parsed"})
        calls = [(call.id, call.function.arguments) for call in said.tool_calls or []]
        return said.content, calls

    def answer(self, calls: list[Any]) -> None:
        for id_, _ in calls:
            self.messages.append({"role": "tool", "tool_call_id": id_, "content": f"{id_}: sunny"})

    def forget(self) -> None:
        """Do as clients do that keep no reasoning."""
        for message in self.messages:
            for name in ("reasoning", "reasoning_content", "reasoning_details"):
                message.pop(name, None)
            for call in message.get("tool_calls", ()):
                call.pop("extra_content", None)


class Responses(Chat):
    """A conversation in Responses."""

    path = "responses"

    def go(self, *, stream: bool = False, tools: bool = False, **options: Any) -> Any:
        if tools:
            tool = {"type": "function", "name": "get_weather", "parameters": SCHEMA}
            options["tools"] = [{**tool, "strict": False}]
        asked = {"model": MODEL, "input": self.messages, "store": False, **options}
        if stream:
            with self.agent.openai.responses.stream(**asked) as events:
                found = events.get_final_response()
        else:
            found = self.agent.openai.responses.create(**asked)
        called = [item for item in found.output if item.type == "function_call"]
        self.finish = "tool_calls" if called else found.status
        self.thought = "".join(
            part.text for item in found.output if item.type == "reasoning" for part in item.summary
        )
        items: list[Any] = [item.to_dict(mode="json") for item in found.output]
        for item in items:
            item.pop("parsed_arguments", None)
            for part in item.get("content") or []:
                part.pop("parsed", None)
        self.messages += items
        return found.output_text, [(item.call_id, item.arguments) for item in called]

    def answer(self, calls: list[Any]) -> None:
        for id_, _ in calls:
            output = {"type": "function_call_output", "call_id": id_, "output": f"{id_}: sunny"}
            self.messages.append(output)

    def forget(self) -> None:
        self.messages = [item for item in self.messages if item.get("type") != "reasoning"]


class Messages(Chat):
    """A conversation in Messages."""

    path = "messages"

    def go(self, *, stream: bool = False, tools: bool = False, **options: Any) -> Any:
        if tools:
            options["tools"] = [{"name": "get_weather", "input_schema": SCHEMA}]
        asked = {"model": MODEL, "max_tokens": 8000, "messages": self.messages, **options}
        if stream:
            with self.agent.anthropic.messages.stream(**asked) as events:
                found = events.get_final_message()
        else:
            found = self.agent.anthropic.messages.create(**asked)
        called = [block for block in found.content if block.type == "tool_use"]
        self.finish = "tool_calls" if found.stop_reason == "tool_use" else found.stop_reason
        self.thought = "".join(
            block.thinking for block in found.content if block.type == "thinking"
        )
        content = [block.to_dict(mode="json") for block in found.content]
        for block in content:
            block.pop("parsed_output", None)
        self.messages.append({"role": "assistant", "content": content})
        said = "".join(block.text for block in found.content if block.type == "text")
        return said, [(block.id, json.dumps(block.input)) for block in called]

    def answer(self, calls: list[Any]) -> None:
        content = [
            {"type": "tool_result", "tool_use_id": id_, "content": f"{id_}: sunny"}
            for id_, _ in calls
        ]
        self.messages.append({"role": "user", "content": content})

    def forget(self) -> None:
        for message in self.messages:
            if message["role"] == "assistant":
                content = message["content"]
                message["content"] = [block for block in content if block["type"] != "thinking"]


@pytest.fixture(params=[Chat, Responses, Messages], ids=lambda kind: kind.path)
def caller(request: pytest.FixtureRequest, agent: Agent) -> Chat:
    conversation: Chat = request.param(agent)
    return conversation


either_way = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@either_way
def test_a_question_is_answered_thought_about_and_counted(
    caller, key: AddKey, usage_row, simulator, stream: bool
):
    key("google")

    said, calls = caller.ask("say: pong and pong", stream=stream)

    assert (said, calls) == ("pong and pong", [])
    assert caller.finish in {"stop", "completed", "end_turn"}
    assert "The user wrote" in caller.thought
    row = usage_row()
    assert (row.provider, row.endpoint, row.streamed) == ("google", caller.path, stream)
    assert row.output_tokens == 3 + row.reasoning_tokens
    assert row.reasoning_tokens > 3
    assert row.input_tokens > 3
    assert row.usage_source == "provider"
    (asked,) = simulator.calls
    assert asked.path.endswith(
        f"/models/gemini-3.8-flash:{'streamGenerateContent' if stream else 'generateContent'}"
    )


@either_way
def test_pitfall_17_calls_come_back_with_their_signatures(caller, key, simulator, stream):
    key("google")

    _, calls = caller.ask(TWO_CALLS, stream=stream, tools=True)
    assert [json.loads(arguments) for _, arguments in calls] == [
        {"city": "Paris"},
        {"city": "Rome"},
    ]
    # Pitfall 1: Google says STOP.
    assert caller.finish == "tool_calls"
    caller.answer(calls)
    said, more = caller.go(stream=stream, tools=True)

    first, second = calls[0][0], calls[1][0]
    assert (said, more) == (f"Done. The tool answered: {first}: sunny; {second}: sunny", [])
    assert sent_signatures(simulator) == [signature("get_weather", {"city": "Paris"}), None]
    caller.ask("call: get_weather {}", stream=stream, tools=True)
    assert sent_signatures(simulator) == [signature("get_weather", {"city": "Paris"}), None]


def sent_signatures(simulator) -> list[str | None]:
    parts = [part for turn in simulator.calls[-1].json["contents"] for part in turn["parts"]]
    return [part.get("thoughtSignature") for part in parts if "functionCall" in part]


def test_pitfall_17_a_client_that_keeps_no_reasoning_is_served_all_the_same(caller, key, simulator):
    key("google")
    _, calls = caller.ask(TWO_CALLS, stream=False, tools=True)
    caller.answer(calls)
    caller.forget()

    said, _ = caller.go(tools=True)

    assert said.startswith("Done.")
    assert sent_signatures(simulator) == [DUMMY_SIGNATURE, None]


def test_pitfall_12_signatures_do_not_go_to_another_key(caller, key, simulator):
    first = key("google")
    _, calls = caller.ask(TWO_CALLS, stream=False, tools=True)
    caller.answer(calls)
    first.delete()
    key("google")

    said, _ = caller.go(tools=True)

    assert said.startswith("Done.")
    assert sent_signatures(simulator) == [DUMMY_SIGNATURE, None]


FAULTS = {
    "401": (403, "rejected the key"),
    "402": (403, "out of credit"),
    "403": (403, "does not let the key use this model"),
    "429": (429, "Please try again in 3s"),
    "529": (503, "is overloaded"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_key_that_google_refuses_is_told_as_what_it_is(agent, key, fault):
    key("google", fault)

    answer = agent.post("chat/completions", {"model": MODEL, "messages": [user("hi")]})

    status, words = FAULTS[fault]
    assert words in answer.json()["error"]["message"]
    assert answer.status_code == status


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize("fault", ["lateerror", "cut", "end", "bad"])
def test_pitfall_20_a_stream_that_breaks_off_ends_with_an_error(agent, key, fault):
    key("google", fault)
    body = {"model": MODEL, "messages": [user("say: a b c d e f")], "stream": True}

    answer = agent.post("chat/completions", body)

    *_, last = [line for line in answer.text.splitlines() if line.startswith("data: {")]
    assert json.loads(last.removeprefix("data: "))["error"]["message"]
    assert '"finish_reason":"stop"' not in answer.text


def piece(*parts: dict[str, Any], finish: str = "") -> bytes:
    first: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    first |= {"finishReason": finish} if finish else {}
    body = {"candidates": [first], "usageMetadata": {"promptTokenCount": 9}}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


GARBLED = piece(finish="MALFORMED_FUNCTION_CALL")


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_a_call_that_the_model_garbles_is_tried_once_more(agent, key, settings, dialect):
    key("google")

    def answer(wire: Wire) -> None:
        wire.stream(GARBLED if wire.number == 1 else piece({"text": "pong"}, finish="STOP"))

    with raw_upstream(answer) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"google": upstream.url}
        answered = agent.post(dialect.path, dialect.body("hi", model=MODEL, stream=True))

    stream = dialect.stream(answered.content)
    assert (stream.text, stream.complete) == ("pong", True)
    assert answered.headers["x-megabrain-attempts"] == "2"


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_a_call_that_the_model_garbles_in_the_middle_ends_with_one_error(
    agent, key, settings, usage_row, dialect
):
    key("google")
    with raw_upstream(lambda wire: wire.stream(piece({"text": "I"}), GARBLED)) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"google": upstream.url}
        answered = agent.post(dialect.path, dialect.body("hi", model=MODEL, stream=True))

    stream = dialect.stream(answered.content)
    assert stream.text == "I"
    assert "Google AI Studio" in stream.error.message
    row = usage_row(answered.headers["x-request-id"])
    assert (row.input_tokens, row.outcome) == (9, "upstream_unavailable")


def test_a_request_that_google_refuses_is_refused_in_its_words(agent, key, simulator):
    key("google")
    body = {"model": MODEL, "messages": [user("refuse: bad_request")]}

    answer = agent.post("chat/completions", body)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Request contains an invalid argument."
    assert len(simulator.calls) == 1


def test_what_gemini_cannot_be_asked_is_refused_before_it_is_sent(agent, key, simulator):
    key("google")
    picture = {"type": "image_url", "image_url": {"url": "http://192.0.2.1/cat.png"}}
    body = {"model": MODEL, "messages": [user([picture])]}

    answer = agent.post("chat/completions", body)

    assert answer.status_code == 400
    assert "base64" in answer.json()["error"]["message"]
    assert simulator.calls == []


def test_pictures_and_json_are_asked_for_in_googles_way(agent, key, simulator):
    key("google")
    schema = {"name": "city", "schema": SCHEMA, "strict": True}
    body = {
        "model": MODEL,
        "messages": [
            user(
                [
                    {"type": "text", "text": "Which?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                ]
            )
        ],
        "response_format": {"type": "json_schema", "json_schema": schema},
        "reasoning_effort": "none",
        "max_completion_tokens": 100_000,
    }

    answer = agent.post("chat/completions", body).json()

    assert json.loads(answer["choices"][0]["message"]["content"]) == {"city": "Which?"}
    sent = simulator.calls[0].json
    assert sent["contents"][0]["parts"][1] == {
        "inlineData": {"mimeType": "image/png", "data": PIXEL}
    }
    assert sent["generationConfig"] == {
        "maxOutputTokens": 65_536,
        "thinkingConfig": {"thinkingLevel": "LOW"},
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
    }


@either_way
def test_a_refusal_says_why_and_is_one(caller, key, stream):
    key("google")

    if stream and type(caller) is Chat:
        # Its SDK makes an error of such an end.
        with pytest.raises(openai.ContentFilterFinishReasonError):
            caller.ask("decline: Not this.", stream=True)
        return
    caller.ask("decline: Not this.", stream=stream)

    assert caller.finish in {"content_filter", "completed", "incomplete", "refusal"}
    assert "Not this." in json.dumps(caller.messages[1:])


def test_a_model_for_paying_projects_is_told_apart_from_a_rate_limit(agent, key):
    key("google", "ok-free")

    answer = agent.post(
        "chat/completions", {"model": "google/gemini-4-neon", "messages": [user("hi")]}
    )

    assert answer.status_code == 403
    assert "does not let the key use this model" in answer.json()["error"]["message"]
