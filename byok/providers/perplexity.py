"""Perplexity: the Agent API, which speaks Responses, and the older Chat API.

Each refuses every field it does not know, at any depth, so what goes there is written out of what
its SDK names (github.com/perplexityai/perplexity-py: response_create_params.py and, of Chat,
completion_create_params.py). Uncertain: whether Chat lives on; it is said to have ended on
2026-09-27.
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
from byok.providers.chat_fields import (
    call_wanted,
    effort,
    effort_as,
    instructed,
    limit_as,
    nearest,
    only_chosen_tool,
)

_FIELDS = frozenset(
    """input instructions language_preference max_output_tokens max_steps model models preset
    reasoning response_format stream tools""".split()  # noqa: SIM905 (one name a line would fill the page)
)
_CHAT_FIELDS = frozenset(
    """country disable_search enable_search_classifier frequency_penalty image_domain_filter
    image_format_filter language_preference last_updated_after_filter last_updated_before_filter
    logprobs max_tokens messages model n num_images num_search_results presence_penalty
    reasoning_effort response_format return_images return_related_questions safe_search
    search_after_date_filter search_before_date_filter search_domain_filter search_mode
    search_recency_filter stop stream stream_mode temperature top_k top_logprobs top_p
    web_search_options""".split()  # noqa: SIM905 (as above)
)
#: Fields without which the answer would be one to another question.
_MEANT = ("previous_response_id", "conversation", "prompt", "background")
_LEAST_OUTPUT = 16
_EFFORTS = ("low", "medium", "high")
_CHAT_EFFORTS = ("minimal", *_EFFORTS)
#: The models of the Chat API that reason, by a part of their ids.
_REASONING = ("-reasoning", "-research")
_SEND_ALL = "send the whole conversation as input"
_IN_JSON = "Answer with one JSON object and nothing else."
#: Stand for turns of the user's that must be there and say nothing.
_NOTHING, _GO_ON = ".", "Continue."
_FUNCTION = ("type", "name", "description", "parameters", "strict")
#: Its own tools, which cost extra and so are there only for callers who name them.
_OWN_TOOLS = ("web_search", "fetch_url")
_ITEMS = {
    "message": ("type", "role", "content"),
    "function_call": ("type", "call_id", "name", "arguments", "thought_signature"),
    "function_call_output": ("type", "call_id", "output", "name", "thought_signature"),
}


class Perplexity(Provider):
    def canonical(self, upstream_id: str) -> str | None:
        """Its own models, which it calls as we do; those that it resells are other vendors'."""
        own = upstream_id.removeprefix(f"{self.vendor}/")
        return super().canonical(own) if own != upstream_id else None

    def speaks(self, model: str, endpoint: Endpoint, *, with_tools: bool) -> bool:
        """The Agent API calls each model by its vendor's prefix, the Chat API by none."""
        return ("/" in model) == (endpoint is Endpoint.RESPONSES)

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        if endpoint is Endpoint.CHAT:
            return _chat(model, fields, max_output)
        for name in _MEANT:
            if quirks.value(fields, name):
                raise Inexpressible(f"Perplexity does not know {name}: {_SEND_ALL}.", name)
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
    if kind == "item_reference":
        raise Inexpressible(f"Perplexity keeps no items: {_SEND_ALL}.", "input")
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
    return {"type": "input_text", "text": _text(part)}


def _text(part: dict[str, Any]) -> str:
    texts = (part.get("text"), part.get("refusal"))
    return next((text for text in texts if isinstance(text, str) and text), "")


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
    """The functions and its own tools, which the model calls as it likes: it can only be asked."""
    if quirks.value(fields, "tool_choice") == "none":
        return quirks.without(fields, "tools")
    fields = only_chosen_tool(_instructed(fields, call_wanted(fields)))
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


def _instructed(fields: Fields, words: str) -> Fields:
    """The fields with a sentence of ours after the instructions."""
    said = quirks.value(fields, "instructions")
    if not words or not isinstance(said, str | None):
        return fields
    return quirks.put(fields, "instructions", f"{said}\n\n{words}" if said else words)


def _format(fields: Fields) -> Fields:
    """A schema for the answer, which goes where Chat Completions have it."""
    text = quirks.value(fields, "text")
    wanted = text.get("format") if isinstance(text, dict) else None
    if not isinstance(wanted, dict):
        return fields
    if wanted.get("type") == "json_object":
        return _instructed(fields, _IN_JSON)
    if wanted.get("type") != "json_schema":
        return fields
    schema = _only(wanted, ("name", "schema", "strict"))
    return quirks.put(fields, "response_format", {"type": "json_schema", "json_schema": schema})


# Chat -------------------------------------------------------------------------------------------


def _chat(model: str, fields: Fields, max_output: int | None) -> Fields:
    """Without tools, which these models are not given: one that only may be called is left out.

    Uncertain: for sonar-pro and sonar-reasoning-pro they are said to be known by now.
    """
    if call_wanted(fields):
        raise Inexpressible(
            f"Perplexity's {model} calls no tools: leave out tool_choice, or choose another model.",
            "tool_choice",
        )
    fields = limit_as(fields, "max_tokens", max_output)
    reasons = any(part in model for part in _REASONING)
    fields = effort_as(fields, _CHAT_EFFORTS if reasons else ())
    wanted = quirks.value(fields, "response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_object":
        fields = instructed(quirks.without(fields, "response_format"), _IN_JSON)
    return quirks.only(_in_turns(fields), _CHAT_FIELDS)


def _in_turns(fields: Fields) -> Fields:
    """The messages as that API wants them: instructions, then user and assistant in turn, the
    user first and last. Neighbours of one role are one message; what calls tools is left out, and
    what they gave is said by the user, as is an instruction that comes later."""
    found = quirks.value(fields, "messages")
    if not isinstance(found, list) or not all(map(_is_message, found)):
        return fields
    turns: list[dict[str, Any]] = []
    for message in found:
        role, content = message.get("role"), _content(message.get("content"))
        before = turns[-1]["role"] if turns else "system"
        if not content:
            continue
        if role in ("system", "developer") and before == "system":
            role = "system"
        elif role != "assistant":
            role = "user"
        elif before == "system":
            turns.append({"role": "user", "content": _NOTHING})
        if role == before != "system":
            content = _joined(turns.pop()["content"], content)
        turns.append({"role": role, "content": content})
    if turns and turns[-1]["role"] == "assistant":
        turns.append({"role": "user", "content": _GO_ON})
    return fields if turns == found else quirks.put(fields, "messages", turns)


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and isinstance(message.get("content"), str | list | None)


def _content(content: Any) -> Any:
    return [_chat_part(part) for part in content] if isinstance(content, list) else content


def _chat_part(part: Any) -> Any:
    """A part without what only others know; one that is neither text nor picture goes as it is."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "refusal"):
        return {"type": "text", "text": _text(part)}
    if kind == "image_url" and isinstance(part.get("image_url"), dict):
        return {"type": kind, "image_url": _only(part["image_url"], ("url",))}
    return part


def _joined(earlier: Any, later: Any) -> Any:
    if isinstance(earlier, str) and isinstance(later, str):
        return f"{earlier}\n\n{later}"
    return [*_parts(earlier), *_parts(later)]


def _parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


PROVIDER = Perplexity(
    id="perplexity",
    name="Perplexity",
    base_url="https://api.perplexity.ai",
    console_url="https://console.perplexity.ai",
    endpoints={Endpoint.RESPONSES: "/v1/responses", Endpoint.CHAT: "/chat/completions"},
    models_path="/v1/models",
    list_is_public=True,
    vendor="perplexity",
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
    # Uncertain: how its Chat API counts reasoning, which has a price of its own there.
    reasoning_apart=True,
    fees=frozenset({Endpoint.CHAT}),
    error_rules=(
        # Uncertain: how an empty balance is said; with this status it would read like a bad key.
        Rule(Outcome.NO_CREDIT, 401, contains="quota"),
        Rule(Outcome.REJECTED, 401, code="invalid_api_key"),
        Rule(Outcome.MODEL_MISSING, code="invalid_model"),
        Rule(Outcome.BAD_REQUEST, 400, contains="unknown field"),
        Rule(Outcome.RATE_LIMITED, code="request_rate_limit_exceeded"),
    ),
)
