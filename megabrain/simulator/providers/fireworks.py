"""Fireworks: Chat Completions for open models under ids of its own."""

from megabrain.simulator.provider import OPENROUTERS, Provider, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation, Usage

_FOLDER = "accounts/fireworks/models/"


class Fireworks(Provider):
    id = "fireworks"
    name = "Fireworks"
    path = "/fireworks/inference/v1"
    routes = {
        ("POST", "/inference/v1/chat/completions"): Operation.CHAT,
        ("POST", "/inference/v1/completions"): Operation.COMPLETIONS,
        ("GET", "/inference/v1/models"): Operation.MODELS,
    }
    sample_key = "fw_simok0123456789ABCDEFGHIJ"
    key_prefixes = ("fw_",)
    usage_unasked = True
    usual_output = 2048
    fim_is_text = True
    refused_fields = OPENROUTERS - {"min_p", "repetition_penalty", "top_k"}
    models = (
        Model(_FOLDER + "kimi-k3", 1_048_576, 131_072),
        Model(_FOLDER + "kimi-k2p7-code", 262_000, 262_000),
        Model(_FOLDER + "glm-5p3", 1_048_573, 131_072, vision=False),
        Model(_FOLDER + "glm-5p3-flash", 1_048_573, 131_072),
        Model(_FOLDER + "glm-5p2", 1_048_575, 131_072, vision=False),
        Model(_FOLDER + "deepseek-v4-pro-0813", 1_000_000, 384_000, vision=False),
        Model(_FOLDER + "deepseek-v4p1-flash", 1_000_000, 384_000, vision=False),
        Model(_FOLDER + "minimax-m3", 512_000, 512_000),
        Model(_FOLDER + "minimax-m2p7", 196_608, 196_608, vision=False),
        Model(_FOLDER + "qwen3p8-max", 262_144, 131_072, vision=False),
        Model(_FOLDER + "gpt-oss-120b", 131_072, 32_768, vision=False),
        Model(_FOLDER + "gpt-oss-20b", 131_072, 32_768, vision=False),
    )
    wordings = {
        Case.NO_KEY: Wording(401, "error", "UNAUTHORIZED", "The API key is missing."),
        Case.BAD_KEY: Wording(401, "error", "UNAUTHORIZED", "The API key you provided is invalid."),
        Case.NO_ACCESS: Wording(403, "error", "FORBIDDEN", "Access to this model is denied."),
        Case.NO_CREDIT: Wording(
            412,
            "error",
            "PRECONDITION_FAILED",
            "Account simulated is suspended, possibly due to reaching the monthly spending limit "
            "or failure to pay past invoices.",
        ),
        Case.RATE_LIMITED: Wording(
            429,
            "error",
            "RATE_LIMIT_EXCEEDED",
            "Rate limit exceeded, please try again later.",
            {"retry-after": "3"},
        ),
        Case.MODEL_MISSING: Wording(
            404, "error", "NOT_FOUND", "Model not found, inaccessible, and/or not deployed"
        ),
        Case.OVERLOADED: Wording(503, "error", "SERVICE_UNAVAILABLE", "Service overloaded"),
        Case.SERVER_ERROR: Wording(500, "error", "INTERNAL", "Internal server error"),
        Case.BAD_REQUEST: Wording(
            400, "invalid_request_error", "invalid_request_error", "Invalid request"
        ),
        Case.TOO_LONG: Wording(
            400,
            "invalid_request_error",
            "invalid_request_error",
            "The prompt is too long: 300000, model maximum context length: 262143",
        ),
        Case.TOO_LARGE: Wording(413, "error", "PAYLOAD_TOO_LARGE", "Request body too large"),
        Case.NO_SUCH_PATH: Wording(404, "error", "NOT_FOUND", "Path not found"),
    }

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        if body.get("reasoning_effort") and body.get("thinking"):
            raise bad_request("reasoning_effort and thinking cannot be used together")
        if body.get("reasoning_effort", "none") not in {"none", "low", "medium", "high"}:
            raise bad_request("reasoning_effort must be none, low, medium or high")
        off = (body.get("thinking") or {}).get("type") == "disabled"
        if model.id.endswith("/glm-5p3") and (off or body.get("reasoning_effort") == "none"):
            raise bad_request("thinking cannot be disabled for this model")

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        return {
            **super().error_body(operation, wording, refused),
            "request_id": "00000000-0000-4000-8000-000000000000",
        }

    def describe(self, model: Model) -> Json:
        return {
            **super().describe(model),
            "kind": "HF_BASE_MODEL",
            "supports_chat": True,
            "supports_tools": True,
            "supports_image_input": model.vision,
            "context_length": model.context,
        }

    def chat_usage(self, usage: Usage) -> Json:
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        }


PROVIDER = Fireworks()
