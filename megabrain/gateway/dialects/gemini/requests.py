"""The bodies of generateContent and countTokens.

Schemas go into the fields for JSON Schema; the older ones take a small part of it alone.
Sources: ai.google.dev/gemini-api/docs (function-calling, structured-output, tokens) and
github.com/googleapis/python-genai, as of November 2026.
"""

import msgspec

from megabrain.gateway.dialects import schemas
from megabrain.gateway.dialects.base import decoded
from megabrain.gateway.dialects.gemini.contents import contents, function_name
from megabrain.gateway.dialects.gemini.thinking import generation, thinking_config
from megabrain.gateway.dialects.neutral import Choice, Format, Json, Prompt, Tool
from megabrain.gateway.dialects.repairs import filled, without_attribution
from megabrain.gateway.dialects.translation import Inexpressible, Target
from megabrain.gateway.metering import count

MOST_STOPS = 5
_HOTTEST = 2.0
#: Before these, a model that is given tools cannot be held to JSON.
_JSON_BESIDE_TOOLS = (3, 0)
#: What only tunes and has no equal here.
_NO_EQUAL = ("verbosity", "user", "service_tier")


def request(prompt: Prompt, target: Target) -> Json:
    """The body of a generateContent. Raises Inexpressible."""
    system = [block.text for block in filled(without_attribution(prompt.system))]
    config = _generation_config(prompt, target)
    if prompt.format is not None:
        if prompt.tools and generation(target.upstream_model) < _JSON_BESIDE_TOOLS:
            system.append(_instruction(prompt.format))
        else:
            config.update(_format(prompt.format))
    body: Json = {"contents": contents(prompt, target)}
    if system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in system]}
    if prompt.tools:
        body["tools"] = [{"functionDeclarations": [_declared(tool) for tool in prompt.tools]}]
        if calling := _calling(prompt.choice):
            body["toolConfig"] = {"functionCallingConfig": calling}
        if prompt.parallel is False:
            prompt.dropped.append("parallel_tool_calls")
    if config:
        body["generationConfig"] = config
    prompt.dropped += [name for name in _NO_EQUAL if getattr(prompt, name) is not None]
    return body


def count_request(prompt: Prompt, target: Target) -> Json:
    """The body of a countTokens that counts all a request would send, tools and system included.
    Raises Inexpressible."""
    whole = {"model": f"models/{target.upstream_model}", **request(prompt, target)}
    return {"generateContentRequest": whole}


def counted(body: bytes) -> int | None:
    """What a countTokens answers, or None when its body is something else."""
    answer = decoded(body)
    if answer is None or not isinstance(answer.get("totalTokens"), int):
        return None
    return count(answer, "totalTokens")


def _generation_config(prompt: Prompt, target: Target) -> Json:
    config: Json = {}
    limits = [limit for limit in (prompt.max_output, target.max_output) if limit is not None]
    if prompt.max_output is not None:
        config["maxOutputTokens"] = min(limits)
    if prompt.temperature is not None:
        config["temperature"] = min(max(prompt.temperature, 0.0), _HOTTEST)
    if prompt.top_p is not None:
        config["topP"] = prompt.top_p
    if prompt.top_k is not None:
        config["topK"] = prompt.top_k
    if stops := [stop for stop in prompt.stop if stop]:
        if len(stops) > MOST_STOPS:
            raise Inexpressible(f"Gemini takes at most {MOST_STOPS} stop sequences.", "stop")
        config["stopSequences"] = stops
    if (thinking := thinking_config(prompt, target)) is not None:
        config["thinkingConfig"] = thinking
    elif prompt.effort is not None or prompt.thinking_budget is not None:
        prompt.dropped.append("reasoning")
    return config


def _declared(tool: Tool) -> Json:
    declared: Json = {"name": function_name(tool.name)}
    if tool.description:
        declared["description"] = tool.description
    declared["parametersJsonSchema"] = schemas.of_parameters(_schema(tool.parameters))
    return declared


def _calling(choice: Choice) -> Json | None:
    match choice.kind:
        case "none":
            return {"mode": "NONE"}
        case "required":
            return {"mode": "ANY"}
        case "tool":
            return {"mode": "ANY", "allowedFunctionNames": [function_name(choice.name)]}
    return None


def _format(wanted: Format) -> Json:
    json: Json = {"responseMimeType": "application/json"}
    if wanted.schema is not None:
        json["responseJsonSchema"] = _schema(wanted.schema)
    return json


def _instruction(wanted: Format) -> str:
    if wanted.schema is None:
        return "When you answer, answer with one JSON object and nothing else."
    schema = msgspec.json.encode(_schema(wanted.schema)).decode()
    return (
        "When you answer, answer with JSON that fits this JSON schema, and nothing else, not even "
        f"a code fence: {schema}"
    )


def _schema(schema: Json) -> Json:
    return {name: value for name, value in schema.items() if name != "$schema"}
