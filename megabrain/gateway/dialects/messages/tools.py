"""The tools that a Messages request offers."""

from typing import Any

from megabrain.gateway.dialects.messages.content import cache_of
from megabrain.gateway.dialects.neutral import Choice, Json, Prompt, Tool
from megabrain.gateway.dialects.tool_names import ToolNames
from megabrain.gateway.dialects.translation import Inexpressible

_NO_PARAMETERS: Json = {"type": "object", "properties": {}}
_COMMAND: Json = {"type": "string", "description": "The command to run."}
_PATH: Json = {"type": "string", "description": "The absolute path of a file or a directory."}
#: Anthropic's tools that the caller runs, by the beginnings of their types: models know them by
#: heart, and others need what is documented of them.
_DOCUMENTED: dict[str, tuple[str, str, Json]] = {
    "bash_": (
        "bash",
        "Runs a command in a bash session that keeps its state from call to call.",
        {
            "type": "object",
            "properties": {
                "command": _COMMAND,
                "restart": {"type": "boolean", "description": "Start the session anew."},
            },
        },
    ),
    "text_editor_": (
        "str_replace_based_edit_tool",
        "Views, creates and edits text files.",
        {
            "type": "object",
            "properties": {
                "command": {
                    "type": "string",
                    "enum": ["view", "create", "str_replace", "insert"],
                    "description": "What to do.",
                },
                "path": _PATH,
                "file_text": {"type": "string", "description": "For create: the whole file."},
                "old_str": {
                    "type": "string",
                    "description": "For str_replace: the text to replace, once in the file.",
                },
                "new_str": {"type": "string", "description": "For str_replace: what replaces it."},
                "insert_line": {
                    "type": "integer",
                    "description": "For insert: the line after which to insert, from 0.",
                },
                "insert_text": {"type": "string", "description": "For insert: what to insert."},
                "view_range": {
                    "type": "array",
                    "items": {"type": "integer"},
                    "description": "For view: first and last line, from 1; -1 is the end.",
                },
            },
            "required": ["command", "path"],
        },
    ),
}
#: Versions of the editor whose insert takes `new_str`, and which can undo.
_EARLY_EDITORS = ("text_editor_20241022", "text_editor_20250124")


def read_tools(said: Any, choice: Any, names: ToolNames, prompt: Prompt) -> None:
    """Fill in the tools of a prompt and what is said of their use. Raises Inexpressible.

    Tools that Anthropic runs itself are left out; where nothing else is offered, they are what the
    request is about.
    """
    # Any: whatever JSON the caller sent.
    left_out = []
    for each in said if isinstance(said, list) else []:
        if not isinstance(each, dict):
            continue
        kind = each.get("type")
        if kind in (None, "custom"):
            prompt.tools.append(_function(each, names))
        elif (tool := _documented(str(kind), each, names)) is not None:
            prompt.tools.append(tool)
        else:
            left_out.append(str(kind))
    if left_out:
        if not prompt.tools:
            raise Inexpressible(
                f"The tool {left_out[0]} is run by Anthropic, and the provider that serves this "
                "model has no such tool.",
                "tools",
            )
        prompt.dropped += [f"tools.{kind}" for kind in left_out]
    if isinstance(choice, dict):
        _read_choice(choice, names, prompt)


def _read_choice(choice: Json, names: ToolNames, prompt: Prompt) -> None:
    if choice.get("disable_parallel_tool_use") is True:
        prompt.parallel = False
    match choice.get("type"):
        case "any":
            prompt.choice = Choice("required")
        case "none":
            prompt.choice = Choice("none")
        case "tool":
            name = names.of(str(choice.get("name") or ""))
            if prompt.tool(name) is None:
                raise Inexpressible(
                    f"The tool {choice.get('name')} is demanded, and the provider that serves "
                    "this model is not offered it.",
                    "tool_choice",
                )
            prompt.choice = Choice("tool", name)


def _function(said: Json, names: ToolNames) -> Tool:
    own_name = str(said.get("name") or "")
    schema, strict = said.get("input_schema"), said.get("strict")
    return Tool(
        name=names.of(own_name),
        description=str(said.get("description") or ""),
        parameters=schema if isinstance(schema, dict) else dict(_NO_PARAMETERS),
        strict=strict if isinstance(strict, bool) else None,
        own_name=own_name,
        cache=cache_of(said),
    )


def _documented(kind: str, said: Json, names: ToolNames) -> Tool | None:
    found = next((each for start, each in _DOCUMENTED.items() if kind.startswith(start)), None)
    if found is None:
        return None
    usual, description, schema = found
    if kind in _EARLY_EDITORS:
        properties = dict(schema["properties"])
        del properties["insert_text"]
        properties["new_str"] = {
            "type": "string",
            "description": "For str_replace and insert: the new text.",
        }
        properties["command"] = {
            **properties["command"],
            "enum": [*properties["command"]["enum"], "undo_edit"],
        }
        schema = {**schema, "properties": properties}
    own_name = str(said.get("name") or usual)
    return Tool(
        name=names.of(own_name),
        description=description,
        parameters=schema,
        own_name=own_name,
        cache=cache_of(said),
    )
