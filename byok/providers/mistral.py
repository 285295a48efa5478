"""Mistral AI: Chat Completions, fill-in-the-middle and embeddings, on two hosts.

Most keys belong to api.mistral.ai. Those of a Codestral console page belong to a host of their own,
which serves Codestral models alone. Nothing in a key tells which it is, so a test finds out.
"""

import base64
import hashlib
import re

from byok.providers import chat_fields, quirks
from byok.providers.base import Endpoint, Fields, Outcome, Probe, Provider, Rule
from byok.providers.listing import (
    Entry,
    Listed,
    Page,
    below,
    day,
    decoded,
    flag,
    flags_as,
    id_in,
    ids_in,
    items,
    read_each,
    text,
    tokens,
)
from byok.vault import Secret

CODESTRAL = "codestral"

#: What its documents name. Any other field is refused with 422, however harmless.
_FIELDS = {
    Endpoint.CHAT: frozenset(
        """model messages temperature top_p max_tokens stream stop random_seed metadata
        response_format tools tool_choice presence_penalty frequency_penalty n prediction
        parallel_tool_calls reasoning_effort prompt_mode guardrails prompt_cache_key
        safe_prompt""".split()  # noqa: SIM905 (one name a line would fill the page)
    )
    # Not known there either, but without them the answer would be another one: it may refuse.
    | {"functions", "function_call", "audio"},
    Endpoint.FIM: frozenset(
        """model prompt suffix max_tokens min_tokens stop temperature top_p random_seed metadata
        stream""".split()  # noqa: SIM905 (as above)
    ),
    Endpoint.EMBEDDINGS: frozenset(
        {"model", "input", "encoding_format", "metadata", "output_dimension", "output_dtype"}
    ),
}
_MESSAGE_FIELDS = {
    b'"system"': {"role", "content"},
    b'"user"': {"role", "content"},
    b'"assistant"': {"role", "content", "tool_calls", "prefix"},
    b'"tool"': {"role", "content", "tool_call_id", "name"},
}
_CALL_FIELDS = {"id", "type", "function", "index"}
_TOOL_ID = re.compile(r"[A-Za-z0-9]{9}")
_HIGHEST_TEMPERATURE = 1.5
#: Models that reason, by the beginning of their ids, and the efforts they know.
_REASONING = ("mistral-large-4", "mistral-medium", "mistral-small", "magistral")
_EFFORTS = ("none", "high")


class Mistral(Provider):
    def read_list(self, body: bytes) -> Page:
        """Each model once: the list has another entry for every alias, with the model's name."""
        entries = items(decoded(body))
        page = read_each(entries, self.read_entry)
        names = {id_in(entry): text(entry.get("name")) or id_in(entry) for entry in entries}
        models = {id_ for id_, name in names.items() if id_ == name}
        return Page(
            tuple(
                model
                for model in page.models
                if model.id in models or names[model.id] not in models
            )
        )

    def read_entry(self, entry: Entry) -> Listed:
        can = entry.get("capabilities")
        id_, fills = id_in(entry), flag(below(can, "completion_fim"))
        return Listed(
            id_,
            context=tokens(entry.get("max_context_length")),
            capabilities=flags_as(
                {
                    "tools": flag(below(can, "function_calling")),
                    "vision": flag(below(can, "vision")),
                    "reasoning": flag(below(can, "reasoning")),
                    "fim": fills,
                }
            ),
            writes_text=below(can, "completion_chat") is True or fills is True,
            retires_on=day(entry.get("deprecation")),
            aliases=tuple(alias for alias in ids_in(entry.get("aliases")) if alias != id_),
        )

    def serves(self, model: str, host: str) -> bool:
        return host != CODESTRAL or (model.startswith("codestral") and "embed" not in model)

    def speaks(self, model: str, endpoint: Endpoint, *, with_tools: bool) -> bool:
        if "embed" in model or endpoint is Endpoint.EMBEDDINGS:
            return "embed" in model and endpoint is Endpoint.EMBEDDINGS
        return endpoint is not Endpoint.FIM or model.startswith("codestral")

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        if endpoint is Endpoint.EMBEDDINGS:
            fields = quirks.renamed(fields, "dimensions", "output_dimension")
            return quirks.only(fields, _FIELDS[endpoint])
        fields = chat_fields.limit_as(fields, "max_tokens", max_output)
        fields = quirks.within(fields, "temperature", 0, _HIGHEST_TEMPERATURE)
        fields = quirks.renamed(fields, "seed", "random_seed")
        if endpoint is Endpoint.CHAT:
            fields = quirks.said(fields, "tool_choice", {"required": "any"})
            if model.startswith(_REASONING):
                fields = chat_fields.effort_as(fields, _EFFORTS)
            else:
                fields = quirks.without(fields, "reasoning_effort")
            fields = _with_messages(chat_fields.unmarked(fields))
        return quirks.only(fields, _FIELDS[endpoint])

    def remark(self, secret: Secret, host: str) -> str:
        return "It is a Codestral key: it serves Codestral models only." if host else ""


def _with_messages(fields: Fields) -> Fields:
    """The fields with messages as Mistral takes them."""
    found = quirks.objects(fields, "messages")
    changed = [_message(message) for message in found]
    changed[-1:] = [_marked_as_begun(message) for message in changed[-1:]]
    return quirks.put_changed(fields, "messages", found, changed)


def _message(message: Fields) -> Fields:
    """A message without the fields of other companies, its tool ids of nine letters."""
    message = quirks.system_for_developer(message)
    known = _MESSAGE_FIELDS.get(quirks.role(message))
    if known is None:
        return message
    message = _with_short_id(quirks.only(message, known), "tool_call_id")
    return quirks.each(message, "tool_calls", _call)


def _call(call: Fields) -> Fields:
    return _with_short_id(quirks.only(call, _CALL_FIELDS), "id")


def _with_short_id(fields: Fields, name: str) -> Fields:
    """The same id always becomes the same, so a call and its result still fit, turn after turn."""
    found = quirks.value(fields, name)
    if not isinstance(found, str) or _TOOL_ID.fullmatch(found):
        return fields
    digest = hashlib.sha256(found.encode()).digest()
    return quirks.put(fields, name, base64.b32encode(digest)[:9].decode())


def _marked_as_begun(message: Fields) -> Fields:
    """The last message, marked where it is the beginning of an answer that the caller gives."""
    if quirks.role(message) != b'"assistant"' or "prefix" in message:
        return message
    return message if "tool_calls" in message else quirks.put(message, "prefix", True)


PROVIDER = Mistral(
    id="mistral",
    name="Mistral AI",
    base_url="https://api.mistral.ai/v1",
    hosts={CODESTRAL: "https://codestral.mistral.ai/v1"},
    console_url="https://console.mistral.ai/api-keys",
    endpoints={
        Endpoint.CHAT: "/chat/completions",
        Endpoint.FIM: "/fim/completions",
        Endpoint.EMBEDDINGS: "/embeddings",
    },
    models_path="/models",
    vendor="mistralai",
    probes=(
        Probe("ministral-3b-latest", {"max_tokens": 1}),
        Probe("mistral-small-latest", {"max_tokens": 1}),
    ),
    host_probes={
        CODESTRAL: (
            Probe("codestral-2508", {"max_tokens": 1}, Endpoint.FIM),
            Probe("codestral-latest", {"max_tokens": 1}, Endpoint.FIM),
        ),
    },
    placeholder="32 letters and digits",
    key_pattern=r"^[A-Za-z0-9]{32}$",
    key_prefixes=(),
    key_note=(
        "A Codestral key works too. It serves Codestral models only; the test of the key finds "
        "out which kind it is."
    ),
    returns=("retry-after",),
    returns_to_key_owner=("x-ratelimit-*",),
    error_rules=(
        Rule(Outcome.REJECTED, 401),
        Rule(Outcome.MODEL_MISSING, code="invalid_model"),
        Rule(Outcome.MODEL_MISSING, 400, code="1500"),
        Rule(Outcome.NO_ACCESS, 403, contains="subscription tier"),
        Rule(Outcome.OVERLOADED, 429, code="service_tier_capacity_exceeded"),
        Rule(Outcome.OVERLOADED, 429, code="3505"),
        Rule(Outcome.RATE_LIMITED, 429),
        Rule(Outcome.BAD_REQUEST, 400, contains="too large for model", context_too_long=True),
    ),
)
