"""The tools of a request: those that the caller runs go on, since they cost nothing but tokens."""

from collections.abc import Iterable, Iterator

import msgspec

from byok.providers.base import Fields
from megabrain.gateway.dialects.translation import Inexpressible
from megabrain.gateway.sold.reading import given, items, opened, packed, word

_RUN_BY_CALLER = (
    *("function", "custom", "namespace", "tool_search", "local_shell", "apply_patch"),
    *("computer", "computer_use_preview", "allowed_tools"),
)
_RUN_BY_CALLER_OF_CLAUDE = ("bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_")


def with_tools(fields: Fields, left_out: list[str]) -> Fields:
    """The fields with those tools alone. Raises Inexpressible if there are others only."""
    tools = items(fields["tools"], "tools") if "tools" in fields else []
    if not tools:
        return fields
    kept = list(_kept(tools, "tools", left_out))
    if not kept:
        kind = _kind(opened(tools[0], "tools"), "tools")
        raise Inexpressible(
            f"The tool {kind} is run by the provider and billed apart, which a balance does not "
            "pay for. Leave it out, or use a provider key of your own.",
            "tools",
        )
    return {**fields, "tools": packed(kept)}


def with_own(holder: Fields, within: str, left_out: list[str]) -> Fields:
    """The same for whatever else has tools, which it may lose all. Raises Inexpressible."""
    if not given(holder, "tools"):
        return holder
    kept = list(_kept(items(holder["tools"], within), within, left_out))
    return {**holder, "tools": packed(kept)}


def _kept(tools: Iterable[msgspec.Raw], within: str, left_out: list[str]) -> Iterator[Fields]:
    for raw in tools:
        tool = opened(raw, within)
        kind = _kind(tool, within)
        if kind in ("", *_RUN_BY_CALLER) or kind.startswith(_RUN_BY_CALLER_OF_CLAUDE):
            yield with_own(tool, within, left_out)
        else:
            left_out.append(f"tools.{kind}")


def _kind(tool: Fields, within: str) -> str:
    return word(tool, "type", within)
