"""The items of a request's input as a conversation.

Sources: dialects.md §§ 4, 5, 9.3 and 9.4, clients.md § 7.2, and the types of openai-python 3.54.
Items and parts that are not known are left out, as those are that only tell what OpenAI's own tools
did. What stands for something that only OpenAI keeps is refused.
"""

from typing import Any
from uuid import UUID

import msgspec

from megabrain.gateway import envelope
from megabrain.gateway.dialects.neutral import (
    Block,
    Cache,
    Document,
    Image,
    Json,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from megabrain.gateway.dialects.responses.tools import SEARCH, ToolBox, found
from megabrain.gateway.dialects.tool_names import id_at
from megabrain.gateway.dialects.translation import Inexpressible

_ENCODER = msgspec.json.Encoder()

SEND_ALL = "set store:false and send full input"
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
#: Calls of tools that run at the caller's and are offered by OpenAI: what they are called with.
_BUILT_IN = {
    "local_shell_call": ("local_shell", "action"),
    "shell_call": ("shell", "action"),
    "apply_patch_call": ("apply_patch", "operation"),
}
_RESULTS = {
    "function_call_output",
    "custom_tool_call_output",
    "local_shell_call_output",
    "shell_call_output",
    "apply_patch_call_output",
}
#: A cache mark says for how long in OpenAI's terms.
_LIFETIMES: dict[str, Cache] = {"12h": "1h"}


# Any: what a caller sends is whatever JSON it likes.


class Conversation:
    """Reads items in their order. `box` has the request's own tools, and gets those that the
    items offer besides."""

    def __init__(self, account_id: UUID, box: ToolBox) -> None:
        self._account_id = account_id
        self._box = box
        self.system: list[Text] = []
        self.turns: list[Turn] = []
        #: Kinds of items that were left out.
        self.dropped: list[str] = []
        #: Ids for calls without one, until their result comes.
        self._unnamed: list[str] = []

    def read(self, items: list[Any]) -> None:
        """Raises Inexpressible."""
        for position, item in enumerate(items):
            if isinstance(item, dict):
                self._item(item, position)

    def _item(self, item: Json, position: int) -> None:
        # Of another type than a string, it is of no kind that is known.
        kind = item.get("type")
        kind = kind if kind is None or isinstance(kind, str) else ""
        if kind in (None, "message") and (role := _ROLES.get(_word(item, "role"))):
            self._message(role, item)
        elif kind == "item_reference" or (kind is None and "id" in item):
            raise Inexpressible(
                f"The input refers to the item {str(item.get('id'))[:80]}, and no items are kept "
                f"here: {SEND_ALL}.",
                "input",
            )
        elif kind == "compaction_trigger":
            raise Inexpressible("Only OpenAI can compact a conversation.", "input")
        elif kind == "reasoning":
            self._reasoning(item)
        elif kind in ("function_call", "custom_tool_call", SEARCH + "_call") or kind in _BUILT_IN:
            self._call(item, position)
        elif kind in _RESULTS or kind == SEARCH + "_output":
            self._result(item)
        elif kind == "additional_tools":
            self._box.add(item.get("tools"))
        else:
            self.dropped.append(f"input.{kind}")

    # Messages --------------------------------------------------------------------------------

    def _message(self, role: str, item: Json) -> None:
        blocks = self._parts(item.get("content"))
        if role == "system":
            texts = [block for block in blocks if isinstance(block, Text)]
            if self.turns:
                self._add("system", texts)
            else:
                self.system += texts
        else:
            self._add(role, blocks)

    def _parts(self, content: object) -> list[Block]:
        if isinstance(content, str):
            return [Text(content)]
        blocks: list[Block] = []
        for part in content if isinstance(content, list) else ():
            if isinstance(part, str):
                blocks.append(Text(part))
            elif isinstance(part, dict) and (block := self._part(part)) is not None:
                blocks.append(block)
        return blocks

    def _part(self, part: Json) -> Block | None:
        kind, cache = part.get("type"), _cache(part)
        if kind == "refusal":
            return Refusal(_word(part, "refusal"))
        if kind in ("input_image", "computer_screenshot"):
            return _image(part, cache)
        if kind == "input_file":
            return _file(part, cache)
        if kind == "input_audio":
            raise Inexpressible("No other dialect takes sound.", "input")
        if isinstance(text := part.get("text"), str):
            return Text(text, cache)
        self.dropped.append(f"input.{kind}")
        return None

    # Reasoning, calls and results ------------------------------------------------------------

    def _reasoning(self, item: Json) -> None:
        sealed = item.get("encrypted_content")
        if not isinstance(sealed, str) or not sealed:
            return  # Nobody takes it back.
        if envelope.is_envelope(sealed):
            reasoning = envelope.unseal(self._account_id, sealed)
        else:
            reasoning = Reasoning(text_of(item), "openai", item)
        if reasoning is not None:
            self._add("assistant", [reasoning])

    def _call(self, item: Json, position: int) -> None:
        kind = item["type"]
        if kind in _BUILT_IN:
            name, field = _BUILT_IN[kind]
            arguments = _dumped(item.get(field))
        elif kind == "custom_tool_call":
            name, arguments = _word(item, "name"), _dumped({"input": _word(item, "input")})
        elif kind == "function_call":
            name, arguments = _word(item, "name"), _word(item, "arguments")
        else:
            name, arguments = SEARCH, _arguments(item.get("arguments"))
        namespace = item.get("namespace")
        name = self._box.names.of(name, namespace if isinstance(namespace, str) else None)
        call_id = _word(item, "call_id") or _word(item, "id")
        if not call_id:
            call_id = id_at(position, name)
            self._unnamed.append(call_id)
        self._add("assistant", [ToolCall(call_id, name, arguments)])

    def _result(self, item: Json) -> None:
        call_id = _word(item, "call_id") or _word(item, "id")
        if not call_id:
            call_id = self._unnamed.pop(0) if self._unnamed else ""
        if item["type"] == SEARCH + "_output":
            blocks: list[Block] = [Text(found(self._box.add(item.get("tools"))))]
        else:
            output = item.get("output")
            blocks = self._parts(output)
            if not blocks and output not in (None, "", []):
                blocks = [Text(_dumped(output))]
        kept: list[Text | Image | Document] = [
            Text(block.text) if isinstance(block, Refusal) else block
            for block in blocks
            if isinstance(block, Text | Image | Document | Refusal)
        ]
        self._add("tool", [ToolResult(call_id, kept)])

    def _add(self, role: Any, blocks: list[Any]) -> None:
        if not blocks:
            return
        if self.turns and self.turns[-1].role == role:
            self.turns[-1].blocks += blocks
        else:
            self.turns.append(Turn(role, list(blocks)))


def text_of(item: Json) -> str:
    """What of a reasoning item is for people: its summary, or else its text."""
    for name in ("summary", "content"):
        parts = item.get(name)
        texts = [
            part["text"]
            for part in (parts if isinstance(parts, list) else ())
            if isinstance(part, dict) and isinstance(part.get("text"), str)
        ]
        if texts:
            return "\n\n".join(texts)
    return ""


def _image(part: Json, cache: Cache | None) -> Image:
    url = part.get("image_url")
    if isinstance(url, dict):
        url = url.get("url")
    if not isinstance(url, str) or not url:
        raise _uploaded("picture")
    detail = part.get("detail")
    detail = detail if isinstance(detail, str) else None
    if url.startswith("data:"):
        media_type, data = _data(url)
        return Image(media_type, data, detail=detail, cache=cache)
    return Image(url=url, detail=detail, cache=cache)


def _file(part: Json, cache: Cache | None) -> Document:
    name = _word(part, "filename")
    if data := _word(part, "file_data"):
        media_type = "application/pdf"
        if data.startswith("data:"):
            media_type, data = _data(data)
        return Document(name, media_type, data, cache=cache)
    if url := _word(part, "file_url"):
        return Document(name, url=url, cache=cache)
    raise _uploaded("file")


def _uploaded(what: str) -> Inexpressible:
    return Inexpressible(
        f"A {what} that was uploaded to OpenAI is not to be had elsewhere: send its data or a URL.",
        "input",
    )


def _data(url: str) -> tuple[str, str]:
    """Media type and base64 of a data URL."""
    head, _, data = url.removeprefix("data:").partition(",")
    return head.partition(";")[0], data


def _cache(part: Json) -> Cache | None:
    mark = part.get("prompt_cache_breakpoint")
    return _LIFETIMES.get(_word(mark, "ttl"), "5m") if isinstance(mark, dict) else None


def _arguments(value: object) -> str:
    return value if isinstance(value, str) else _dumped(value)


def _dumped(value: object) -> str:
    return _ENCODER.encode({} if value is None else value).decode()


def _word(holder: Json, name: str) -> str:
    word = holder.get(name)
    return word if isinstance(word, str) else ""
