"""Perplexity: the Agent API, which speaks Responses.

It refuses every field it does not know, at any depth, so what goes there is written out of what its
SDK names (github.com/perplexityai/perplexity-py, response_create_params.py). Its older Chat API is
said to have ended.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from byok.providers import quirks
from byok.providers.base import (
    Endpoint,
    Failure,
    Fields,
    Inexpressible,
    Outcome,
    Probe,
    Provider,
    Rule,
)
from byok.providers.chat_fields import effort, nearest, only_chosen_tool

_FIELDS = frozenset(
    """input instructions language_preference max_output_tokens max_steps model models preset
    reasoning response_format stream tools""".split()  # noqa: SIM905 (one name a line would fill the page)
)
_LEAST_OUTPUT = 16
_EFFORTS = ("low", "medium", "high")
_IN_JSON = "Answer with one JSON object and nothing else."
_FUNCTION = ("type", "name", "description", "parameters", "strict")
#: Its own tools, which cost extra and so are there only for callers who name them.
_OWN_TOOLS = ("web_search", "fetch_url")
_ITEMS = {
    "message": ("type", "role", "content"),
    "function_call": ("type", "call_id", "name", "arguments", "thought_signature"),
    "function_call_output": ("type", "call_id", "output", "name", "thought_signature"),
}


class Perplexity(Provider):
    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        fields = quirks.within(fields, "max_output_tokens", _LEAST_OUTPUT, max_output)
        fields = _format(_tools(_effort(_input(fields))))
        return quirks.only(fields, _FIELDS)

    def answered(self, body: bytes) -> bool:
        return super().answered(body) and not _run_failed(body)

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        failure = super().classify(status, headers, body)
        if status == 200 and failure.outcome is Outcome.UNAVAILABLE and _run_failed(body):
            return replace(failure, outcome=Outcome.OVERLOADED)
        return failure


def _run_failed(body: bytes) -> bool:
    """Whether an answer is that of a run that failed, which has a status of its own."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(answer, dict) and answer.get("status") == "failed"


# Any: items, parts and tools are whatever JSON the caller sent.


def _input(fields: Fields) -> Fields:
    items = quirks.value(fields, "input")
    if not isinstance(items, list):
        return fields
    written = [new for item in items if (new := _item(item)) is not None]
    return fields if written == items else quirks.put(fields, "input", written)


def _item(item: Any) -> Any:
    """An item as it is known there; None for one that only other companies' models understand."""
    if not isinstance(item, dict):
        return item
    kind = item.get("type", "message")
    if not isinstance(kind, str) or kind not in _ITEMS:
        return None
    known = {"type": kind, **_only(item, _ITEMS[kind])}
    for name in ("content", "output"):
        if isinstance(known.get(name), list):
            known[name] = [_part(part) for part in known[name]]
    if kind == "function_call_output" and isinstance(known.get("output"), list):
        if any(part.get("type") == "input_image" for part in known["output"]):
            raise Inexpressible("Perplexity takes no pictures in the results of tools.", "input")
        known["output"] = "\n".join(part.get("text", "") for part in known["output"])
    return known


def _part(part: Any) -> Any:
    if not isinstance(part, dict):
        return {}
    if part.get("type") == "input_image":
        return _only(part, ("type", "image_url"))
    if part.get("type") == "input_file":
        raise Inexpressible("Perplexity takes no files.", "input")
    texts = (part.get("text"), part.get("refusal"))
    text = next((text for text in texts if isinstance(text, str) and text), "")
    return {"type": "input_text", "text": text}


def _only(found: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: found[name] for name in names if name in found}


def _effort(fields: Fields) -> Fields:
    wanted = effort(fields)
    if wanted in (None, "none"):
        return quirks.without(fields, "reasoning")
    options = {"effort": nearest(str(wanted), _EFFORTS)}
    if quirks.value(fields, "reasoning") == options:
        return fields
    return quirks.put(fields, "reasoning", options)


def _tools(fields: Fields) -> Fields:
    """The functions and its own tools. They are called as the model likes: it cannot be told to."""
    if quirks.value(fields, "tool_choice") == "none":
        return quirks.without(fields, "tools")
    fields = only_chosen_tool(fields)
    tools = quirks.value(fields, "tools")
    if not isinstance(tools, list):
        return fields
    written = [new for tool in tools if (new := _tool(tool)) is not None]
    if not written:
        return quirks.without(fields, "tools")
    return fields if written == tools else quirks.put(fields, "tools", written)


def _tool(tool: Any) -> Any:
    if not isinstance(tool, dict) or tool.get("type") in _OWN_TOOLS:
        return tool
    return _only(tool, _FUNCTION) if tool.get("type") == "function" else None


def _format(fields: Fields) -> Fields:
    """A schema for the answer, which goes where Chat Completions have it."""
    text = quirks.value(fields, "text")
    wanted = text.get("format") if isinstance(text, dict) else None
    if not isinstance(wanted, dict):
        return fields
    if wanted.get("type") == "json_object":
        said = quirks.value(fields, "instructions")
        asked = f"{said}\n\n{_IN_JSON}" if isinstance(said, str) and said else _IN_JSON
        return quirks.put(fields, "instructions", asked)
    if wanted.get("type") != "json_schema":
        return fields
    schema = _only(wanted, ("name", "schema", "strict"))
    return quirks.put(fields, "response_format", {"type": "json_schema", "json_schema": schema})


PROVIDER = Perplexity(
    id="perplexity",
    name="Perplexity",
    base_url="https://api.perplexity.ai",
    console_url="https://console.perplexity.ai",
    endpoints={Endpoint.RESPONSES: "/v1/responses"},
    models_path="/v1/models",
    # The list is public.
    list_proves_key=False,
    probes=(
        Probe("perplexity/sonar", {"max_output_tokens": 16}, Endpoint.RESPONSES),
        # Uncertain: which of the other companies' models it resells; a missing one only moves on.
        Probe("openai/gpt-6-luna", {"max_output_tokens": 16}, Endpoint.RESPONSES),
    ),
    placeholder="pplx-…",
    key_pattern=r"^pplx-[A-Za-z0-9]{40,}$",
    key_prefixes=("pplx-",),
    returns=("x-request-id", "retry-after"),
    returns_to_key_owner=("x-ratelimit-*",),
    error_rules=(
        # Uncertain: how an empty balance is said; with this status it would read like a bad key.
        Rule(Outcome.NO_CREDIT, 401, contains="quota"),
        Rule(Outcome.REJECTED, 401, code="invalid_api_key"),
        Rule(Outcome.MODEL_MISSING, code="invalid_model"),
        Rule(Outcome.BAD_REQUEST, 400, contains="unknown field"),
        Rule(Outcome.RATE_LIMITED, code="request_rate_limit_exceeded"),
    ),
)
