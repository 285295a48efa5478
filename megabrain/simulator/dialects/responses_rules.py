"""What the Responses API refuses of items and tools, in its own words."""

import base64
import binascii
import re
from typing import Any

from megabrain.simulator.refusals import bad_request
from megabrain.simulator.turn import Json

LONGEST_ID = 64
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SEAL = b"simulated:"
#: What a piece of reasoning may lead to.
_MADE = {"message", "function_call", "custom_tool_call", "local_shell_call", "tool_search_call"}


def encrypted(text: str) -> str:
    """Reasoning as only this provider can read it."""
    return base64.b64encode(_SEAL + text.encode()).decode()


def check_items(items: list[Json]) -> None:
    for index, item in enumerate(items):
        call_id = item.get("call_id")
        if isinstance(call_id, str) and len(call_id) > LONGEST_ID:
            raise bad_request(
                f"Invalid 'input[{index}].call_id': string too long. Expected a string with "
                f"maximum length {LONGEST_ID}, but got one with length {len(call_id)} instead.",
                param=f"input[{index}].call_id",
                code="string_above_max_length",
            )
        if "name" in item:
            _check_name(item["name"], f"input[{index}].name")
        if item.get("type") == "reasoning":
            _check_reasoning(item, items[index + 1 :])


def check_tools(tools: list[Any], at: str = "tools") -> None:
    for index, tool in enumerate(tools):
        place = f"{at}[{index}]"
        if "name" in tool:
            _check_name(tool["name"], f"{place}.name")
        if tool.get("type") == "namespace":
            check_tools(tool.get("tools") or [], f"{place}.tools")
        if tool.get("type") == "function" and tool.get("strict") is True:
            _check_strict(tool.get("parameters") or {}, str(tool.get("name")))


def _check_name(name: str, param: str) -> None:
    if not _NAME.fullmatch(name):
        raise bad_request(
            f"Invalid '{param}': string does not match pattern. Expected a string that matches "
            "the pattern '^[a-zA-Z0-9_-]+$'.",
            param=param,
            code="invalid_value",
        )


def _check_reasoning(item: Json, rest: list[Json]) -> None:
    """Nobody else's, and not without what it led to."""
    sealed = item.get("encrypted_content")
    if sealed:
        try:
            opened = base64.b64decode(sealed, validate=True)
        except binascii.Error:
            opened = b""
        if not opened.startswith(_SEAL):
            raise bad_request(
                "The encrypted content could not be verified. Reason: Encrypted content could not "
                "be decrypted or parsed.",
                code="invalid_encrypted_content",
            )
    led_to = next((each for each in rest if each.get("type") != "reasoning"), {})
    made = led_to.get("type", "message") in _MADE and led_to.get("role", "assistant") == "assistant"
    if not made or not led_to:
        raise bad_request(
            f"Item '{item.get('id', '')}' of type 'reasoning' was provided without its required "
            "following item.",
            param="input",
        )


def _check_strict(schema: Any, name: str) -> None:
    """Every object of a strict schema has all its properties required, and no others."""
    if isinstance(schema, list):
        for each in schema:
            _check_strict(each, name)
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties")
    if schema.get("type") == "object" and (
        schema.get("additionalProperties") is not False
        or set(properties or {}) - set(schema.get("required") or [])
    ):
        raise bad_request(
            f"Invalid schema for function '{name}': 'additionalProperties' is required to be "
            "supplied and to be false, and 'required' to name every key in properties.",
            param="tools[0].parameters",
            code="invalid_function_parameters",
        )
    for each in schema.values():
        _check_strict(each, name)
