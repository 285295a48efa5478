"""Anthropic: Messages, and what its models refuse."""

import re
from collections.abc import Mapping

from megabrain.simulator.connection import Call
from megabrain.simulator.provider import Provider, Wording
from megabrain.simulator.refusals import Case, Refused
from megabrain.simulator.turn import Json, Model, Operation, Rule

BEARER_SINCE = "2026-10-21"
"""From this version of the API on, a key may come as a bearer token."""

_BEFORE_4_6 = frozenset({Rule.ADAPTIVE_THINKING, Rule.SYSTEM_IN_MESSAGES})
_4_6 = frozenset({Rule.PREFILL, Rule.SYSTEM_IN_MESSAGES})
_4_8 = frozenset({Rule.PREFILL, Rule.SAMPLING})
_5 = _4_8 | {Rule.THINKING_BUDGET}
_5_5 = _5 | {Rule.FORCED_TOOL}


class Anthropic(Provider):
    id = "anthropic"
    name = "Anthropic"
    path = "/anthropic"
    routes = {
        ("POST", "/v1/messages"): Operation.MESSAGES,
        ("POST", "/v1/messages/count_tokens"): Operation.COUNT_TOKENS,
        ("GET", "/v1/models"): Operation.MODELS,
    }
    sample_key = "sk-ant-api03-sim-ok-0123456789abcdefghij"
    key_prefixes = ("sk-ant-api03-",)
    refuses_unknown_fields = True
    wants_version = True
    models = (
        Model("claude-fable-5-2", 1_000_000, 128_000, refuses=_5_5),
        Model("claude-fable-5-1", 1_000_000, 128_000, refuses=_5_5),
        Model("claude-opus-5-5", 1_000_000, 128_000, refuses=_5_5),
        Model("claude-opus-5", 1_000_000, 128_000, refuses=_5),
        Model("claude-sonnet-5-5", 1_000_000, 128_000, refuses=_5_5),
        Model("claude-sonnet-5", 1_000_000, 128_000, refuses=_5),
        Model("claude-haiku-5-5", 1_000_000, 128_000, refuses=_5),
        Model(
            "claude-haiku-4-5-20251001",
            200_000,
            64_000,
            refuses=_BEFORE_4_6,
            aliases=("claude-haiku-4-5",),
        ),
        Model("claude-opus-4-8", 1_000_000, 128_000, refuses=_4_8),
        Model("claude-sonnet-4-6", 1_000_000, 128_000, refuses=_4_6),
    )
    wordings = {
        Case.NO_KEY: Wording(401, "authentication_error", message="x-api-key header is required"),
        Case.BAD_KEY: Wording(401, "authentication_error", message="invalid x-api-key"),
        Case.NO_ACCESS: Wording(
            403,
            "permission_error",
            message="Your API key does not have permission to use the specified resource.",
        ),
        Case.NO_CREDIT: Wording(
            400,
            "invalid_request_error",
            message="Your credit balance is too low to access the Anthropic API. Please go to "
            "Plans & Billing to upgrade or purchase credits.",
        ),
        Case.RATE_LIMITED: Wording(
            429,
            "rate_limit_error",
            message="This request would exceed your organization's rate limit of 50 requests per "
            "minute.",
            headers={"retry-after": "3"},
        ),
        Case.MODEL_MISSING: Wording(404, "not_found_error", message="model: {model}"),
        Case.OVERLOADED: Wording(529, "overloaded_error", message="Overloaded"),
        Case.SERVER_ERROR: Wording(500, "api_error", message="Internal server error"),
        Case.BAD_REQUEST: Wording(400, "invalid_request_error", message="Invalid request"),
        Case.TOO_LONG: Wording(
            400,
            "invalid_request_error",
            message="prompt is too long: 250000 tokens > 200000 maximum",
        ),
        Case.TOO_LARGE: Wording(
            413, "request_too_large", message="Request exceeds the maximum size"
        ),
        Case.NO_SUCH_PATH: Wording(404, "not_found_error", message="Not Found"),
    }

    def key(self, operation: Operation, headers: Mapping[str, str]) -> str:
        if key := headers.get("x-api-key"):
            return key
        if headers.get("anthropic-version", "") >= BEARER_SINCE:
            return super().key(operation, headers)
        raise Refused(Case.NO_KEY)

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        return {
            "type": "error",
            "error": {"type": wording.type, "message": refused.message or wording.message},
            "request_id": "req_simulated",
        }

    def list_models(self, call: Call) -> Json:
        query = call.query
        limit = int(query.get("limit", "20")) if query.get("limit", "20").isdecimal() else 0
        if not 1 <= limit <= 1000:
            raise Refused(Case.BAD_REQUEST, "limit: Input should be between 1 and 1000")
        models = list(self.models)
        if after := query.get("after_id"):
            position = next((i for i, model in enumerate(models, 1) if model.id == after), None)
            if position is None:
                raise Refused(Case.BAD_REQUEST, f"after_id: unknown model {after}")
            models = models[position:]
        page = [self.describe(model) for model in models[:limit]]
        return {
            "data": page,
            "has_more": len(models) > limit,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
        }

    def describe(self, model: Model) -> Json:
        return {
            "type": "model",
            "id": model.id,
            "display_name": _spoken(model.id),
            # What it says where it does not know the day.
            "created_at": "1970-01-01T00:00:00Z",
            "max_input_tokens": model.context,
            "max_tokens": model.output,
            "capabilities": {
                "image_input": {"supported": model.vision},
                "structured_outputs": {"supported": True},
                "thinking": {"supported": model.reasoning},
            },
        }

    def headers(self, number: int) -> Mapping[str, str]:
        return {
            "request-id": f"req_{number:024x}",
            "anthropic-organization-id": "00000000-0000-4000-8000-000000000000",
            "anthropic-ratelimit-requests-limit": "4000",
            "anthropic-ratelimit-requests-remaining": "3999",
            "anthropic-ratelimit-requests-reset": "2026-11-23T00:00:00Z",
            "cf-ray": f"{number:016x}-SIM",
            "server": "cloudflare",
        }


def _spoken(id_: str) -> str:
    """`Claude Haiku 4.5` of `claude-haiku-4-5-20251001`."""
    words = re.sub(r"-\d{8}$", "", id_)
    return re.sub(r"(\d)-(\d)", r"\1.\2", words).replace("-", " ").title()


PROVIDER = Anthropic()
