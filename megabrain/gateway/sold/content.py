"""What is said in a request: text, pictures and documents, which are billed as tokens.

Providers take other things too, and bill them by the second or the page, or fetch something of
which nobody knows beforehand how long it is.
"""

from collections.abc import Sequence

import msgspec

from byok.providers.base import Fields
from megabrain.gateway.dialects.translation import Inexpressible
from megabrain.gateway.sold.reading import begins, given, items, opened, packed, word
from megabrain.gateway.sold.tools import with_own

_PARTS = frozenset(
    """text input_text output_text summary_text reasoning_text reasoning refusal
    image_url image input_image computer_screenshot file input_file document search_result
    thinking redacted_thinking compaction reference
    tool_use tool_result tool_reference server_tool_use mcp_tool_use""".split()  # noqa: SIM905 (one name a line would fill the page)
)
#: What the tools of a provider gave back, when there was somebody to pay for them.
_RESULTS = "_tool_result"
#: A part without a type is a text, or what a command has written.
_UNTYPED = frozenset({"text", "cache_control", "stdout", "stderr", "outcome"})


def with_content(fields: Fields, left_out: list[str]) -> Fields:
    """The fields with all that is said in them, if a balance pays for it. Raises Inexpressible."""
    if given(fields, "messages"):
        messages = [_message(raw) for raw in items(fields["messages"], "messages")]
        fields = {**fields, "messages": packed(messages)}
    if given(fields, "system"):
        fields = {**fields, "system": _content(fields["system"], "system")}
    if given(fields, "input") and not begins(fields["input"], b'"'):
        told = [_item(raw, left_out) for raw in items(fields["input"], "input")]
        fields = {**fields, "input": packed(told)}
    return fields


def _message(raw: msgspec.Raw) -> Fields:
    return _with_parts(opened(raw, "messages"), ("content",), "messages")


def _item(raw: msgspec.Raw, left_out: list[str]) -> Fields:
    """An item of Responses, which may offer tools too, as Codex has it for some models."""
    item = _with_parts(opened(raw, "input"), ("content", "output"), "input")
    return with_own(item, "input", left_out)


def _with_parts(holder: Fields, names: Sequence[str], within: str) -> Fields:
    said = {name: _content(holder[name], within) for name in names if given(holder, name)}
    return {**holder, **said} if said else holder


def _content(raw: msgspec.Raw, within: str) -> msgspec.Raw:
    """A text, a part, or a list of both."""
    if begins(raw, b"["):
        return packed([_content(each, within) for each in items(raw, within)])
    if begins(raw, b'"'):
        return raw
    part = opened(raw, within)
    kind = word(part, "type", within)
    if kind.endswith(_RESULTS) and kind not in _PARTS:
        return packed(part)
    if kind not in _PARTS and (given(part, "type") or not part.keys() <= _UNTYPED):
        raise Inexpressible(
            f"A balance pays for text, pictures and documents, and not for content of the type "
            f"{kind[:40] or 'null'}. Leave it out, or use a provider key of your own.",
            within,
        )
    return packed(_with_parts(part, ("content",), within))
