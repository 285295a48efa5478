"""What Converse refuses, in Bedrock's words."""

import base64
import binascii
import re
from typing import Any

from megabrain.simulator.dialects.messages_rules import signature
from megabrain.simulator.dialects.sse import decode
from megabrain.simulator.provider import Provider
from megabrain.simulator.refusals import Refused, bad_request
from megabrain.simulator.turn import Json, Model, Rule

_FIELDS = frozenset(
    """messages system inferenceConfig toolConfig guardrailConfig additionalModelRequestFields
    promptVariables additionalModelResponseFieldPaths requestMetadata performanceConfig serviceTier
    outputConfig""".split()  # noqa: SIM905 (one name a line would fill the page)
)
_CONFIG = frozenset({"maxTokens", "temperature", "topP", "stopSequences"})
_BLOCKS = frozenset(
    """text image document toolUse toolResult reasoningContent cachePoint guardContent video audio
    citationsContent searchResult""".split()  # noqa: SIM905 (as above)
)
_RESULT_PARTS = frozenset({"text", "json", "image", "document"})
_TOOL_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_NINE = re.compile(r"[a-zA-Z0-9]{9}")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DOCUMENT_NAME = re.compile(r"(?!.*\s{2})[A-Za-z0-9 ()\[\]-]{1,200}")
_FORMATS = {
    "image": {"png", "jpeg", "gif", "webp"},
    "document": {"pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"},
}
#: Which further fields each family takes.
_MORE = {
    "anthropic.": {"thinking", "output_config", "top_k", "anthropic_beta", "tool_choice"},
    "openai.gpt-oss": {"reasoning_effort"},
    "openai.": {"reasoning"},
    "amazon.nova-2": {"reasoningConfig"},
}
_ENDS_WITH_ASSISTANT = ("amazon.nova",)
_CACHES = ("anthropic.", "amazon.nova")


def signs(model: Model) -> bool:
    """Whether its reasoning is signed."""
    return "anthropic." in model.id


def takes_nine(model: Model) -> bool:
    """Whether its ids of calls have nine characters."""
    return "mistral." in model.id


def counted(body: Json) -> Json:
    """The request in one to count its tokens."""
    wanted = body.get("input")
    if not isinstance(wanted, dict) or len(wanted) != 1:
        raise bad_request("The input field must hold one of converse and invokeModel.")
    if "converse" in wanted:
        return dict(wanted["converse"])
    inner = decode(base64.b64decode(wanted["invokeModel"]["body"]))
    text = [{"text": str(inner.get("messages"))}]
    return {"messages": [{"role": "user", "content": text}]}


def check(body: Json, model: Model, provider: Provider) -> None:
    if unknown := body.keys() - _FIELDS:
        raise bad_request(f"The request holds a field that is not known: {min(unknown)}.")
    for at, block in enumerate(body.get("system") or []):
        if "text" in block:
            _check_text(f"system.{at}", block["text"])
        _check_cache(block, model)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise bad_request("The messages field is required and must not be empty.")
    names: set[str] = set()
    has_tools = False
    for number, message in enumerate(messages):
        has_tools |= _check_message(number, message, messages, model, provider, names)
    if messages[-1]["role"] == "assistant" and not any(
        part in model.id for part in _ENDS_WITH_ASSISTANT
    ):
        raise bad_request("This model does not support assistant message prefill.")
    if has_tools and "toolConfig" not in body:
        raise bad_request(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        )
    if "toolConfig" in body:
        _check_tools(body["toolConfig"], model)
    _check_config(body.get("inferenceConfig") or {}, model, body)
    _check_more(body.get("additionalModelRequestFields") or {}, model)
    if (wanted := body.get("outputConfig")) is not None:
        _check_format(wanted, model)


def _check_message(
    number: int,
    message: Json,
    messages: list[Json],
    model: Model,
    provider: Provider,
    names: set[str],
) -> bool:
    """Whether the message calls tools or answers calls."""
    role, content = message.get("role"), message.get("content")
    if role != ("user", "assistant")[number % 2]:
        raise bad_request(
            "A conversation must start with a user message."
            if number == 0
            else "A conversation must alternate between user and assistant roles. Make sure the "
            "conversation alternates between user and assistant roles and try again."
        )
    if not isinstance(content, list) or not content:
        raise bad_request(
            f"The content field in the Message object at messages.{number} is empty. Add a "
            "ContentBlock object to the content field and try again."
        )
    for at, block in enumerate(content):
        _check_block(f"messages.{number}.content.{at}", block, model, provider, names)
    kinds = [next(iter(block)) for block in content]
    if "document" in kinds and "text" not in kinds:
        raise bad_request("A document must come with a text block in the same message.")
    before = messages[number - 1]["content"] if number else []
    called = {block["toolUse"]["toolUseId"] for block in before if "toolUse" in block}
    answered = [block["toolResult"]["toolUseId"] for block in content if "toolResult" in block]
    if called - set(answered):
        raise bad_request(
            f"Expected toolResult blocks at messages.{number}.content for the following Ids: "
            f"{', '.join(sorted(called - set(answered)))}"
        )
    if set(answered) - called or len(answered) > len(called):
        raise bad_request(
            f"The number of toolResult blocks at messages.{number}.content exceeds the number of "
            "toolUse blocks of previous turn."
        )
    if role == "assistant" and "toolUse" in kinds and number == len(messages) - 1:
        raise bad_request("The model returned a tool call that has not been answered.")
    return "toolUse" in kinds or "toolResult" in kinds


def _check_block(where: str, block: Any, model: Model, provider: Provider, names: set[str]) -> None:
    if not isinstance(block, dict) or len(block) != 1 or not block.keys() <= _BLOCKS:
        raise bad_request(f"The ContentBlock object at {where} must set one of the known keys.")
    [(kind, value)] = block.items()
    match kind:
        case "text":
            _check_text(where, value)
        case "image" | "document":
            _check_file(where, kind, value, names)
        case "toolUse":
            _check_id(where, value, model)
            if not _TOOL_NAME.fullmatch(value["name"]) or not isinstance(value["input"], dict):
                raise bad_request(f"The toolUse at {where} has no valid name and input.")
        case "toolResult":
            _check_result(where, value, model, names)
        case "reasoningContent":
            _check_thought(where, value, provider)
        case "cachePoint":
            _check_cache(block, model)


def _check_text(where: str, text: Any) -> None:
    if not isinstance(text, str) or not text.strip():
        raise bad_request(
            f"The text field in the ContentBlock object at {where} is blank. Add text to the text "
            "field, and try again."
        )


def _check_file(where: str, kind: str, value: Json, names: set[str]) -> None:
    if value.get("format") not in _FORMATS[kind]:
        raise bad_request(f"The {kind} at {where} has a format that is not supported.")
    try:
        base64.b64decode(value["source"]["bytes"], validate=True)
    except (binascii.Error, TypeError):
        raise bad_request(f"The {kind} at {where} has no valid bytes.") from None
    if kind == "document":
        name = value.get("name", "")
        if not _DOCUMENT_NAME.fullmatch(name) or name in names:
            raise bad_request(
                "The document file name can only contain alphanumeric characters, whitespace "
                "characters, hyphens, parentheses, and square brackets, and no more than one "
                "consecutive whitespace character; and each only once."
            )
        names.add(name)


def _check_id(where: str, value: Json, model: Model) -> None:
    shape = _NINE if takes_nine(model) else _TOOL_ID
    if not shape.fullmatch(value["toolUseId"]):
        raise bad_request(f"The toolUseId at {where} must match {shape.pattern}.")


def _check_result(where: str, value: Json, model: Model, names: set[str]) -> None:
    _check_id(where, value, model)
    content = value["content"]
    if not isinstance(content, list) or not content:
        raise bad_request(f"The content of the toolResult at {where} must be a list.")
    for part in content:
        if len(part) != 1 or not part.keys() <= _RESULT_PARTS:
            raise bad_request(f"The toolResult at {where} holds a part that is not known.")
        [(kind, inner)] = part.items()
        if kind == "text":
            _check_text(where, inner)
        elif kind == "json" and not isinstance(inner, dict):
            raise bad_request(f"The json of the toolResult at {where} must be an object.")
        elif kind in _FORMATS:
            _check_file(where, kind, inner, names)
    if "status" in value and not any(part in model.id for part in _CACHES):
        raise bad_request("This model doesn't support the status field in toolResult.")


def _check_thought(where: str, value: Json, provider: Provider) -> None:
    said = value.get("reasoningText")
    if said is not None and said.get("signature") != signature(said["text"], provider):
        raise bad_request(f"{where}: Invalid `signature` in `thinking` block")


def _check_cache(block: Json, model: Model) -> None:
    if "cachePoint" in block and not any(part in model.id for part in _CACHES):
        raise bad_request(
            "You invoked an unsupported model or your request did not allow prompt caching."
        )


def _check_tools(config: Json, model: Model) -> None:
    tools = config.get("tools")
    if not isinstance(tools, list) or not tools:
        raise bad_request("The tools field of toolConfig must hold at least one tool.")
    for at, tool in enumerate(tools):
        _check_cache(tool, model)
        if "toolSpec" not in tool:
            if "cachePoint" in tool and "amazon." in model.id:
                raise bad_request("This model doesn't support cache points in tools.")
            continue
        spec = tool["toolSpec"]
        if not _TOOL_NAME.fullmatch(spec["name"]) or spec.get("description") == "":
            raise bad_request(f"The toolSpec at toolConfig.tools.{at} has no valid name.")
        schema = spec["inputSchema"]["json"]
        if not isinstance(schema, dict) or schema.get("type") != "object" or "$schema" in schema:
            raise bad_request(
                f"The value at toolConfig.tools.{at}.toolSpec.inputSchema.json.type must be one "
                "of the following: object."
            )
        if "strict" in spec:
            raise bad_request(f"toolConfig.tools.{at}.strict: Extra inputs are not permitted")
    choice = config.get("toolChoice")
    if choice is not None and not (len(choice) == 1 and choice.keys() <= {"auto", "any", "tool"}):
        raise bad_request("The toolChoice must set one of auto, any and tool.")


def _check_config(config: Json, model: Model, body: Json) -> None:
    if unknown := config.keys() - _CONFIG:
        raise bad_request(f"inferenceConfig has no field {min(unknown)}.")
    limit = config.get("maxTokens", 1)
    if not isinstance(limit, int) or limit < 1:
        raise bad_request("maxTokens must be at least 1.")
    if limit > model.output:
        raise bad_request(
            f"The maximum tokens you requested exceeds the model limit of {model.output}. Try "
            "again with a maximum tokens value that is lower."
        )
    for name in ("temperature", "topP"):
        if not 0 <= config.get(name, 0) <= 1:
            raise bad_request(f"{name} must be between 0 and 1.")
        if name in config and Rule.SAMPLING in model.refuses:
            raise bad_request(f"This model doesn't support the {name} field. Remove it.")
    if "stopSequences" in config and "openai." in model.id:
        raise bad_request("This model doesn't support the stopSequences field. Remove it.")
    thinking = (body.get("additionalModelRequestFields") or {}).get("reasoningConfig") or {}
    if thinking.get("maxReasoningEffort") == "high" and config.keys() - {"stopSequences"}:
        raise bad_request("maxTokens, temperature and topP must be unset with high effort.")


def _check_more(more: Json, model: Model) -> None:
    taken = next((fields for part, fields in _MORE.items() if part in model.id), set[str]())
    if unknown := more.keys() - taken:
        raise _malformed(f"#: extraneous key [{min(unknown)}] is not permitted")
    effort = more.get("reasoning_effort") or (more.get("reasoning") or {}).get("effort")
    low_to_high = {"low", "medium", "high"}
    if effort is not None and effort not in (
        low_to_high if "gpt-oss" in model.id else low_to_high | {"xhigh", "max"}
    ):
        raise _malformed(f"#/reasoning_effort: {effort} is not a valid enum value")


def _malformed(why: str) -> Refused:
    return bad_request(f"Malformed input request: {why}, please reformat your input and try again.")


def _check_format(wanted: Json, model: Model) -> None:
    if any(part in model.id for part in _CACHES):
        raise bad_request("This model doesn't support the outputConfig field. Remove it.")
    made = wanted["textFormat"]
    schema = made["structure"]["jsonSchema"]["schema"]
    if made["type"] != "json_schema" or not isinstance(schema, str):
        raise bad_request("The outputConfig.textFormat is not valid.")
    decode(schema)
