"""Google AI Studio: Gemini's own generateContent, and embeddings in OpenAI's form.

The model is part of the path, and so is whether the answer is streamed: neither is in the body. A
bad key is told with 400, like a bad request: only the reason among the details tells them apart.
Sources: ai.google.dev/gemini-api/docs (troubleshooting, models, openai), github.com/googleapis/
python-genai, and threads at discuss.ai.google.dev on the new AQ. keys, as of November 2026.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from byok.providers import quirks
from byok.providers.base import BEARER, Auth, Endpoint, Fields, Outcome, Probe, Provider, Rule
from byok.providers.listing import (
    Entry,
    Listed,
    Page,
    below,
    cursor,
    decoded,
    flag,
    flags_as,
    id_in,
    items,
    read_each,
    strings,
    text,
    textless,
    tokens,
)

#: The families that answer in text, each unless its name says otherwise.
_FAMILIES = ("gemini-", "gemma-")


class GoogleAIStudio(Provider):
    def read_list(self, body: bytes) -> Page:
        answer = decoded(body)
        page = read_each(items(answer, "models"), self.read_entry)
        return Page(page.models, cursor(below(answer, "nextPageToken")))

    def read_entry(self, entry: Entry) -> Listed:
        id_ = id_in({"name": id_in(entry, "name").removeprefix("models/")}, "name")
        methods = strings(entry.get("supportedGenerationMethods")) or ()
        writes = id_.startswith(_FAMILIES) and "generateContent" in methods and not textless(id_)
        return Listed(
            id_,
            name=text(entry.get("displayName")),
            context=tokens(entry.get("inputTokenLimit")),
            max_output=tokens(entry.get("outputTokenLimit")),
            # All that are called Gemini see and call tools, and no entry says so.
            capabilities=flags_as(
                {
                    "tools": True if writes and id_.startswith("gemini-") else None,
                    "vision": True,
                    "reasoning": flag(entry.get("thinking")),
                }
            ),
            writes_text=writes,
        )

    def path(self, endpoint: Endpoint, model: str, *, stream: bool) -> str:
        path = self.endpoints[endpoint].format(model=quote(model, safe=""))
        if stream and endpoint is Endpoint.GENERATE_CONTENT:
            path = path.removesuffix(":generateContent") + ":streamGenerateContent?alt=sse"
        return path

    def speaks(self, model: str, endpoint: Endpoint, *, with_tools: bool) -> bool:
        return ("embedding" in model) == (endpoint is Endpoint.EMBEDDINGS)

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        if endpoint is Endpoint.EMBEDDINGS:
            return fields
        return quirks.without(fields, "model", "stream")

    def probe_body(self, probe: Probe) -> Mapping[str, Any]:
        return {"contents": [{"role": "user", "parts": [{"text": "ping"}]}], **probe.options}


PROVIDER = GoogleAIStudio(
    id="google",
    name="Google AI Studio",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    console_url="https://aistudio.google.com/apikey",
    endpoints={
        Endpoint.GENERATE_CONTENT: "/models/{model}:generateContent",
        Endpoint.COUNT_TOKENS: "/models/{model}:countTokens",
        Endpoint.EMBEDDINGS: "/openai/embeddings",
    },
    models_path="/models?pageSize=1000",
    after_parameter="pageToken",
    vendor="google",
    # Thinking counts as output: an answer of one token may well have no text.
    probes=tuple(
        Probe(model, {"generationConfig": {"maxOutputTokens": 1}}, Endpoint.GENERATE_CONTENT)
        for model in ("gemini-2.5-flash-lite", "gemini-3.5-flash-lite", "gemini-3.1-flash-lite")
    ),
    placeholder="AIza… or AQ.…",
    # The letters of AQ. keys are not documented.
    key_pattern=r"^(?:AIza[0-9A-Za-z_-]{35}|AQ\.[0-9A-Za-z_.-]{20,})$",
    key_prefixes=("AIza", "AQ."),
    key_note=(
        "Gemini 4 Carbon and Neon need a key of a project with billing; the others have a free "
        "tier, too."
    ),
    auth=Auth("x-goog-api-key"),
    auth_at={Endpoint.EMBEDDINGS: BEARER},
    error_rules=(
        Rule(Outcome.REJECTED, code="API_KEY_INVALID"),
        Rule(Outcome.REJECTED, 403, contains="reported as leaked"),
        Rule(Outcome.REJECTED, code="UNAUTHENTICATED"),
        # Some lists give this with 402, some with 429.
        Rule(Outcome.NO_CREDIT, contains="credits are depleted"),
        # The free tier does not have the model: waiting does not help, whatever the answer says.
        Rule(Outcome.NO_ACCESS, 429, contains="limit: 0"),
        Rule(
            Outcome.BAD_REQUEST,
            contains="exceeds the maximum number of tokens",
            context_too_long=True,
        ),
        # The country, or billing that is missing.
        Rule(Outcome.NO_ACCESS, code="FAILED_PRECONDITION"),
        Rule(Outcome.NO_ACCESS, code="PERMISSION_DENIED"),
        Rule(Outcome.MODEL_MISSING, code="NOT_FOUND"),
        Rule(Outcome.RATE_LIMITED, code="RESOURCE_EXHAUSTED"),
        Rule(Outcome.OVERLOADED, code="UNAVAILABLE"),
        Rule(Outcome.UNAVAILABLE, code="INTERNAL"),
        Rule(Outcome.UNAVAILABLE, code="DEADLINE_EXCEEDED"),
        Rule(Outcome.BAD_REQUEST, code="INVALID_ARGUMENT"),
    ),
)
