"""The body of InvokeModel for Claude: that of Messages, less what Bedrock's schema refuses.

Bedrock knows no `model` and no `stream`, since both are in the path; the version and the beta
features, which Anthropic takes as headers, are fields. A field it does not know is refused with
"Extra inputs are not permitted", a beta it does not know with "invalid beta flag". So what only
tunes is left out, and what carries meaning stays, to be refused in Bedrock's own words.
Sources: dialects.md §§ 3 and 9.6, providers.md § 4.10; for the betas LiteLLM's list of headers.
"""

import re
from typing import Any

import msgspec

from byok.providers.base import Inexpressible

Fields = dict[str, msgspec.Raw]

VERSION = "bedrock-2023-05-31"
#: Beta features of Anthropic's that Bedrock has as well.
BETAS = frozenset(
    {
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "context-1m-2025-08-07",
        "dangerous-tool-use-2026-09-03",
        "effort-2025-11-24",
        "fine-grained-tool-streaming-2025-05-14",
        "mid-conversation-output-config-2026-07-01",
        "mid-conversation-tool-changes-2026-07-01",
        "thinking-binding-controls-2026-08-01",
        "thinking-display-updates-2026-08-18",
    }
)

_LEFT_OUT = frozenset(
    """model stream service_tier cache_control context_management compaction diagnostics speed
    inference_geo fallbacks safeguards thread user_profile_id workspace_id betas""".split()  # noqa: SIM905 (one name a line would fill the page)
)
_LEFT_OUT_OF_TOOLS = frozenset(
    {"strict", "defer_loading", "eager_input_streaming", "input_examples", "allowed_callers"}
)
#: Tools that run at Anthropic, and not at Amazon.
_SERVER_TOOLS = ("web_search_", "web_fetch_", "code_execution_", "tool_search_tool_", "advisor_")

#: Where a picture or a document may be that is not in the body. Inside a string the quotation marks
#: would have backslashes.
_ELSEWHERE = re.compile(rb'"type"\s*:\s*"(?:url|file)"')

_ENCODER = msgspec.json.Encoder()
# Any: bodies hold whatever JSON the caller wrote.
_LIST = msgspec.json.Decoder(list[Any])
_FIELDS = msgspec.json.Decoder(Fields)


def fitted(fields: Fields, max_output: int | None) -> Fields:
    """The fields of a body of Messages, as InvokeModel takes them. Raises Inexpressible."""
    kept = {name: value for name, value in fields.items() if name not in _LEFT_OUT}
    kept["anthropic_version"] = _raw(VERSION)
    for name, fit in (("tools", _tools), ("system", _content), ("messages", _messages)):
        if name in kept:
            kept[name] = fit(kept[name])
    if max_output is not None and "max_tokens" in kept:
        _limit(kept, max_output)
    return with_betas(kept, ())


def with_header(body: bytes, header: str) -> bytes:
    """The body with the beta features that the caller's header asks for."""
    asked = [flag.strip() for flag in header.split(",")]
    if BETAS.isdisjoint(asked):
        return body
    return _ENCODER.encode(with_betas(_FIELDS.decode(body), asked))


def with_betas(fields: Fields, asked: tuple[str, ...] | list[str]) -> Fields:
    """The fields with these beta features beside those they have, as far as Bedrock has them."""
    before = _decoded(_LIST, fields.get("anthropic_beta")) or []
    # As the keys of a dict: each once, in their order.
    flags = list(dict.fromkeys(flag for flag in (*before, *asked) if _known(flag)))
    kept = {name: value for name, value in fields.items() if name != "anthropic_beta"}
    if flags:
        kept["anthropic_beta"] = _raw(flags)
    return kept


def _known(flag: object) -> bool:
    return isinstance(flag, str) and flag in BETAS


def _tools(raw: msgspec.Raw) -> msgspec.Raw:
    """Tools as plain definitions; if none but Anthropic's own are left, all stay to be refused."""
    tools = _decoded(_LIST, raw)
    if not isinstance(tools, list):
        return raw
    ours = [
        {name: value for name, value in tool.items() if name not in _LEFT_OUT_OF_TOOLS}
        for tool in tools
        if isinstance(tool, dict) and not str(tool.get("type") or "").startswith(_SERVER_TOOLS)
    ]
    if tools and not ours:
        return raw
    for tool in ours:
        _unscope(tool)
    return raw if ours == tools else _raw(ours)


def _content(raw: msgspec.Raw) -> msgspec.Raw:
    """Blocks without the scopes of cache marks."""
    if b'"scope"' not in bytes(raw):
        return raw
    blocks = _decoded(_LIST, raw)
    return _raw(_blocks(blocks)) if isinstance(blocks, list) else raw


def _messages(raw: msgspec.Raw) -> msgspec.Raw:
    text = bytes(raw)
    known = b'"scope"' not in text and b'"tool_reference"' not in text
    if known and not _ELSEWHERE.search(text):
        return raw
    messages = _decoded(_LIST, raw)
    if not isinstance(messages, list):
        return raw
    for message in messages:
        if isinstance(message, dict) and isinstance(message.get("content"), list):
            message["content"] = _blocks(message["content"])
    return _raw(messages)


# Any: blocks are whatever JSON the caller wrote.
def _blocks(blocks: list[Any]) -> list[Any]:
    out = []
    for block in blocks:
        if isinstance(block, dict):
            _unscope(block)
            _refuse_elsewhere(block.get("source"))
            if block.get("type") == "tool_reference":
                # The tool is offered from the beginning, as none is loaded later here.
                block = {"type": "text", "text": f"Tool found: {block.get('tool_name', '')}"}
            elif isinstance(block.get("content"), list):
                block["content"] = _blocks(block["content"])
        out.append(block)
    return out


def _refuse_elsewhere(source: Any) -> None:
    if isinstance(source, dict) and source.get("type") in ("url", "file"):
        raise Inexpressible(
            "Bedrock fetches no pictures and documents: send this one as base64 data instead.",
            "messages",
        )


def _unscope(block: dict[str, Any]) -> None:
    mark = block.get("cache_control")
    if isinstance(mark, dict):
        mark.pop("scope", None)


def _limit(fields: Fields, most: int) -> None:
    wanted = _decoded(msgspec.json.Decoder(), fields["max_tokens"])
    if isinstance(wanted, int) and wanted > most:
        fields["max_tokens"] = _raw(most)


# Any: as above.
def _decoded(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw | None) -> Any:
    """The value, or None for one of another type, which Bedrock may complain of itself."""
    if raw is None:
        return None
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError:
        return None


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(_ENCODER.encode(value))
