"""The tools of a request in Responses, as functions that every other dialect has.

Sources: dialects.md § 5, and the types of openai-python 3.54. Tools that OpenAI runs itself have no
equal elsewhere. Codex and Cline always offer some, so they are left out; only to demand one is an
error.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from megabrain.gateway.dialects.neutral import Choice, Json, Tool
from megabrain.gateway.dialects.schemas import of_parameters
from megabrain.gateway.dialects.tool_names import ToolNames
from megabrain.gateway.dialects.translation import Inexpressible

SEARCH: Final = "tool_search"
#: Of `type: custom`: its text is the one property of a function.
_TEXT: Json = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool."}},
    "required": ["input"],
    "additionalProperties": False,
}
_WORDS = ("auto", "none", "required")


class ToolBox:
    """The tools of one request in their order. One that is offered again keeps its place and takes
    the newest definition, for Codex repeats its list in every turn."""

    def __init__(self) -> None:
        self.names = ToolNames()
        self._tools: dict[str, Tool] = {}
        #: Kinds of tools that were left out.
        self.hosted: list[str] = []

    def add(self, given: object) -> list[Tool]:
        """Take in a list of tools; returns those of them that can be offered."""
        added = []
        for tool in self._read(given, None):
            self._tools[tool.name] = tool
            added.append(tool)
        return added

    @property
    def tools(self) -> list[Tool]:
        return list(self._tools.values())

    def chosen(self, choice: object) -> tuple[list[Tool], Choice]:
        """The tools that may be called, and whether one must. Raises Inexpressible."""
        tools = self.tools
        if isinstance(choice, str) and choice in _WORDS:
            return tools, Choice(choice)  # type: ignore[arg-type]  # It is one of _WORDS.
        if not isinstance(choice, dict):
            return tools, Choice()
        if choice.get("type") == "allowed_tools":
            return self._allowed(choice)
        name = self._named(choice)
        if name is None:
            raise _hosted(choice)
        return tools, Choice("tool", name)

    def _allowed(self, choice: Json) -> tuple[list[Tool], Choice]:
        allowed = choice.get("tools")
        wanted = [
            each
            for each in (allowed if isinstance(allowed, list) else ())
            if isinstance(each, dict)
        ]
        names = {name for each in wanted if (name := self._named(each)) is not None}
        tools = [tool for tool in self.tools if tool.name in names]
        required = choice.get("mode") == "required"
        if required and wanted and not tools:
            raise _hosted(wanted[0])
        return tools, Choice("required" if required else "auto")

    def _named(self, choice: Json) -> str | None:
        """The name upstream of a tool that is chosen, or None for one that OpenAI runs."""
        choice = _flat(choice)
        kind = choice.get("type")
        if kind in ("function", "custom"):
            namespace = choice.get("namespace")
            return self.names.of(
                _word(choice, "name"), namespace if isinstance(namespace, str) else None
            )
        if kind == SEARCH and any(tool.kind == SEARCH for tool in self.tools):
            return self.names.of(SEARCH)
        return None

    def _read(self, given: object, namespace: str | None) -> Iterator[Tool]:
        for tool in given if isinstance(given, list) else ():
            if not isinstance(tool, dict):
                continue
            tool = _flat(tool)
            kind = tool.get("type")
            if kind == "namespace" and namespace is None:
                yield from self._read(tool.get("tools"), _word(tool, "name"))
            elif kind == "function":
                yield self._function(tool, namespace)
            elif kind == "custom":
                yield self._custom(tool, namespace)
            elif kind == SEARCH and tool.get("execution") == "client":
                name = self.names.of(SEARCH)
                yield Tool(name, _description(tool), _schema(tool), kind=SEARCH, own_name=SEARCH)
            else:
                self.hosted.append(str(kind))

    def _function(self, tool: Json, namespace: str | None) -> Tool:
        own_name = _word(tool, "name")
        strict = tool.get("strict")
        return Tool(
            self.names.of(own_name, namespace),
            _description(tool),
            _schema(tool),
            strict if isinstance(strict, bool) else None,
            own_name=own_name,
            namespace=namespace,
        )

    def _custom(self, tool: Json, namespace: str | None) -> Tool:
        own_name = _word(tool, "name")
        parts = [_description(tool)]
        form = tool.get("format")
        if isinstance(form, dict) and isinstance(form.get("grammar"), dict):
            form = form["grammar"]
        if isinstance(form, dict) and isinstance(definition := form.get("definition"), str):
            parts.append(f"The input must fit this {form.get('syntax')} grammar:\n{definition}")
        return Tool(
            self.names.of(own_name, namespace),
            "\n\n".join(filter(None, parts)),
            _TEXT,
            kind="custom",
            own_name=own_name,
            namespace=namespace,
        )


def _flat(tool: Json) -> Json:
    """A tool as Responses has it, also of one in Chat's or Anthropic's form: Cursor mixes them
    (clients.md § 7.9)."""
    kind = tool.get("type")
    if kind in ("function", "custom") and isinstance(inside := tool.get(kind), dict):
        return {**inside, "type": kind}
    if kind in (None, "custom") and "input_schema" in tool:
        return {**tool, "type": "function", "parameters": tool["input_schema"]}
    return tool


def found(tools: Iterable[Tool]) -> str:
    """What a search for tools found, for the model that asked: they are offered by now."""
    lines = [f"- {tool.name}: {tool.description}".rstrip(": ") for tool in tools]
    return "\n".join(["These tools can be called now:", *lines]) if lines else "No tool was found."


def _schema(tool: Json) -> Json:
    return of_parameters(tool.get("parameters"))


def _description(tool: Json) -> str:
    return _word(tool, "description")


def _word(holder: Json, name: str) -> str:
    word = holder.get(name)
    return word if isinstance(word, str) else ""


def _hosted(choice: Json) -> Inexpressible:
    return Inexpressible(
        f"The tool {choice.get('type')} is run by OpenAI itself, and no other provider has it: "
        "choose a function, or leave the choice to the model.",
        "tool_choice",
    )
