"""Z.ai: Chat Completions of the GLM models, with its own numbers for what is wrong."""

from megabrain.simulator.provider import OPENROUTERS, Provider, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation, Usage

_ALWAYS_THINK = ("glm-5.3", "glm-5.3-prime")
_UNKNOWN = OPENROUTERS | {
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "presence_penalty",
    "top_logprobs",
    "verbosity",
}


class Zai(Provider):
    id = "zai"
    name = "Z.ai"
    path = "/zai/api/paas/v4"
    routes = {
        ("POST", "/api/paas/v4/chat/completions"): Operation.CHAT,
        ("GET", "/api/paas/v4/models"): Operation.MODELS,
    }
    sample_key = "0123456789abcdef0123456789abcdef.simok0123456789a"
    key_prefixes = ("",)
    refused_fields = _UNKNOWN
    models = (
        Model("glm-5.3", 1_000_000, 131_072, vision=False),
        Model("glm-5.3-prime", 1_000_000, 131_072, vision=False),
        Model("glm-5.3-flashx", 1_000_000, 131_072),
        Model("glm-5.3-flash", 1_000_000, 131_072),
        Model("glm-5.2", 1_000_000, 131_072, vision=False),
        Model("glm-5.1", 204_800, 131_072, vision=False),
        Model("glm-5", 204_800, 131_072, vision=False),
        Model("glm-5-turbo", 200_000, 131_072, vision=False),
        Model("glm-4.7", 204_800, 131_072, vision=False),
        Model("glm-4.7-flash", 200_000, 131_072, vision=False),
        Model("glm-4.5-air", 131_072, 98_304, vision=False),
    )
    wordings = {
        Case.NO_KEY: Wording(401, "", "1001", "Authentication parameter not received in Header"),
        Case.BAD_KEY: Wording(401, "", "1000", "Authentication Failed"),
        Case.NO_ACCESS: Wording(403, "", "1220", "You do not have permission to access it"),
        Case.NO_CREDIT: Wording(
            429, "", "1113", "Insufficient balance or no resource package. Please recharge."
        ),
        Case.RATE_LIMITED: Wording(429, "", "1302", "Rate limit reached for requests"),
        Case.MODEL_MISSING: Wording(400, "", "1211", "Unknown Model, please check the model code."),
        Case.OVERLOADED: Wording(429, "", "1305", "The service may be temporarily overloaded"),
        Case.SERVER_ERROR: Wording(500, "", "1234", "Network error, please try again later"),
        Case.BAD_REQUEST: Wording(400, "", "1210", "API call parameters are incorrect"),
        Case.TOO_LONG: Wording(400, "", "1261", "Prompt exceeds max length"),
        Case.TOO_LARGE: Wording(413, "", "1210", "Request body too large"),
        Case.NO_SUCH_PATH: Wording(404, "", "1200", "API call failed"),
    }

    def issued(self, key: str) -> bool:
        return "." in key or key.startswith("sim-")

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        for name in ("temperature", "top_p"):
            number = body.get(name)
            if number is not None and not 0 <= number <= 1:
                raise bad_request(f"{name} must be between 0 and 1")
        _check_thinking(body, model)
        if body.get("tool_choice", "auto") != "auto":
            raise bad_request("tool_choice supports auto only")
        if (body.get("response_format") or {}).get("type") == "json_schema":
            raise bad_request("response_format supports text and json_object")
        if any(message["role"] == "developer" for message in body["messages"]):
            raise bad_request("Incorrect role information")

    def thinks(self, operation: Operation, body: Json, model: Model) -> bool:
        return (body.get("thinking") or {}).get("type") != "disabled"

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        return {"error": {"code": wording.code, "message": refused.message or wording.message}}

    def chat_usage(self, usage: Usage) -> Json:
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cache_read},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        }


def _check_thinking(body: Json, model: Model) -> None:
    thinking = body.get("thinking") or {}
    if thinking.keys() - {"type", "clear_thinking"}:
        raise bad_request("thinking has an unknown field")
    if thinking.get("type", "enabled") not in {"enabled", "disabled"}:
        raise bad_request("thinking.type must be enabled or disabled")
    if thinking.get("type") == "disabled" and model.id in _ALWAYS_THINK:
        raise bad_request(f"thinking cannot be disabled for {model.id}")
    if "reasoning_effort" in body:
        if not model.id.startswith("glm-5.3"):
            raise bad_request("reasoning_effort is not supported by this model")
        if body["reasoning_effort"] not in {"low", "high", "max"}:
            raise bad_request("reasoning_effort must be low, high or max")


PROVIDER = Zai()
