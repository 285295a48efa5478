"""The three dialects as the official SDKs speak them: one way to ask, one form of the answer."""

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from tests.gateway_fixture import Agent

Json = dict[str, Any]  # What the SDKs take and give, in their own shapes.

#: A red dot.
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMI"
    "QAAAABJRU5ErkJggg=="
)
WEATHER: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@dataclass
class Asked:
    """What a caller wants. `history` is what `Told.replay` gave, with the results of its calls."""

    prompt: str = ""
    picture: str = ""
    tools: bool = False
    choice: str = ""
    effort: str = ""
    schema: Json | None = None
    stop: str = ""
    limit: int = 4000
    history: list[Json] = field(default_factory=list)


@dataclass
class Told:
    """What came back. `finish` is one of end, stop, length, tools and refusal."""

    text: str
    calls: list[tuple[str, str, Json]]
    reasoning: str
    finish: str
    input_tokens: int
    output_tokens: int
    #: The messages that a next turn begins with, the user's and the answer's.
    replay: list[Json]

    @property
    def called(self) -> list[tuple[str, Json]]:
        return [(name, arguments) for _, name, arguments in self.calls]


class Caller(ABC):
    name: str
    path: str

    @abstractmethod
    def ask(self, agent: Agent, model: str, asked: Asked, *, stream: bool) -> Told: ...

    @abstractmethod
    def results(self, told: Told, outputs: list[str]) -> list[Json]:
        """The replay with these results of the calls, in their order."""

    def __str__(self) -> str:
        return self.name


class ChatCaller(Caller):
    name = "chat"
    path = "chat/completions"

    def ask(self, agent: Agent, model: str, asked: Asked, *, stream: bool) -> Told:
        content: Any = asked.prompt
        if asked.picture:
            url = {"url": f"data:image/png;base64,{asked.picture}"}
            content = [
                {"type": "text", "text": asked.prompt},
                {"type": "image_url", "image_url": url},
            ]
        messages = [*asked.history]
        if asked.prompt:
            messages.append({"role": "user", "content": content})
        options = self._options(asked)
        create: Any = agent.openai.chat.completions.create
        if not stream:
            answer = create(model=model, messages=messages, **options)
            choice = answer.choices[0]
            message = choice.message.model_dump(exclude_none=True)
            return self._told(messages, message, choice.finish_reason, answer.usage)
        message, finish, usage = {"role": "assistant", "content": ""}, "", None
        for chunk in create(
            model=model,
            messages=messages,
            stream=True,
            stream_options={"include_usage": True},
            **options,
        ):
            usage = chunk.usage or usage
            for each in chunk.choices:
                finish = each.finish_reason or finish
                _merge(message, each.delta.model_dump(exclude_none=True))
        return self._told(messages, message, finish, usage)

    def _options(self, asked: Asked) -> Json:
        options: Json = {"max_completion_tokens": asked.limit}
        if asked.tools:
            function = {"name": "get_weather", "description": "Weather", "parameters": WEATHER}
            options["tools"] = [{"type": "function", "function": function}]
        if asked.choice:
            named = {"type": "function", "function": {"name": asked.choice}}
            options["tool_choice"] = asked.choice if asked.choice == "required" else named
        if asked.effort:
            options["reasoning_effort"] = asked.effort
        if asked.schema:
            schema = {"name": "answer", "schema": asked.schema, "strict": True}
            options["response_format"] = {"type": "json_schema", "json_schema": schema}
        if asked.stop:
            options["stop"] = [asked.stop]
        return options

    def _told(self, messages: list[Json], message: Json, finish: str, usage: Any) -> Told:
        calls = [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls", [])
            if finish == "tool_calls"
        ]
        names = {"stop": "end", "tool_calls": "tools", "content_filter": "refusal"}
        refusal = message.get("refusal") or ""
        return Told(
            text=(message.get("content") or "") + refusal,
            calls=calls,
            reasoning=message.get("reasoning_content") or "",
            finish="refusal" if refusal else names.get(finish, finish),
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            replay=[*messages, message],
        )

    def results(self, told: Told, outputs: list[str]) -> list[Json]:
        return [
            *told.replay,
            *(
                {"role": "tool", "tool_call_id": call[0], "content": output}
                for call, output in zip(told.calls, outputs, strict=True)
            ),
        ]


class ResponsesCaller(Caller):
    name = "responses"
    path = "responses"

    def ask(self, agent: Agent, model: str, asked: Asked, *, stream: bool) -> Told:
        content = [{"type": "input_text", "text": asked.prompt}]
        if asked.picture:
            url = f"data:image/png;base64,{asked.picture}"
            content.append({"type": "input_image", "image_url": url, "detail": "auto"})
        items = [*asked.history]
        if asked.prompt:
            items.append({"role": "user", "content": content})
        options = self._options(asked)
        create: Any = agent.openai.responses.create
        if not stream:
            return self._told(items, create(model=model, input=items, **options))
        text, done = "", []
        response = None
        for event in create(model=model, input=items, stream=True, **options):
            if event.type in {"response.output_text.delta", "response.refusal.delta"}:
                text += event.delta
            elif event.type == "response.output_item.done":
                # Codex takes the items from these events, and never looks at the final list.
                done.append(event.item)
            elif event.type in {"response.completed", "response.incomplete"}:
                response = event.response
        assert response is not None
        told = self._told(items, response)
        assert text == told.text
        assert [item.type for item in done] == [item.type for item in response.output]
        return told

    def _options(self, asked: Asked) -> Json:
        options: Json = {
            "max_output_tokens": asked.limit,
            "store": False,
            "include": ["reasoning.encrypted_content"],
        }
        if asked.tools:
            options["tools"] = [
                {
                    "type": "function",
                    "name": "get_weather",
                    "description": "Weather",
                    "parameters": WEATHER,
                    "strict": False,
                }
            ]
        if asked.choice:
            named = {"type": "function", "name": asked.choice}
            options["tool_choice"] = asked.choice if asked.choice == "required" else named
        if asked.effort:
            options["reasoning"] = {"effort": asked.effort, "summary": "auto"}
        if asked.schema:
            options["text"] = {
                "format": {
                    "type": "json_schema",
                    "name": "answer",
                    "schema": asked.schema,
                    "strict": True,
                }
            }
        return options

    def _told(self, items: list[Json], response: Any) -> Told:
        text, reasoning, refused, calls = "", "", False, []
        for item in response.output:
            if item.type == "message":
                for part in item.content:
                    refused = refused or part.type == "refusal"
                    text += part.refusal if part.type == "refusal" else part.text
            elif item.type == "reasoning":
                reasoning += "".join(part.text for part in item.summary)
            elif item.type == "function_call" and response.status == "completed":
                calls.append((item.call_id, item.name, json.loads(item.arguments)))
        finish = "tools" if calls else "end"
        if response.status == "incomplete":
            reasons = {"max_output_tokens": "length", "content_filter": "refusal"}
            finish = reasons[response.incomplete_details.reason]
        replay = [item.model_dump(exclude_none=True, mode="json") for item in response.output]
        return Told(
            text=text,
            calls=calls,
            reasoning=reasoning,
            finish="refusal" if refused else finish,
            input_tokens=response.usage.input_tokens,
            output_tokens=response.usage.output_tokens,
            replay=[*items, *replay],
        )

    def results(self, told: Told, outputs: list[str]) -> list[Json]:
        return [
            *told.replay,
            *(
                {"type": "function_call_output", "call_id": call[0], "output": output}
                for call, output in zip(told.calls, outputs, strict=True)
            ),
        ]


class MessagesCaller(Caller):
    name = "messages"
    path = "messages"

    def ask(self, agent: Agent, model: str, asked: Asked, *, stream: bool) -> Told:
        content: list[Json] = [{"type": "text", "text": asked.prompt}]
        if asked.picture:
            source = {"type": "base64", "media_type": "image/png", "data": asked.picture}
            content.append({"type": "image", "source": source})
        messages = [*asked.history]
        if asked.prompt:
            messages.append({"role": "user", "content": content})
        options = self._options(asked)
        client: Any = agent.anthropic.messages
        arguments = {"model": model, "messages": messages, **options}
        if stream:
            with client.stream(**arguments) as streamed:
                message = streamed.get_final_message()
        else:
            message = client.create(**arguments)
        return self._told(messages, message)

    def _options(self, asked: Asked) -> Json:
        options: Json = {"max_tokens": asked.limit}
        extra: Json = {}
        if asked.tools:
            tool = {"name": "get_weather", "description": "Weather", "input_schema": WEATHER}
            options["tools"] = [tool]
        if asked.choice:
            named = {"type": "tool", "name": asked.choice}
            options["tool_choice"] = {"type": "any"} if asked.choice == "required" else named
        if asked.effort:
            extra["thinking"] = {"type": "adaptive", "display": "summarized"}
            extra["output_config"] = {"effort": asked.effort}
        if asked.schema:
            form = {"type": "json_schema", "schema": asked.schema}
            extra["output_config"] = {**extra.get("output_config", {}), "format": form}
        if asked.stop:
            options["stop_sequences"] = [asked.stop]
        return {**options, "extra_body": extra}

    def _told(self, messages: list[Json], message: Any) -> Told:
        blocks = [block.model_dump(exclude_none=True, mode="json") for block in message.content]
        calls = [
            (block["id"], block["name"], block["input"])
            for block in blocks
            if block["type"] == "tool_use" and message.stop_reason == "tool_use"
        ]
        names = {
            "end_turn": "end",
            "stop_sequence": "stop",
            "max_tokens": "length",
            "tool_use": "tools",
        }
        usage = message.usage
        cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        return Told(
            text="".join(block["text"] for block in blocks if block["type"] == "text"),
            calls=calls,
            reasoning="".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
            finish=names.get(message.stop_reason, message.stop_reason),
            input_tokens=usage.input_tokens + cached,
            output_tokens=usage.output_tokens,
            replay=[*messages, {"role": "assistant", "content": blocks}],
        )

    def results(self, told: Told, outputs: list[str]) -> list[Json]:
        content = [
            {"type": "tool_result", "tool_use_id": call[0], "content": output}
            for call, output in zip(told.calls, outputs, strict=True)
        ]
        return [*told.replay, {"role": "user", "content": content}]


def _merge(message: Json, delta: Json) -> None:
    """Put a streamed delta to the message so far, as clients do."""
    for name in ("content", "refusal", "reasoning_content"):
        if name in delta:
            message[name] = (message.get(name) or "") + delta[name]
    for piece in delta.get("reasoning_details") or []:
        details = message.setdefault("reasoning_details", [])
        last = details[-1] if details else None
        if (
            last is not None
            and last.get("index") == piece.get("index")
            and last["type"] == piece["type"] == "reasoning.text"
        ):
            last["text"] = (last.get("text") or "") + (piece.get("text") or "")
            last["signature"] = piece.get("signature") or last.get("signature")
        else:
            details.append(dict(piece))
    for call in delta.get("tool_calls") or []:
        calls = message.setdefault("tool_calls", [])
        while len(calls) <= call["index"]:
            calls.append({"type": "function", "function": {"name": "", "arguments": ""}})
        known = calls[call["index"]]
        known["id"] = call.get("id") or known.get("id")
        function = call.get("function") or {}
        known["function"]["name"] += function.get("name") or ""
        known["function"]["arguments"] += function.get("arguments") or ""


CALLERS = (ChatCaller(), ResponsesCaller(), MessagesCaller())
