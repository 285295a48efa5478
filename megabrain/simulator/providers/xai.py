"""xAI: Chat Completions and Responses, flat errors, and a bad key that is a bad request."""

from decimal import Decimal

from megabrain.simulator.connection import Call
from megabrain.simulator.provider import Provider, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation, Usage

_INVALID = "Client specified an invalid argument"
_PAIR = "grok-4.20"
_WITH_PRICES = "/v1/language-models"
_PRICES = (
    "prompt_text_token_price",
    "completion_text_token_price",
    "cached_prompt_text_token_price",
)


class XAI(Provider):
    id = "xai"
    name = "xAI"
    path = "/xai/v1"
    routes = {
        ("POST", "/v1/chat/completions"): Operation.CHAT,
        ("POST", "/v1/responses"): Operation.RESPONSES,
        ("GET", "/v1/models"): Operation.MODELS,
        ("GET", _WITH_PRICES): Operation.MODELS,
    }
    sample_key = "xai-simok0123456789abcdefghij"
    key_prefixes = ("xai-",)
    models = (
        Model("grok-4.7", 500_000, 500_000, price=("2", "6", "0.5", "4", "12", "1", "200000")),
        Model("grok-4.6", 500_000, 500_000, price=("2", "6", "0.5")),
        Model("grok-4.5", 500_000, 500_000, price=("2", "6", "0.3")),
        Model("grok-4.3", 1_000_000, 30_000, price=("1.25", "2.5", "0.2")),
        Model("grok-4.20-0309-reasoning", 1_000_000, 30_000, price=("1.25", "2.5", "0.2")),
        Model(
            "grok-4.20-0309-non-reasoning",
            1_000_000,
            30_000,
            reasoning=False,
            price=("1.25", "2.5", "0.2"),
        ),
        Model("grok-build-0.1", 256_000, 256_000, price=("1", "2", "0.2")),
    )
    wordings = {
        Case.NO_KEY: Wording(
            401, "unauthenticated:no-credentials", message="No credentials presented."
        ),
        Case.BAD_KEY: Wording(
            400,
            _INVALID,
            message="Incorrect API key provided: xa***. You can obtain an API key from "
            "https://console.x.ai.",
        ),
        Case.NO_ACCESS: Wording(
            403, "permission-denied", message="The key may not use this endpoint."
        ),
        Case.NO_CREDIT: Wording(
            403,
            "permission-denied",
            message="Your team simulated has either used all available credits or reached its "
            "monthly spending limit.",
        ),
        Case.RATE_LIMITED: Wording(
            429,
            "Some resource has been exhausted",
            message="Too many requests for team simulated.",
            headers={"retry-after": "3"},
        ),
        Case.MODEL_MISSING: Wording(400, _INVALID, message="Model not found: {model}"),
        Case.OVERLOADED: Wording(
            503, "The service is currently unavailable", message="The model is at capacity."
        ),
        Case.SERVER_ERROR: Wording(500, "Internal error", message="Internal error."),
        Case.BAD_REQUEST: Wording(400, _INVALID, message="Invalid request."),
        Case.TOO_LONG: Wording(
            400,
            "invalid-argument",
            message="This model's maximum prompt length is 500000 but the request contains 637815 "
            "tokens.",
        ),
        Case.TOO_LARGE: Wording(413, _INVALID, message="Request body is too large."),
        Case.NO_SUCH_PATH: Wording(404, "Some requested entity was not found", message="No route."),
    }

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        refused = ["presence_penalty", "frequency_penalty"]
        if model.reasoning:
            refused.append("stop")
        if model.id.startswith(_PAIR):
            refused.append("reasoning_effort")
            if (body.get("reasoning") or {}).get("effort"):
                raise _unsupported(model, "reasoning.effort")
        for name in refused:
            if body.get(name) is not None:
                raise _unsupported(model, name)

    def list_models(self, call: Call) -> Json:
        if not call.path.endswith(_WITH_PRICES):
            return super().list_models(call)
        return {"models": [_with_prices(self.describe(model), model) for model in self.models]}

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        return {"code": wording.type, "error": refused.message or wording.message}

    def chat_usage(self, usage: Usage) -> Json:
        """Reasoning is counted beside the completion, and not in it."""
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output - usage.reasoning,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cache_read},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        }


def _with_prices(described: Json, model: Model) -> Json:
    """What the second of its lists tells, in cents for a hundred million tokens."""
    paid = [int(Decimal(price) * 10**4) for price in model.price[:6]]
    long = {f"{name}_long_context": each for name, each in zip(_PRICES, paid[3:], strict=False)}
    return {
        **described,
        "aliases": list(model.aliases),
        "input_modalities": ["text", "image"] if model.vision else ["text"],
        "output_modalities": ["text"],
        **dict(zip(_PRICES, paid, strict=False)),
        **long,
        "long_context_threshold": int(model.price[6]) if long else 0,
    }


def _unsupported(model: Model, name: str) -> Refused:
    return bad_request(f"Model {model.id} does not support parameter {name}.")


PROVIDER = XAI()
