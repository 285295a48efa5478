"""Google AI Studio: generateContent, with the model in the path."""

from collections.abc import Mapping
from typing import Any

import msgspec

from megabrain.simulator.connection import Call
from megabrain.simulator.dialects import gemini_rules
from megabrain.simulator.provider import Answer, Provider, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation

_MILLION = 1_048_576
_OUTPUT = 65_536
_LOW_TO_HIGH = ("LOW", "MEDIUM", "HIGH")
_LEVELS = {
    "gemini-4-hydrogen": (*_LOW_TO_HIGH, "XHIGH"),
    "gemini-4-neon": (*_LOW_TO_HIGH, "XHIGH"),
    "gemini-4": _LOW_TO_HIGH,
    "gemini-3.8": _LOW_TO_HIGH,
    "gemini-3.7": _LOW_TO_HIGH,
    "gemini-3.1-pro": _LOW_TO_HIGH,
    "gemini-3": ("MINIMAL", *_LOW_TO_HIGH),
}
_BUDGETS = {
    "gemini-2.5-pro": (128, 32_768),
    "gemini-2.5-flash-lite": (512, 24_576),
    "gemini-2.5-flash": (1, 24_576),
}
_PAID = ("gemini-4-carbon", "gemini-4-neon")
_RPC = "type.googleapis.com/google.rpc."
_DETAILS = {
    Case.BAD_KEY: [
        {"@type": f"{_RPC}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
    ],
    Case.RATE_LIMITED: [
        {
            "@type": f"{_RPC}QuotaFailure",
            "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}],
        },
        {"@type": f"{_RPC}RetryInfo", "retryDelay": "3s"},
    ],
}


class Google(Provider):
    id = "google"
    name = "Google AI Studio"
    path = "/google/v1beta"
    routes = {
        ("POST", "/v1beta/models/{model}:generateContent"): Operation.GENERATE_CONTENT,
        ("POST", "/v1beta/models/{model}:streamGenerateContent"): (
            Operation.STREAM_GENERATE_CONTENT
        ),
        ("POST", "/v1beta/models/{model}:countTokens"): Operation.GEMINI_COUNT_TOKENS,
        ("POST", "/v1beta/openai/embeddings"): Operation.EMBEDDINGS,
        ("GET", "/v1beta/models"): Operation.MODELS,
    }
    sample_key = "AIzasim-ok-0123456789abcdefghijklmnopqr"
    key_prefixes = ("AIza", "AQ.")
    models = (
        *(
            Model(f"gemini-{name}", _MILLION, _OUTPUT)
            for name in (
                "4-carbon",
                "4-neon",
                "4-argon",
                "4-hydrogen",
                "3.8-flash",
                "3.7-flash",
                "3.5-flash",
                "3.5-flash-lite",
                "3.1-pro-preview",
                "3.1-flash-lite",
                "2.5-pro",
                "2.5-flash",
                "2.5-flash-lite",
            )
        ),
        Model("gemini-embedding-001", 2048, 1, reasoning=False, only=Operation.EMBEDDINGS),
    )
    wordings = {
        Case.NO_KEY: Wording(
            403,
            "PERMISSION_DENIED",
            message="Method doesn't allow unregistered callers (callers without established "
            "identity). Please use API Key or other form of API consumer identity to call this "
            "API.",
        ),
        Case.BAD_KEY: Wording(
            400, "INVALID_ARGUMENT", message="API key not valid. Please pass a valid API key."
        ),
        Case.NO_ACCESS: Wording(
            403,
            "PERMISSION_DENIED",
            message="Requests to this API generativelanguage.googleapis.com method "
            "GenerateContent are blocked.",
        ),
        Case.NO_CREDIT: Wording(
            429,
            "RESOURCE_EXHAUSTED",
            message="Your prepayment credits are depleted. Please go to AI Studio to manage your "
            "billing.",
        ),
        Case.RATE_LIMITED: Wording(
            429,
            "RESOURCE_EXHAUSTED",
            message="You exceeded your current quota, please check your plan and billing details. "
            "Please retry in 3s.",
        ),
        Case.MODEL_MISSING: Wording(
            404,
            "NOT_FOUND",
            message="models/{model} is not found for API version v1beta, or is not supported for "
            "generateContent. Call ListModels to see the list of available models and their "
            "supported methods.",
        ),
        Case.OVERLOADED: Wording(
            503,
            "UNAVAILABLE",
            message="The model is overloaded. Please try again later.",
        ),
        Case.SERVER_ERROR: Wording(500, "INTERNAL", message="An internal error has occurred."),
        Case.BAD_REQUEST: Wording(
            400, "INVALID_ARGUMENT", message="Request contains an invalid argument."
        ),
        Case.TOO_LONG: Wording(
            400,
            "INVALID_ARGUMENT",
            message="The input token count (1200000) exceeds the maximum number of tokens allowed "
            "(1048576).",
        ),
        Case.TOO_LARGE: Wording(
            400, "INVALID_ARGUMENT", message="Request payload size exceeds the limit."
        ),
        Case.NO_SUCH_PATH: Wording(404, "NOT_FOUND", message="Requested entity was not found."),
    }

    def key(self, operation: Operation, headers: Mapping[str, str]) -> str:
        if operation is Operation.EMBEDDINGS:
            return super().key(operation, headers)
        if key := headers.get("x-goog-api-key"):
            return key
        raise Refused(Case.NO_KEY)

    def admit(self, key: str, model: Model) -> None:
        if "-free-" in key and model.id in _PAID:
            raise Refused(
                Case.RATE_LIMITED,
                "You exceeded your current quota. Quota exceeded for metric: "
                "generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 0, "
                f"model: {model.id}. Please retry in 3s.",
            )

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        if operation is Operation.EMBEDDINGS:
            return
        if model.only is Operation.EMBEDDINGS:
            words = self.words(Case.MODEL_MISSING).format(model=model.id)
            raise Refused(Case.MODEL_MISSING, words)
        thinking = _thinking(body)
        level, budget = thinking.get("thinkingLevel"), thinking.get("thinkingBudget")
        if level is not None and budget is not None:
            raise bad_request("You can only set only one of thinking budget and thinking level.")
        levels = next((ls for name, ls in _LEVELS.items() if model.id.startswith(name)), ())
        if level is not None and str(level).upper() not in levels:
            raise bad_request(f"Thinking level {level} is not supported for this model.")
        if budget is None or budget == -1:
            return
        if gemini_rules.signs(model):
            raise bad_request("Thinking budget is not supported for this model.")
        least, most = _BUDGETS[model.id]
        if not least <= budget <= most and (budget != 0 or "pro" in model.id):
            raise bad_request(
                f"The thinking budget {budget} is invalid. Please choose a value between {least} "
                f"and {most}."
            )

    def thinks(self, operation: Operation, body: Json, model: Model) -> bool:
        thinking = _thinking(body)
        return thinking.get("includeThoughts") is True and thinking.get("thinkingBudget") != 0

    def error(self, operation: Operation, refused: Refused) -> Answer:
        answer = super().error(operation, refused)
        body = msgspec.json.decode(answer.body)
        if refused.case in _DETAILS:
            body["error"]["details"] = _DETAILS[refused.case]
        # What stands in for OpenAI's API wraps its errors in a list.
        wrapped = [body] if operation is Operation.EMBEDDINGS else body
        return Answer(answer.status, msgspec.json.encode(wrapped), answer.headers)

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        return {
            "error": {
                "code": wording.status,
                "message": refused.message or wording.message,
                "status": wording.type,
            }
        }

    def list_models(self, call: Call) -> Json:
        query = call.query
        size = query.get("pageSize", "50")
        if not size.isdecimal() or int(size) > 1000:
            raise bad_request("* ListModelsRequest.page_size: page_size must be at most 1000\n")
        token = query.get("pageToken") or "0"
        if not token.isdecimal():
            raise bad_request("* ListModelsRequest.page_token: invalid page token\n")
        start = int(token)
        end = start + (int(size) or 50)
        page: Json = {"models": [self.describe(model) for model in self.models[start:end]]}
        if end < len(self.models):
            page["nextPageToken"] = str(end)
        return page

    def describe(self, model: Model) -> Json:
        methods = ["generateContent", "countTokens", "createCachedContent", "batchGenerateContent"]
        return {
            "name": f"models/{model.id}",
            "version": "001",
            "displayName": model.id.replace("-", " ").title(),
            "inputTokenLimit": model.context,
            "outputTokenLimit": model.output,
            "supportedGenerationMethods": methods if model.reasoning else ["embedContent"],
            "thinking": model.reasoning,
        }

    def headers(self, number: int) -> Mapping[str, str]:
        return {"server": "scaffolding on HTTPServer2", "x-gemini-service-tier": "standard"}


def _thinking(body: Json) -> dict[str, Any]:
    return (body.get("generationConfig") or {}).get("thinkingConfig") or {}


PROVIDER = Google()
