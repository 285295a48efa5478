"""Novita: Chat Completions for open models, a public list of models, and flat errors."""

from decimal import Decimal

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
        Model("moonshotai/kimi-k3.1-pro", 1_048_576, 1_048_576, price=("2", "10", "0.2")),
        Model("moonshotai/kimi-k3", 1_048_576, 1_048_576, price=("3", "15", "0.3")),
        Model("moonshotai/kimi-k2.7-code", 262_144, 262_144, price=("0.95", "4", "0.19")),
        Model("moonshotai/kimi-k2.6", 262_144, 262_144, price=("0.8", "3.4", "0.16")),
        Model("zai-org/glm-5.3", 1_048_576, 131_072, vision=False, price=("1.4", "4.4", "0.26")),
        Model("zai-org/glm-5.3-flash", 1_048_576, 131_072, price=("0.075", "0.25", "0.015")),
        Model("zai-org/glm-5.2", 1_048_576, 131_072, vision=False, price=("1.4", "4.4", "0.26")),
        Model(
            "deepseek/deepseek-v4-pro-0813",
            1_048_576,
            393_216,
            vision=False,
            price=("1.6", "3.2", "0.135"),
        ),
        Model(
            "deepseek/deepseek-v4-flash",
            1_048_576,
            393_216,
            vision=False,
            price=("0.14", "0.28", "0.028"),
        ),
        Model("minimax/minimax-m3", 1_000_000, 131_072, price=("0.3", "1.2", "0.06")),
        Model("minimax/minimax-m2.7", 204_800, 131_072, vision=False, price=("0.3", "1.2", "0.06")),
        Model("xiaomimimo/mimo-v2.6-pro", 1_048_576, 131_072, price=("0.435", "0.87", "0.0036")),
        Model("xiaomimimo/mimo-v2.6-flash", 1_048_576, 131_072, price=("0.14", "0.28", "0.0028")),
        Model("openai/gpt-oss-120b", 131_072, 32_768, vision=False, price=("0.05", "0.25")),
        Model("openai/gpt-oss-20b", 131_072, 32_768, vision=False, price=("0.04", "0.15")),
        Model(
            "meta-llama/llama-3.3-70b-instruct",
            131_072,
            120_000,
            reasoning=False,
            vision=False,
            price=("0.135", "0.4"),
        ),
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
        # In ten-thousandths of a dollar for a million tokens.
        prompt, completion, *cached = (int(Decimal(each) * 10**4) for each in model.price)
        return {
            **super().describe(model),
            "title": model.id,
            "context_size": model.context,
            "max_output_tokens": model.output,
            "features": ["function-calling", *(["reasoning"] if model.reasoning else [])],
            "input_modalities": ["text", "image"] if model.vision else ["text"],
            "output_modalities": ["text"],
            "model_type": "chat",
            "status": 1,
            "input_token_price_per_m": prompt,
            "output_token_price_per_m": completion,
            "pricing": {"input_cache_read": {"price_per_m": cached[0]}} if cached else {},
        }

    def balance(self) -> Json:
        return {"availableBalance": "1000000", "cashBalance": "1000000", "creditLimit": "0"}


PROVIDER = Novita()
