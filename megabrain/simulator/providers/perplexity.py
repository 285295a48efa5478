"""Perplexity: the Agent API, which is Responses, and the older Chat API, which calls no tools and
wants user and assistant in turn. Each has a schema that knows no other field."""

from itertools import dropwhile

from megabrain.simulator.provider import Provider, UsageAt, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation, Usage

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
_CHAT_PARTS = {"text": {"type", "text"}, "image_url": {"type", "image_url"}}
_ITEMS = {
    "message": {"type", "role", "content"},
    "function_call": {"type", "call_id", "name", "arguments", "thought_signature"},
    "function_call_output": {"type", "call_id", "output", "name", "thought_signature"},
}
_PARTS = {"input_text": {"type", "text"}, "input_image": {"type", "image_url"}}
_TOOLS = {
    "function": {"type", "name", "description", "parameters", "strict"},
    "web_search": {"type", "filters", "max_tokens", "max_tokens_per_page", "user_location"},
    "fetch_url": {"type", "max_urls"},
}
_MILLION = 1_000_000
_SOURCE = "https://example.com/pong"


class Perplexity(Provider):
    id = "perplexity"
    name = "Perplexity"
    path = "/perplexity"
    routes = {
        ("POST", "/v1/responses"): Operation.RESPONSES,
        ("POST", "/v1/agent"): Operation.RESPONSES,
        ("POST", "/chat/completions"): Operation.CHAT,
        ("GET", "/v1/models"): Operation.MODELS,
    }
    sample_key = "pplx-simok" + "0123456789abcdef" * 3
    key_prefixes = ("pplx-",)
    list_is_public = True
    refused_fields = frozenset()  # It is stricter; see `check`.
    usage_at = UsageAt.FINISH
    shows_reasoning = False
    models = (
        Model("perplexity/sonar", 128_000, 8192, reasoning=False, vision=False),
        Model("openai/gpt-6-luna", 1_050_000, 128_000),
        Model("sonar", 127_072, 8192, reasoning=False, only=Operation.CHAT, listed=False),
        Model("sonar-pro", 200_000, 8192, reasoning=False, only=Operation.CHAT, listed=False),
        Model("sonar-reasoning-pro", 128_000, 8192, only=Operation.CHAT, listed=False),
        Model("sonar-deep-research", 128_000, 8192, only=Operation.CHAT, listed=False),
    )
    wordings = {
        Case.NO_KEY: Wording(401, "invalid_api_key", None, "No API key provided."),
        Case.BAD_KEY: Wording(401, "invalid_api_key", None, "Invalid API key provided."),
        Case.NO_ACCESS: Wording(403, "forbidden", None, "Access denied."),
        Case.NO_CREDIT: Wording(
            401, "insufficient_quota", None, "You exceeded your current quota, check your billing."
        ),
        Case.RATE_LIMITED: Wording(
            429,
            "request_rate_limit_exceeded",
            None,
            "Request rate limit exceeded.",
            {"x-ratelimit-remaining-requests": "0"},
        ),
        Case.MODEL_MISSING: Wording(400, "invalid_model", None, "Invalid model '{model}'."),
        # A run that fails is answered all the same.
        Case.OVERLOADED: Wording(200, "server_error", None, "The run failed."),
        Case.SERVER_ERROR: Wording(500, "internal_server_error", None, "Internal server error."),
        Case.BAD_REQUEST: Wording(400, "invalid_request", None, "Invalid request."),
        Case.TOO_LONG: Wording(
            400, "invalid_request", None, "The input exceeds the maximum context length."
        ),
        Case.TOO_LARGE: Wording(413, "invalid_request", None, "Request body too large."),
        Case.NO_SUCH_PATH: Wording(404, "not_found", None, "Not found."),
    }

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        if (model.only is Operation.CHAT) != (operation is Operation.CHAT):
            raise Refused(Case.MODEL_MISSING, self.words(Case.MODEL_MISSING).format(model=model.id))
        if operation is Operation.CHAT:
            _check_chat(body)
            return
        _refuse_unknown(body, _FIELDS)
        _refuse_unknown(body.get("reasoning") or {}, {"effort"})
        if (body.get("reasoning") or {}).get("effort", "low") not in {"low", "medium", "high"}:
            raise bad_request("invalid request body: reasoning.effort", param="reasoning.effort")
        for tool in body.get("tools") or []:
            _refuse_unknown(tool, _known(tool, _TOOLS))
        items = body["input"] if isinstance(body["input"], list) else []
        for item in items:
            _refuse_unknown(item, _known(item, _ITEMS))
            if not isinstance(item.get("output", ""), str):
                raise bad_request("invalid request body: output must be a string")
            parts = item.get("content")
            for part in parts if isinstance(parts, list) else []:
                _refuse_unknown(part, _known(part, _PARTS))

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        error = {
            "message": refused.message or wording.message,
            "type": refused.code or wording.type,
            "code": wording.status,
            "param": refused.param,
        }
        if refused.case is Case.OVERLOADED:
            return {"object": "response", "status": "failed", "output": [], "error": error}
        return {"error": error}

    def chat_extras(self) -> Json:
        found = {"title": "Pong", "url": _SOURCE, "date": "2026-01-01"}
        return {"citations": [_SOURCE], "search_results": [found]}

    def chat_usage(self, usage: Usage) -> Json:
        """Reasoning is counted beside the completion, and not in it."""
        spoken = usage.output - usage.reasoning
        paid, spent = usage.input * 3 / _MILLION, spoken * 15 / _MILLION
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": spoken,
            "total_tokens": usage.input + spoken,
            "citation_tokens": 7,
            "num_search_queries": 1,
            "reasoning_tokens": usage.reasoning,
            "search_context_size": "low",
            "cost": {
                "input_tokens_cost": paid,
                "output_tokens_cost": spent,
                "request_cost": 0.006,
                "total_cost": paid + spent + 0.006,
            },
        }

    def responses_usage(self, usage: Usage) -> Json:
        paid, spent = usage.input * 0.25 / _MILLION, usage.output * 2.5 / _MILLION
        return {
            "input_tokens": usage.input,
            "output_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "input_tokens_details": {"cache_read_input_tokens": usage.cache_read},
            "cost": {
                "currency": "USD",
                "input_cost": paid,
                "output_cost": spent,
                "total_cost": paid + spent,
            },
        }

    def event(self, written: bytes) -> bytes:
        """Its events have no names."""
        return written[written.index(b"data: ") :]


def _check_chat(body: Json) -> None:
    if body.get("tools"):
        raise bad_request("Tool calling is not supported for this model.", param="tools")
    _refuse_unknown(body, _CHAT_FIELDS)
    if body.get("reasoning_effort", "low") not in {"minimal", "low", "medium", "high"}:
        raise bad_request("invalid request body: reasoning_effort", param="reasoning_effort")
    if (body.get("response_format") or {}).get("type", "text") not in {"text", "json_schema"}:
        raise bad_request("invalid request body: response_format", param="response_format")
    for message in body["messages"]:
        _refuse_unknown(message, {"role", "content"})
        parts = message["content"]
        for part in parts if isinstance(parts, list) else []:
            _refuse_unknown(part, _known(part, _CHAT_PARTS))
            _refuse_unknown(part.get("image_url") or {}, {"url"})
    roles = [message["role"] for message in body["messages"]]
    turns = list(dropwhile(lambda role: role == "system", roles))
    if any(role != ("user", "assistant")[at % 2] for at, role in enumerate(turns)):
        raise bad_request(
            "After the (optional) system message(s), user or tool message(s) should alternate with "
            "assistant message(s).",
            code="invalid_message",
        )
    if turns[-1:] != ["user"]:
        raise bad_request("Last message must have role `user` or `tool`.", code="invalid_message")


def _known(holder: Json, kinds: dict[str, set[str]]) -> set[str]:
    kind = holder.get("type")
    if kind not in kinds:
        raise bad_request(f"invalid request body: unknown type {kind!r}", param="type")
    return kinds[kind]


def _refuse_unknown(holder: Json, known: frozenset[str] | set[str]) -> None:
    if unknown := [name for name in holder if name not in known]:
        raise bad_request(
            f'invalid request body: json: unknown field "{unknown[0]}"', param=unknown[0]
        )


PROVIDER = Perplexity()
