"""OpenAI: Chat Completions, Responses and embeddings.

Its reasoning models refuse what its other models take, each generation something else.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from byok.providers import quirks
from byok.providers.base import Endpoint, Fields, Outcome, Probe, Provider, Rule
from byok.providers.chat_fields import (
    EFFORTS,
    EXTRAS,
    effort,
    effort_as,
    limit_as,
    nearest,
    unmarked,
)
from byok.providers.listing import Entry, Listed, id_in, textless

#: o3 and gpt-5.4-mini alike, but neither gpt-4o nor gpt-oss.
_ID = re.compile(r"(?:ft:)?(?:o(?P<o>\d)|gpt-(?P<gpt>\d+)(?:\.(?P<minor>\d+))?)(?![a-z])")
_O_SERIES, _O1 = 0, (0, 1)
#: Which of all that its list names write text when they are asked in Chat or Responses. The others
#: of the same families draw, speak, listen, complete a prompt, or do nothing but research.
_WRITES = re.compile(r"(?:gpt-\d|chatgpt-|o\d)(?!.*(?:instruct|deep-research))")

_SAMPLING = ("temperature", "top_p", "logprobs", "top_logprobs")
_NEVER = ("presence_penalty", "frequency_penalty", "logit_bias")
_OF_REASONING = ("reasoning", "reasoning_effort", "thinking", "verbosity")
#: What a conversation brings along from the answers of other companies.
_OF_MESSAGES = ("reasoning", "reasoning_content", "reasoning_details")
#: Parts of `reasoning` that OpenRouter knows, and Responses do not.
_OF_OPENROUTER = {"max_tokens", "exclude", "enabled"}

_LEAST_RESPONSE = 16
_ENCRYPTED, _LOGPROBS = "reasoning.encrypted_content", "message.output_text.logprobs"

Generation = tuple[int, int]


@lru_cache
def _generation(model: str) -> Generation | None:
    """(5, 4) for gpt-5.4-mini and (0, 3) for o3; None for a model that does not reason."""
    found = _ID.match(model)
    if found is None:
        return None
    if found["o"]:
        return _O_SERIES, int(found["o"])
    generation = int(found["gpt"]), int(found["minor"] or 0)
    return generation if generation >= (5, 0) else None


@lru_cache
def _efforts(model: str) -> tuple[str, ...]:
    """What a reasoning model accepts as its effort."""
    generation = _generation(model) or _O1
    if generation < (5, 0):
        least, most = "low", "high"
    elif generation < (5, 1):
        least, most = "minimal", "high"
    elif generation < (5, 2):
        least, most = "none", "high"
    elif generation < (5, 6):
        least, most = "none", "xhigh"
    else:
        least, most = "none", "max"
    # Uncertain: which of the sixth generation can do without reasoning, and that Codex's cannot.
    if model in {"gpt-6-astra", "gpt-6.1-sol"} or generation >= (7, 0) or "-codex" in model:
        least = "low"
    scale = EFFORTS[EFFORTS.index(least) : EFFORTS.index(most) + 1]
    # Only the first had it.
    return scale if generation == (5, 0) else tuple(each for each in scale if each != "minimal")


def _may_sample(generation: Generation, asked: str | None) -> bool:
    """Whether the caller can choose temperature and the like: where nothing is reasoned about."""
    return asked == "none" and (5, 1) <= generation < (6, 0)


class OpenAI(Provider):
    def read_entry(self, entry: Entry) -> Listed:
        id_ = id_in(entry)
        own = id_.removeprefix("ft:")
        return Listed(id_, writes_text=_WRITES.match(own) is not None and not textless(own))

    def spoken_for(
        self,
        asked: Endpoint,
        model: str,
        endpoints: Iterable[Endpoint],
        *,
        with_tools: bool = False,
    ) -> Endpoint | None:
        if _generation(model) is not None:
            # These tell what they thought, and take it back, in Responses alone.
            endpoints = sorted(endpoints, key=lambda endpoint: endpoint is not Endpoint.RESPONSES)
        return super().spoken_for(asked, model, endpoints, with_tools=with_tools)

    def speaks(self, model: str, endpoint: Endpoint, *, with_tools: bool) -> bool:
        generation = _generation(model)
        if endpoint is not Endpoint.CHAT or generation is None:
            return True
        # On Chat these refuse functions while they reason, and 5.5 and 5.6 do so unasked.
        return not (
            (with_tools and generation >= (5, 4)) or "-codex" in model or model.endswith("-pro")
        )

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        if endpoint is Endpoint.CHAT:
            return _chat(model, fields, max_output)
        if endpoint is Endpoint.RESPONSES:
            return _responses(model, fields, max_output)
        return fields


def _chat(model: str, fields: Fields, max_output: int | None) -> Fields:
    fields = quirks.without(fields, *EXTRAS - {"reasoning", "thinking"})
    fields = unmarked(fields)
    if b'"reasoning' in bytes(fields.get("messages", b"")):
        fields = quirks.each(fields, "messages", _without_reasoning)
    generation = _generation(model)
    if generation is None:
        fields = quirks.without(fields, *_OF_REASONING)
        for name in ("max_tokens", "max_completion_tokens"):
            fields = quirks.within(fields, name, 1, max_output)
        return fields
    fields = effort_as(fields, _efforts(model))
    fields = limit_as(fields, "max_completion_tokens", max_output)
    if generation > _O1:
        fields = quirks.without(fields, "stop")
    if not _may_sample(generation, quirks.value(fields, "reasoning_effort")):
        fields = quirks.without(fields, *_SAMPLING)
    return quirks.without(fields, *_NEVER)


def _without_reasoning(message: Fields) -> Fields:
    return quirks.without(message, *_OF_MESSAGES)


def _responses(model: str, fields: Fields, max_output: int | None) -> Fields:
    wanted, generation = effort(fields), _generation(model)
    fields = quirks.without(fields, *EXTRAS - {"reasoning"}, "reasoning_effort", "verbosity")
    fields = quirks.within(fields, "max_output_tokens", _LEAST_RESPONSE, max_output)
    if generation is None:
        return _not_including(quirks.without(fields, "reasoning"), _ENCRYPTED)
    if wanted is not None:
        wanted = nearest(wanted, _efforts(model))
        given = quirks.value(fields, "reasoning")
        options = given if isinstance(given, dict) else {}
        options = {name: each for name, each in options.items() if name not in _OF_OPENROUTER}
        if (options := {**options, "effort": wanted}) != given:
            fields = quirks.put(fields, "reasoning", options)
    if _may_sample(generation, wanted):
        return fields
    return _not_including(quirks.without(fields, *_SAMPLING), _LOGPROBS)


def _not_including(fields: Fields, name: str) -> Fields:
    """Without a part of the answer that this model does not have."""
    wanted = quirks.value(fields, "include")
    if not isinstance(wanted, list) or name not in wanted:
        return fields
    return quirks.put(fields, "include", [each for each in wanted if each != name])


PROVIDER = OpenAI(
    id="openai",
    name="OpenAI",
    base_url="https://api.openai.com/v1",
    console_url="https://platform.openai.com/api-keys",
    endpoints={
        Endpoint.CHAT: "/chat/completions",
        Endpoint.RESPONSES: "/responses",
        Endpoint.EMBEDDINGS: "/embeddings",
    },
    models_path="/models",
    vendor="openai",
    # A restricted key is refused the list and may still call models.
    list_proves_key=False,
    probes=(
        Probe("gpt-6-luna", {"max_completion_tokens": 16, "reasoning_effort": "none"}),
        # Uncertain: which efforts these two take; another refused option only moves the test on.
        Probe("gpt-5-nano", {"max_completion_tokens": 16, "reasoning_effort": "minimal"}),
        Probe("gpt-4.1-nano", {"max_completion_tokens": 16}),
    ),
    placeholder="sk-…",
    key_pattern=r"^sk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{20,}$",
    key_prefixes=("sk-proj-", "sk-svcacct-", "sk-"),
    unfit_prefixes={
        "sk-admin-": (
            "This is an OpenAI admin key. It manages an organization and cannot call models; "
            "create a project key, which begins with sk-proj-."
        ),
    },
    # Not openai-organization and openai-project: an SDK takes them from the caller's own
    # environment, and the wrong one makes a good key fail for everybody who shares it.
    forwards=(
        "openai-beta",
        "x-openai-*",
        "x-codex-*",
        "originator",
        "session-id",
        "session_id",
        "thread-id",
        "x-client-request-id",
    ),
    returns=("x-request-id", "openai-processing-ms", "retry-after", "retry-after-ms", "x-codex-*"),
    returns_to_key_owner=("x-ratelimit-*",),
    usage_option=True,
    custom_tools=True,
    error_rules=(
        Rule(Outcome.REJECTED, 401, code="invalid_api_key"),
        # Seen with 401 and with 403, and with or without the code.
        Rule(Outcome.NO_ACCESS, contains="missing scopes"),
        Rule(Outcome.NO_ACCESS, 401, code="ip_not_authorized"),  # Uncertain: the code's name.
        Rule(Outcome.NO_ACCESS, 403, code="unsupported_country_region_territory"),
        Rule(Outcome.MODEL_MISSING, 404, code="model_not_found"),
        # To stream it, or to see how it reasons: with the code of a field that is not supported.
        Rule(Outcome.NO_ACCESS, 400, contains="organization must be verified"),
        # A reference to something OpenAI did not keep is a fault of the request.
        Rule(Outcome.BAD_REQUEST, code="previous_response_not_found"),
        Rule(Outcome.BAD_REQUEST, 404, contains="item with id"),
        # The same status as a rate limit, and waiting does not help.
        Rule(Outcome.NO_CREDIT, 429, code="insufficient_quota"),
        Rule(Outcome.RATE_LIMITED, 429, code="rate_limit_exceeded"),
        Rule(Outcome.OVERLOADED, 503),
        Rule(Outcome.BAD_REQUEST, 400, code="context_length_exceeded", context_too_long=True),
        Rule(Outcome.BAD_REQUEST, 400, code="unsupported_parameter"),
        Rule(Outcome.BAD_REQUEST, 400, code="unsupported_value"),
    ),
)
