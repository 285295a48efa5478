"""Inception: Chat Completions and fill-in-the-middle of the Mercury models."""

from decimal import Decimal

from megabrain.simulator.provider import OPENROUTERS, Provider, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation, Usage

_INVALID = "invalid_request_error"
_FIM = frozenset(
    """frequency_penalty max_tokens model presence_penalty prompt repetition_penalty stop stream
    stream_options suffix top_k top_p""".split()  # noqa: SIM905 (one name a line would fill the page)
)


class Inception(Provider):
    id = "inception"
    name = "Inception"
    path = "/inception/v1"
    routes = {
        ("POST", "/v1/chat/completions"): Operation.CHAT,
        ("POST", "/v1/fim/completions"): Operation.FIM,
        ("GET", "/v1/models"): Operation.MODELS,
    }
    sample_key = "sk_sim-ok-0123456789abcdefghij"
    key_prefixes = ("sk_",)
    fim_is_text = True
    shows_reasoning = False
    refused_fields = OPENROUTERS | {"thinking"}
    models = (
        Model("mercury-3", 1_000_000, 131_072, vision=False, price=("0.1", "0.35", "0.01")),
        Model("mercury-2.5", 260_000, 65_536, vision=False, price=("0.04", "0.15", "0.004")),
        Model("mercury-2", 128_000, 50_000, vision=False, price=("0.25", "0.75", "0.025")),
        Model(
            "mercury-edit-2",
            128_000,
            8192,
            reasoning=False,
            vision=False,
            fim=True,
            price=("0.25", "0.75", "0.025"),
        ),
    )
    wordings = {
        Case.NO_KEY: Wording(401, _INVALID, "invalid_api_key", "No API key provided"),
        Case.BAD_KEY: Wording(401, _INVALID, "invalid_api_key", "Incorrect API key provided"),
        Case.NO_ACCESS: Wording(403, "permission_error", None, "Access denied"),
        Case.NO_CREDIT: Wording(402, "account_error", "account_error", "Account is inactive"),
        Case.RATE_LIMITED: Wording(
            429,
            "rate_limit_error",
            "rate_limit_reached",
            "Rate limit exceeded. Please try again later.",
            {"retry-after": "3"},
        ),
        Case.MODEL_MISSING: Wording(400, _INVALID, "model_not_found", "Model {model} not found"),
        Case.OVERLOADED: Wording(503, "server_error", None, "Service unavailable"),
        Case.SERVER_ERROR: Wording(
            500,
            "server_error",
            "server_error",
            "The server had an error while processing your request.",
        ),
        Case.BAD_REQUEST: Wording(400, _INVALID, None, "Invalid request"),
        Case.TOO_LONG: Wording(
            400,
            _INVALID,
            "context_length_exceeded",
            "You exceeded the maximum context length for this model. Please reduce the length of "
            "the messages or completion.",
        ),
        Case.TOO_LARGE: Wording(413, _INVALID, None, "Request body too large"),
        Case.NO_SUCH_PATH: Wording(404, _INVALID, None, "Not found"),
    }

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        if operation is Operation.FIM:
            if unknown := body.keys() - _FIM:
                raise bad_request(f"Extra inputs are not permitted: {min(unknown)}")
            if isinstance(body.get("stop"), str):
                raise bad_request("stop: Input should be a valid list")
            return
        if model.fim:
            raise bad_request(f"{model.id} does not support chat completions", param="model")
        temperature = body.get("temperature")
        if temperature is not None and not 0.5 <= temperature <= 1:
            raise bad_request("temperature must be between 0.5 and 1.0", param="temperature")
        if body.get("reasoning_effort", "low") not in {"instant", "low", "medium", "high"}:
            raise bad_request("reasoning_effort must be instant, low, medium or high")
        if body.get("tool_choice", "auto") not in {"auto", "required", "none"}:
            raise bad_request("tool_choice must be auto, required or none", param="tool_choice")
        if any(message["role"] == "developer" for message in body["messages"]):
            raise bad_request("messages.0.role: Input should be 'system', 'user', 'assistant'")

    def thinks(self, operation: Operation, body: Json, model: Model) -> bool:
        return model.reasoning and body.get("reasoning_effort") != "instant"

    def describe(self, model: Model) -> Json:
        prompt, completion, cached = (f"{Decimal(each) / 10**6:f}" for each in model.price)
        return {
            **super().describe(model),
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "context_length": model.context,
            "max_output_length": model.output,
            "pricing": {"prompt": prompt, "completion": completion, "input_cache_read": cached},
            "supported_features": [] if model.fim else ["tools", "reasoning"],
        }

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        body = super().error_body(operation, wording, refused)
        if refused.case is Case.MODEL_MISSING:
            # Of what is wrong with a model it makes a list.
            body["error"]["message"] = [body["error"]["message"]]
        return body

    def chat_usage(self, usage: Usage) -> Json:
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "reasoning_tokens": usage.reasoning,
            "cached_input_tokens": usage.cache_read,
        }


PROVIDER = Inception()
