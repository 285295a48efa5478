"""The messages of a Chat request as the turns of a conversation.

Read tolerantly: what comes back from agents has passed through many hands, and lacks ids, has null
for lists, or repeats itself. The forms that Chat has left behind, `function_call` and the role
`function`, become calls and results like any others.
"""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

import msgspec

from megabrain.gateway.dialects.base import Unreadable
from megabrain.gateway.dialects.chat import reasoning
from megabrain.gateway.dialects.chat.content import block_of, cache_of, parts_of, said, text_of
from megabrain.gateway.dialects.neutral import (
    Block,
    Cache,
    Json,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from megabrain.gateway.dialects.tool_names import ToolNames, id_at

_ENCODER = msgspec.json.Encoder()
_Role = Literal["user", "assistant", "system", "tool"]


class Conversation:
    """Takes messages one by one; `system` and `turns` are what they amount to."""

    def __init__(self, names: ToolNames, account_id: UUID) -> None:
        self.system: list[Text] = []
        self.turns: list[Turn] = []
        self._names = names
        self._account_id = account_id
        #: How many calls there were so far, for those that have no id.
        self._calls = 0
        #: Calls without a result, in their order: the caller's name of the tool by the id; and the
        #: same ids by the name.
        self._open: dict[str, str] = {}
        self._named: dict[str, dict[str, None]] = {}

    def add(self, message: Json) -> None:
        """Raises Unreadable and Inexpressible."""
        role = message.get("role")
        if role in ("system", "developer"):
            self._instruct(message)
        elif role == "user":
            self._ask(message)
        elif role == "assistant":
            self._answer(message)
        elif role in ("tool", "function"):
            self._report(message)
        else:
            raise Unreadable(f"A message has the unknown role {str(role)[:40]}.", "messages")

    def _instruct(self, message: Json) -> None:
        texts = text_of(message.get("content"))
        _mark(texts, cache_of(message))
        if self.turns:
            self._say("system", texts)
        else:
            self.system += texts

    def _ask(self, message: Json) -> None:
        blocks: list[Block] = []
        for part in parts_of(message.get("content")):
            if part.get("type") == "tool_result":
                self._say("tool", [self._anthropic_result(part)])
            elif (block := block_of(part)) is not None:
                blocks.append(block)
        _mark(blocks, cache_of(message))
        self._say("user", blocks)

    def _answer(self, message: Json) -> None:
        self._open.clear()
        self._named.clear()
        blocks: list[Block] = [*reasoning.returned(message, self._account_id)]
        for part in parts_of(message.get("content")):
            if part.get("type") == "tool_use":
                blocks.append(self._called(part, part))
            elif (block := said(part, self._account_id)) is not None:
                blocks.append(block)
        if isinstance(refusal := message.get("refusal"), str) and refusal:
            blocks.append(Refusal(refusal))
        calls = [call for call in _listed(message.get("tool_calls")) if isinstance(call, dict)]
        blocks += [self._called(call, _inside(call)) for call in calls]
        if isinstance(legacy := message.get("function_call"), dict):
            blocks.append(self._called({}, legacy))
        _mark(blocks, cache_of(message))
        self._say("assistant", blocks)

    def _called(self, call: Json, function: Json) -> ToolCall:
        own_name = function.get("name")
        own_name = own_name if isinstance(own_name, str) else ""
        self._calls += 1
        call_id = call.get("id")
        if not isinstance(call_id, str) or not call_id:
            call_id = id_at(self._calls, own_name)
        if call_id not in self._open:
            self._open[call_id] = own_name
            self._named.setdefault(own_name, {})[call_id] = None
        # The one is JSON text, the other an object, or what a custom tool is given.
        arguments, given = function.get("arguments"), function.get("input")
        if not isinstance(arguments, str):
            found = {"input": given} if isinstance(given, str) else arguments or given
            arguments = _ENCODER.encode(found).decode() if found is not None else ""
        return ToolCall(call_id, self._names.of(own_name), arguments, cache_of(call))

    def _report(self, message: Json) -> None:
        call_id = message.get("tool_call_id")
        if not isinstance(call_id, str) or not call_id:
            call_id = self._waiting(message.get("name"))
        self._closed(call_id)
        content = message.get("content")
        result = ToolResult(call_id, [], cache=cache_of(message))
        for part in parts_of(content):
            if (block := block_of(part)) is not None:
                result.blocks.append(block)
        self._say("tool", [result])

    def _anthropic_result(self, part: Json) -> ToolResult:
        call_id = part.get("tool_use_id")
        call_id = call_id if isinstance(call_id, str) else self._waiting(None)
        self._closed(call_id)
        blocks = [block_of(each) for each in parts_of(part.get("content"))]
        found = [block for block in blocks if block is not None]
        return ToolResult(call_id, found, part.get("is_error") is True, cache_of(part))

    def _waiting(self, name: object) -> str:
        """The call that a result without an id is most likely of."""
        same = self._named.get(name) if isinstance(name, str) else None
        return next(iter(same or self._open), "")

    def _closed(self, call_id: str) -> None:
        own_name = self._open.pop(call_id, None)
        if own_name is not None:
            del self._named[own_name][call_id]

    def _say(self, role: _Role, blocks: Sequence[Block]) -> None:
        if not blocks:
            return
        if self.turns and self.turns[-1].role == role:
            self.turns[-1].blocks += blocks
        else:
            self.turns.append(Turn(role, list(blocks)))


def _inside(call: Json) -> Json:
    """What is called, of a call in Chat's form or a flat one."""
    for name in ("function", "custom"):
        if isinstance(found := call.get(name), dict):
            return found
    return call


def _listed(value: object) -> list[Any]:  # Any: whatever JSON was sent.
    return value if isinstance(value, list) else []


def _mark(blocks: Sequence[Block], cache: Cache | None) -> None:
    """A mark on a whole message is one on the last of its blocks."""
    last = blocks[-1] if blocks else None
    if cache and last is not None and not isinstance(last, Reasoning | Refusal):
        last.cache = last.cache or cache
