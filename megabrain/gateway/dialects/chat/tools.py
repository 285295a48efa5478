"""Tools as Chat callers offer them, and as its hosts are told of them.

A tool is read by its shape: Chat's nested `function` and `custom`, the flat ones of Responses, and
Anthropic's with an `input_schema`. Tools that a vendor runs itself are left out, for no other can.
"""

from typing import Any

from megabrain.gateway.dialects.chat.content import cache_of
from megabrain.gateway.dialects.neutral import Choice, Json, Prompt, Tool
from megabrain.gateway.dialects.schemas import can_be_strict, of_parameters
from megabrain.gateway.dialects.tool_names import ToolNames
from megabrain.gateway.dialects.translation import Inexpressible

#: What a custom tool is offered as: a function that takes the text.
_INPUT = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


def offer(fields: Json, prompt: Prompt, names: ToolNames) -> None:
    """Note the tools of a request. One that is repeated keeps its place and has its last
    definition."""
    found: dict[str, Tool] = {}
    for entry in (*_objects(fields.get("tools")), *map(_legacy, _objects(fields.get("functions")))):
        tool = _tool(entry, names)
        if tool is not None:
            found[tool.name] = tool
        else:
            prompt.dropped.append(f"tools.{entry.get('type')}")
    prompt.tools = list(found.values())


def chosen(fields: Json, prompt: Prompt, names: ToolNames) -> None:
    """Note which of the tools may or must be called. Raises Inexpressible."""
    choice = fields.get("tool_choice")
    if choice is None:
        choice = fields.get("function_call")
    if isinstance(choice, str):
        prompt.choice = Choice(_KINDS.get(choice, "auto"))
    elif isinstance(choice, dict):
        _choose(choice, prompt, names)
    if isinstance(fields.get("parallel_tool_calls"), bool):
        prompt.parallel = fields["parallel_tool_calls"]


def definition(tool: Tool) -> Json:
    """A tool as a host of Chat is told of it."""
    function: Json = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = of_parameters(tool.parameters)
    if tool.strict and can_be_strict(function["parameters"]):
        function["strict"] = True
    return {"type": "function", "function": function}


def choice_field(choice: Choice) -> Json | str:
    if choice.kind == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.kind


# Reading ----------------------------------------------------------------------------------------

_KINDS: Any = {  # Any: the literals of Choice.kind.
    "auto": "auto",
    "none": "none",
    "required": "required",
    "any": "required",
    "validated": "auto",
}


def _legacy(function: Json) -> Json:
    return {"type": "function", "function": function}


def _tool(entry: Json, names: ToolNames) -> Tool | None:
    kind = entry.get("type")
    inside = entry.get("custom" if kind == "custom" else "function")
    about: Json = inside if isinstance(inside, dict) else entry
    name = about.get("name")
    if not isinstance(name, str) or not name:
        return None
    description = about.get("description")
    description = description if isinstance(description, str) else ""
    cache = cache_of(entry) or cache_of(about)
    if kind == "custom" and "input_schema" not in entry:
        return Tool(
            name=names.of(name),
            description=_with_grammar(description, about.get("format")),
            parameters=_INPUT,
            kind="custom",
            own_name=name,
            cache=cache,
        )
    schema = about.get("parameters", about.get("input_schema"))
    # A kind of its own without a schema is one that its vendor runs.
    if kind not in ("function", "custom", None) and not isinstance(schema, dict):
        return None
    strict = about.get("strict")
    return Tool(
        name=names.of(name),
        description=description,
        parameters=of_parameters(schema),
        strict=strict if isinstance(strict, bool) else None,
        own_name=name,
        cache=cache,
    )


def _with_grammar(description: str, form: object) -> str:
    """The description with the grammar that the text must follow, flat or nested as in Chat."""
    if not isinstance(form, dict):
        return description
    grammar = form.get("grammar")
    grammar = grammar if isinstance(grammar, dict) else form
    text, syntax = grammar.get("definition"), grammar.get("syntax")
    if not isinstance(text, str):
        return description
    named = f"{syntax} grammar" if isinstance(syntax, str) else "grammar"
    return f"{description}\n\nThe input must follow this {named}:\n\n{text}".lstrip()


def _choose(choice: Json, prompt: Prompt, names: ToolNames) -> None:
    kind = choice.get("type")
    if kind == "allowed_tools":
        _allow(choice, prompt, names)
        return
    if kind in ("auto", "none", "any", "required"):
        prompt.choice = Choice(_KINDS[kind])
    else:
        name = _name(choice)
        if not name:
            raise Inexpressible(
                f"The tool choice {str(kind)[:40]} cannot be sent to this model.", "tool_choice"
            )
        prompt.choice = Choice("tool", names.of(name))
    if choice.get("disable_parallel_tool_use") is True:
        prompt.parallel = False


def _allow(choice: Json, prompt: Prompt, names: ToolNames) -> None:
    """Only some tools may be called: for other vendors the rest are not there at all."""
    inside = choice.get("allowed_tools")
    about: Json = inside if isinstance(inside, dict) else choice
    allowed = {names.of(name) for tool in _objects(about.get("tools")) if (name := _name(tool))}
    prompt.tools = [tool for tool in prompt.tools if tool.name in allowed]
    prompt.choice = Choice("required" if about.get("mode") == "required" else "auto")


def _name(about: Json) -> str:
    for holder in (about.get("function"), about.get("custom"), about):
        if isinstance(holder, dict) and isinstance(holder.get("name"), str):
            return str(holder["name"])
    return ""


def _objects(value: object) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
