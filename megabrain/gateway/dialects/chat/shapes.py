"""Bodies at /v1/chat/completions that are not Chat Completions, or not such as every host knows.

Cursor posts there whatever it would post elsewhere: Responses' `input` and flat tools for names
like gpt, Anthropic's `input_schema` and content blocks for names like claude (clients.md § 7.9).
Callers are understood by the shape of what they send, and answered in Chat all the same.
"""

import msgspec

from byok.providers.base import Fields

_FOREIGN_PARTS = {
    "tool_use",
    "tool_result",
    "redacted_thinking",
    "image",
    "document",
    "input_text",
    "input_image",
    "input_file",
    "output_text",
}
_NULL = msgspec.Raw(b"null")


class _Part(msgspec.Struct):
    type: object = None
    thinking: msgspec.Raw = msgspec.Raw(b"")


class _Message(msgspec.Struct):
    # Texts are skipped over, which takes a fifth of the time that reading them would.
    content: msgspec.Raw = msgspec.Raw(b"")


class _Tool(msgspec.Struct):
    type: object = None
    function: msgspec.Raw = msgspec.Raw(b"")
    custom: msgspec.Raw = msgspec.Raw(b"")
    input_schema: msgspec.Raw = msgspec.Raw(b"")


_MESSAGES = msgspec.json.Decoder(list[_Message])
_PARTS = msgspec.json.Decoder(list[_Part | str | None])
_TOOLS = msgspec.json.Decoder(list[_Tool])


def is_responses(fields: Fields) -> bool:
    """Whether the body is one of Responses: it has input instead of messages."""
    return not _given(fields, "messages") and _given(fields, "input")


def is_chat(fields: Fields, *, custom_tools: bool) -> bool:
    """Whether a host of Chat Completions understands the body as it is.

    `custom_tools` says that it knows OpenAI's newer tools. What is no sound body at all is left to
    the host, which has better words for it.
    """
    if is_responses(fields) or _given(fields, "system"):
        return False
    tools = _tools(fields)
    if not custom_tools and _asks_for_newer_tools(fields, tools):
        return False
    return not any(map(_is_foreign_tool, tools)) and not _has_foreign_parts(fields)


def _given(fields: Fields, name: str) -> bool:
    return fields.get(name, _NULL) != _NULL


def _asks_for_newer_tools(fields: Fields, tools: list[_Tool]) -> bool:
    choice = bytes(fields.get("tool_choice", b""))
    named = b'"allowed_tools"' in choice or b'"custom"' in choice
    return named or any(tool.type == "custom" for tool in tools)


def _is_foreign_tool(tool: _Tool) -> bool:
    if tool.type == "custom":
        return not bytes(tool.custom)
    if tool.type in ("function", None):
        return not bytes(tool.function)
    return bool(bytes(tool.input_schema))


def _tools(fields: Fields) -> list[_Tool]:
    if "tools" not in fields:
        return []
    try:
        return _TOOLS.decode(fields["tools"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _has_foreign_parts(fields: Fields) -> bool:
    try:
        messages = _MESSAGES.decode(fields.get("messages", b"[]"))
        return any(
            _is_foreign_part(part)
            for message in messages
            if bytes(memoryview(message.content)[:1]) == b"["
            for part in _PARTS.decode(message.content)
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _is_foreign_part(part: _Part | str | None) -> bool:
    if not isinstance(part, _Part):
        return False
    # Mistral's own thinking is a list.
    anthropic = part.type == "thinking" and bytes(part.thinking).startswith(b'"')
    return anthropic or (isinstance(part.type, str) and part.type in _FOREIGN_PARTS)
