"""Perplexity: the Agent API, which is Responses with a schema that knows no other field."""

from megabrain.simulator.provider import Provider, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation, Usage

_FIELDS = frozenset(
    """input instructions language_preference max_output_tokens max_steps model models preset
    reasoning response_format stream tools""".split()  # noqa: SIM905 (one name a line would fill the page)
)
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


class Perplexity(Provider):
    id = "perplexity"
    name = "Perplexity"
    path = "/perplexity"
    routes = {
        ("POST", "/v1/responses"): Operation.RESPONSES,
        ("POST", "/v1/agent"): Operation.RESPONSES,
        ("GET", "/v1/models"): Operation.MODELS,
    }
    sample_key = "pplx-simok" + "0123456789abcdef" * 3
    key_prefixes = ("pplx-",)
    list_is_public = True
    models = (
        Model("perplexity/sonar", 128_000, 8192, reasoning=False, vision=False),
        Model("openai/gpt-6-luna", 1_050_000, 128_000),
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
            "type": wording.type,
            "code": wording.status,
            "param": refused.param,
        }
        if refused.case is Case.OVERLOADED:
            return {"object": "response", "status": "failed", "output": [], "error": error}
        return {"error": error}

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
