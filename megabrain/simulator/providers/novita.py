"""Novita: Chat Completions for open models, a public list of models, and flat errors."""

from megabrain.simulator.provider import OPENROUTERS, Provider, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation


class Novita(Provider):
    id = "novita"
    name = "Novita"
    path = "/novita/openai/v1"
    routes = {
        ("POST", "/openai/v1/chat/completions"): Operation.CHAT,
        ("POST", "/openai/v1/completions"): Operation.COMPLETIONS,
        ("POST", "/v3/openai/chat/completions"): Operation.CHAT,
        ("GET", "/openai/v1/models"): Operation.MODELS,
        ("GET", "/openapi/v1/billing/balance/detail"): Operation.BALANCE,
    }
    sample_key = "sk_sim-ok-0123456789abcdefghij"
    key_prefixes = ("sk_",)
    list_is_public = True
    fim_is_text = True
    refused_fields = (OPENROUTERS | {"thinking"}) - {"min_p", "repetition_penalty", "top_k"}
    models = (
        Model("moonshotai/kimi-k3.1-pro", 1_048_576, 1_048_576),
        Model("moonshotai/kimi-k3", 1_048_576, 1_048_576),
        Model("moonshotai/kimi-k2.7-code", 262_144, 262_144),
        Model("moonshotai/kimi-k2.6", 262_144, 262_144),
        Model("zai-org/glm-5.3", 1_048_576, 131_072, vision=False),
        Model("zai-org/glm-5.3-flash", 1_048_576, 131_072),
        Model("zai-org/glm-5.2", 1_048_576, 131_072, vision=False),
        Model("deepseek/deepseek-v4-pro-0813", 1_048_576, 393_216, vision=False),
        Model("deepseek/deepseek-v4-flash", 1_048_576, 393_216, vision=False),
        Model("minimax/minimax-m3", 1_000_000, 131_072),
        Model("minimax/minimax-m2.7", 204_800, 131_072, vision=False),
        Model("xiaomimimo/mimo-v2.6-pro", 1_048_576, 131_072),
        Model("xiaomimimo/mimo-v2.6-flash", 1_048_576, 131_072),
        Model("openai/gpt-oss-120b", 131_072, 32_768, vision=False),
        Model("openai/gpt-oss-20b", 131_072, 32_768, vision=False),
        Model("meta-llama/llama-3.3-70b-instruct", 131_072, 120_000, reasoning=False, vision=False),
    )
    wordings = {
        Case.NO_KEY: Wording(401, "", "FAILED_TO_AUTH", "failed to authenticate API key"),
        Case.BAD_KEY: Wording(401, "", "FAILED_TO_AUTH", "failed to authenticate API key"),
        Case.NO_ACCESS: Wording(403, "", "MODEL_ACCESS_DENIED", "model access denied"),
        Case.NO_CREDIT: Wording(403, "", "NOT_ENOUGH_BALANCE", "not enough balance"),
        Case.RATE_LIMITED: Wording(
            429, "", "RATE_LIMIT_EXCEEDED", "rate limit exceeded", {"retry-after": "3"}
        ),
        Case.MODEL_MISSING: Wording(404, "", "MODEL_NOT_FOUND", "model not found"),
        Case.OVERLOADED: Wording(503, "", "SERVICE_NOT_AVAILABLE", "service not available"),
        Case.SERVER_ERROR: Wording(500, "", "INTERNAL_SERVER_ERROR", "internal server error"),
        Case.BAD_REQUEST: Wording(400, "", "INVALID_REQUEST_BODY", "invalid request body"),
        Case.TOO_LONG: Wording(
            400, "", "INVALID_REQUEST_BODY", "the input exceeds the maximum context length"
        ),
        Case.TOO_LARGE: Wording(413, "", "REQUEST_TOO_LARGE", "request body too large"),
        Case.NO_SUCH_PATH: Wording(404, "", "NOT_FOUND", "page not found"),
    }

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        if body.get("reasoning_effort", "low") not in {"low", "medium", "high"}:
            raise bad_request("invalid reasoning_effort")

    def thinks(self, operation: Operation, body: Json, model: Model) -> bool:
        return model.reasoning and body.get("enable_thinking") is not False

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        return {
            "code": wording.status,
            "reason": wording.code,
            "message": refused.message or wording.message,
            "metadata": {},
        }

    def describe(self, model: Model) -> Json:
        return {
            **super().describe(model),
            "title": model.id,
            "context_size": model.context,
            "max_output_tokens": model.output,
            "features": ["function-calling", *(["reasoning"] if model.reasoning else [])],
            "status": 1,
        }

    def balance(self) -> Json:
        return {"availableBalance": "1000000", "cashBalance": "1000000", "creditLimit": "0"}


PROVIDER = Novita()
