"""What generateContent refuses, in its words."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from megabrain.simulator.refusals import Refused, bad_request
from megabrain.simulator.turn import Json, Model

_FIELDS = frozenset(
    {
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        "safetySettings",
        "generationConfig",
        "cachedContent",
        "serviceTier",
        "store",
    }
)
_CONFIG = frozenset(
    """stopSequences responseMimeType responseSchema responseJsonSchema responseModalities
    candidateCount maxOutputTokens temperature topP topK seed presencePenalty frequencyPenalty
    responseLogprobs logprobs enableEnhancedCivicAnswers speechConfig thinkingConfig imageConfig
    mediaResolution""".split()  # noqa: SIM905 (one name a line would fill the page)
)
_DATA = frozenset({"text", "inlineData", "functionCall", "functionResponse", "fileData"})
_PART = _DATA | {"thought", "thoughtSignature", "partMetadata", "videoMetadata", "mediaResolution"}
_DECLARATION = frozenset(
    {
        "name",
        "description",
        "behavior",
        "parameters",
        "parametersJsonSchema",
        "response",
        "responseJsonSchema",
    }
)
#: Keys of JSON Schema that the older field for schemas does not know.
_NOT_OF_SCHEMAS = ("$schema", "$ref", "$defs", "const", "additionalProperties", "oneOf", "allOf")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_MIME = re.compile(
    r"(image/(png|jpeg|webp|heic|heif|gif)|application/pdf|text/.+|audio/.+|video/.+)"
)
_DUMMIES = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
_MOST_STOPS = 5
_FINISH_ANSWERS = ("gemini-2", "gemini-3.1-")
_URL_SAFE = str.maketrans("+/", "-_")
_UNDERSCORE = re.compile(r"_([a-z])")
#: Whose values are the caller's own JSON.
_OPAQUE = ("args", "response", "parameters", "parametersJsonSchema", "responseJsonSchema")


def in_camel_case(body: Any) -> Any:
    """A body with its fields in camelCase: both spellings are taken, and the SDK mixes them."""
    if isinstance(body, list):
        return [in_camel_case(item) for item in body]
    if not isinstance(body, dict):
        return body
    named = {_UNDERSCORE.sub(lambda at: at[1].upper(), name): body[name] for name in body}
    return {
        name: value if name in _OPAQUE else in_camel_case(value) for name, value in named.items()
    }


def signs(model: Model) -> bool:
    """Whether the model signs its function calls, and wants that back."""
    return not model.id.startswith("gemini-2")


def counted(body: Json, model: Model) -> Json:
    """The request inside a countTokens, which may also give its contents alone."""
    inner = body.get("generateContentRequest")
    if inner is None:
        return {"contents": body.get("contents")}
    if "contents" in body:
        raise bad_request("contents and generateContentRequest are mutually exclusive.")
    if inner.get("model") != f"models/{model.id}":
        raise bad_request("* CountTokensRequest.model: models do not match\n")
    return {name: value for name, value in inner.items() if name != "model"}


def check_fields(body: Json) -> None:
    _known(body, _FIELDS, "")
    config = body.get("generationConfig") or {}
    _known(config, _CONFIG, "generation_config")
    thinking = config.get("thinkingConfig") or {}
    known = frozenset({"includeThoughts", "thinkingBudget", "thinkingLevel"})
    _known(thinking, known, "generation_config.thinking_config")
    for part in (body.get("systemInstruction") or {}).get("parts") or []:
        _check_part(part, "system_instruction.parts[0]")


def check_contents(contents: list[Any]) -> None:
    if not contents:
        raise bad_request("* GenerateContentRequest.contents: contents is not specified\n")
    called: list[Json] = []
    previous = ""
    for number, content in enumerate(contents):
        where = f"contents[{number}]"
        _known(content, frozenset({"role", "parts"}), where)
        role = content.get("role", "user")
        if role not in {"user", "model"}:
            raise bad_request("Please use a valid role: user, model.")
        parts = content.get("parts") or []
        if not parts:
            raise bad_request(
                f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty.\n"
            )
        for at, part in enumerate(parts):
            _check_part(part, f"{where}.parts[{at}]")
        answered = [part["functionResponse"] for part in parts if "functionResponse" in part]
        if answered and not called:
            raise bad_request(
                "Please ensure that function response turn comes immediately after a function "
                "call turn."
            )
        _check_pairs(called, answered)
        called = [part["functionCall"] for part in parts if "functionCall" in part]
        if called and (role != "model" or previous != "user"):
            raise bad_request(
                "Please ensure that function call turn comes immediately after a user turn or "
                "after a function response turn."
            )
        previous = role
    if called:
        _check_pairs(called, [])


def check_end(contents: list[Any], model: Model) -> None:
    """The later models do not finish an answer that the caller has begun."""
    if contents[-1].get("role") == "model" and not model.id.startswith(_FINISH_ANSWERS):
        raise bad_request("Requests ending with a model turn are not supported.")


def check_signatures(contents: list[Any], signed: Callable[[str, Json], str]) -> None:
    """Each step since the user last wrote must begin with a signed call."""
    asked = max(
        (
            at
            for at, content in enumerate(contents)
            if content.get("role") != "model"
            and not any("functionResponse" in part for part in content["parts"])
        ),
        default=0,
    )
    for at, content in enumerate(contents):
        for number, part in enumerate(part for part in content["parts"] if "functionCall" in part):
            call, given = part["functionCall"], part.get("thoughtSignature")
            if given is None and number == 0 and at > asked:
                raise bad_request(
                    "Function call is missing a thought_signature in functionCall parts. This is "
                    "required for tools to work correctly, and missing thought_signature may lead "
                    "to degraded model performance. Additional data, function call "
                    f"`default_api:{call['name']}` , position {at + 1}."
                )
            right = signed(call["name"], call.get("args") or {})
            # Bytes in JSON may be in either alphabet of base64.
            if given not in (None, *_DUMMIES, right, right.translate(_URL_SAFE)):
                raise bad_request("Corrupted thought signature.")


def check_tools(body: Json) -> None:
    names: set[str] = set()
    for at, declared in enumerate(declarations(body)):
        where = f"tools[0].function_declarations[{at}]"
        _known(declared, _DECLARATION, where)
        _check_name(declared.get("name"), where)
        if declared["name"] in names:
            raise bad_request(f"Duplicate function declaration found: {declared['name']}")
        names.add(declared["name"])
        if "parameters" in declared and "parametersJsonSchema" in declared:
            raise bad_request(
                f"* {where}: parameters and parameters_json_schema are mutually exclusive\n"
            )
        _check_old_schema(declared.get("parameters"), f"{where}.parameters")
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if calling and not names:
        raise bad_request("Function calling config is set without function_declarations.")
    mode, allowed = calling.get("mode", "AUTO"), calling.get("allowedFunctionNames") or []
    if mode not in {"AUTO", "ANY", "NONE", "VALIDATED"}:
        raise _invalid_value("tool_config.function_calling_config.mode", mode)
    if allowed and mode not in {"ANY", "VALIDATED"}:
        raise bad_request(
            "Allowed function names should be set only when the function calling mode is ANY."
        )
    if unknown := [name for name in allowed if name not in names]:
        raise bad_request(f"Allowed function name {unknown[0]} is not declared.")


def check_config(body: Json, model: Model) -> None:
    config = body.get("generationConfig") or {}
    limit = config.get("maxOutputTokens")
    if limit is not None and not 1 <= limit <= model.output:
        raise bad_request(
            f"Unable to submit request because it has a maxOutputTokens value of {limit} but the "
            f"supported range is from 1 (inclusive) to {model.output + 1} (exclusive)."
        )
    for name, most in (("temperature", 2), ("topP", 1)):
        if not 0 <= config.get(name, 0) <= most:
            raise bad_request(
                f"* GenerateContentRequest.generation_config.{name}: must be in the range "
                f"[0.0, {most}.0].\n"
            )
    stops = config.get("stopSequences") or []
    if len(stops) > _MOST_STOPS or not all(stops):
        raise bad_request(
            "* GenerateContentRequest.generation_config.stop_sequences: at most "
            f"{_MOST_STOPS} sequences that are not empty\n"
        )
    mime = config.get("responseMimeType", "text/plain")
    schema = "responseJsonSchema" in config or "responseSchema" in config
    if schema and mime != "application/json":
        raise bad_request(
            "Response schema is only supported with response mime type 'application/json'."
        )
    if mime == "application/json" and declarations(body) and not signs(model):
        raise bad_request(
            "Function calling with a response mime type: 'application/json' is unsupported"
        )
    _check_old_schema(config.get("responseSchema"), "generation_config.response_schema")


def declarations(body: Json) -> list[Json]:
    return [
        declared
        for tool in body.get("tools") or []
        for declared in tool.get("functionDeclarations") or []
    ]


def schema_of(declared: Json) -> Json:
    schema: Json = declared.get("parametersJsonSchema") or declared.get("parameters") or {}
    return schema


def _check_pairs(called: list[Json], answered: list[Json]) -> None:
    """The results of a turn are those of its calls, by id where the calls have ids."""
    by_id = all("id" in call for call in called)

    def which(call: Json) -> tuple[str, str]:
        return call["name"], call.get("id", "") if by_id else ""

    if sorted(map(which, called)) != sorted(map(which, answered)):
        raise bad_request(
            "Please ensure that the number of function response parts is equal to the number of "
            "function call parts of the function call turn."
        )


def _check_part(part: Json, where: str) -> None:
    _known(part, _PART, where)
    kinds = [name for name in _DATA if name in part]
    signed_end = "thoughtSignature" in part and part.get("text") == ""
    if len(kinds) != 1 or (kinds == ["text"] and not part["text"] and not signed_end):
        raise bad_request(
            f"* GenerateContentRequest.{where}.data: required oneof field 'data' must have one "
            "initialized field\n"
        )
    match kinds[0]:
        case "inlineData":
            _check_data(part["inlineData"], where)
        case "fileData":
            uri = part["fileData"].get("fileUri", "")
            if not uri.startswith("https://"):
                raise bad_request(f"Invalid or unsupported file uri: {uri}")
        case "functionCall":
            call = part["functionCall"]
            _known(call, frozenset({"id", "name", "args"}), f"{where}.function_call")
            _check_name(call.get("name"), f"{where}.function_call")
            if not isinstance(call.get("args", {}), dict):
                raise _invalid_value(f"{where}.function_call.args", call["args"])
        case "functionResponse":
            _check_response(part["functionResponse"], f"{where}.function_response")


def _check_response(response: Json, where: str) -> None:
    known = frozenset({"id", "name", "response", "parts", "willContinue", "scheduling"})
    _known(response, known, where)
    _check_name(response.get("name"), where)
    if not isinstance(response.get("response"), dict):
        raise _invalid_value(f"{where}.response", response.get("response"))
    for part in response.get("parts") or []:
        _check_data(part["inlineData"], where)


def _check_data(blob: Json, where: str) -> None:
    _known(blob, frozenset({"mimeType", "data", "displayName"}), f"{where}.inline_data")
    if not _MIME.fullmatch(blob.get("mimeType", "")):
        raise bad_request(f"Unsupported MIME type: {blob.get('mimeType', '')}")
    try:
        base64.b64decode(blob["data"], validate=True)
    except (binascii.Error, ValueError):
        raise _invalid_value(f"{where}.inline_data.data", "…") from None


def _check_name(name: object, where: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise bad_request(
            f"* GenerateContentRequest.{where}.name: Invalid function name. Must start with a "
            "letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), underscores (_), dots "
            "(.), colons (:), or dashes (-), with a maximum length of 128.\n"
        )


def _check_old_schema(schema: Any, where: str) -> None:
    if not isinstance(schema, dict):
        return
    for name in _NOT_OF_SCHEMAS:
        if name in schema:
            raise _unknown(name, where)
    for name, inner in (schema.get("properties") or {}).items():
        _check_old_schema(inner, f"{where}.properties[{name}]")
    _check_old_schema(schema.get("items"), f"{where}.items")


def _known(holder: Json, names: frozenset[str], where: str) -> None:
    for name in holder:
        if name not in names:
            raise _unknown(name, where)


def _unknown(name: str, where: str) -> Refused:
    place = f" at '{where}'" if where else ""
    return bad_request(
        f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.'
    )


def _invalid_value(where: str, value: object) -> Refused:
    return bad_request(f"Invalid value at '{where}': {value}")
