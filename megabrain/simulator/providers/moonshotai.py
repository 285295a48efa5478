"""Moonshot AI: Kimi over Chat Completions and Messages, on a host for China and one for the rest.

Keys with `-cn-` in them belong to the host for China.
"""

from megabrain.simulator.provider import Provider, UsageAt, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation, Usage

_CHINA = "moonshotai-cn"
_INVALID = "invalid_request_error"
_FIXED = {
    "temperature": (1, 0.6),
    "top_p": (0.95,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
}


class MoonshotAI(Provider):
    id = "moonshotai"
    name = "Moonshot AI"
    path = "/moonshotai/v1"
    hosts = {_CHINA: "/moonshotai/cn/v1"}
    key_marks = {_CHINA: "-cn-"}
    routes = {
        (method, host + path): operation
        for host in ("", "/cn")
        for (method, path), operation in {
            ("POST", "/v1/chat/completions"): Operation.CHAT,
            ("POST", "/anthropic/v1/messages"): Operation.MESSAGES,
            ("GET", "/v1/models"): Operation.MODELS,
            ("GET", "/v1/users/me/balance"): Operation.BALANCE,
        }.items()
    }
    sample_key = "sk-sim-ok-0123456789abcdefghij"
    key_prefixes = ("sk-",)
    usage_at = UsageAt.CHOICE
    models = (
        Model("kimi-k3.1-pro", 1_048_576, 1_048_576),
        Model("kimi-k3.1-pro-highspeed", 1_048_576, 1_048_576),
        Model("kimi-k3", 1_048_576, 1_048_576),
        Model("kimi-k2.7-code", 262_144, 262_144),
        Model("kimi-k2.7-code-highspeed", 262_144, 262_144),
        Model("kimi-k2.6", 262_144, 262_144),
    )
    wordings = {
        Case.NO_KEY: Wording(401, "invalid_authentication_error", None, "Invalid Authentication"),
        Case.BAD_KEY: Wording(401, "invalid_authentication_error", None, "Invalid Authentication"),
        Case.NO_ACCESS: Wording(403, "permission_denied_error", None, "Permission denied"),
        Case.NO_CREDIT: Wording(
            429,
            "exceeded_current_quota_error",
            None,
            "Your account is suspended due to insufficient balance, please recharge",
        ),
        Case.RATE_LIMITED: Wording(
            429,
            "rate_limit_reached_error",
            None,
            "Your account reached max request, please try again after 3 seconds",
            {"retry-after": "3"},
        ),
        Case.MODEL_MISSING: Wording(
            404,
            "resource_not_found_error",
            None,
            "Not found the model {model} or Permission denied",
        ),
        Case.OVERLOADED: Wording(
            429,
            "engine_overloaded_error",
            None,
            "The engine is currently overloaded, please try again later",
        ),
        Case.SERVER_ERROR: Wording(500, "server_error", None, "Internal server error"),
        Case.BAD_REQUEST: Wording(400, _INVALID, None, "Invalid request"),
        Case.TOO_LONG: Wording(
            400,
            _INVALID,
            None,
            "Your request exceeded model token limit: 262144 (requested: 291351)",
        ),
        Case.TOO_LARGE: Wording(413, _INVALID, None, "Request body too large"),
        Case.NO_SUCH_PATH: Wording(404, "resource_not_found_error", None, "No such path"),
    }

    def issued(self, key: str) -> bool:
        foreign = ("sk-ant-", "sk-proj-", "sk-api-", "sk-cp-", "sk-kimi-")
        return super().issued(key) and not key.startswith(foreign)

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        check_sampling(body)
        choice = body.get("tool_choice")
        kind = choice.get("type") if isinstance(choice, dict) else choice
        if kind not in {None, "auto", "none"} and model.id.startswith("kimi-k2"):
            raise bad_request(f"tool_choice '{kind}' is incompatible with thinking enabled")
        if operation is Operation.CHAT:
            self._check_chat(body, model)

    def _check_chat(self, body: Json, model: Model) -> None:
        if body.get("reasoning_effort") not in {None, "low", "high", "max"}:
            raise bad_request("invalid reasoning_effort: must be low, high or max")
        if any(message["role"] == "developer" for message in body["messages"]):
            raise bad_request("invalid role: developer")
        if self.thinks(Operation.CHAT, body, model):
            check_reasoning(body)

    def thinks(self, operation: Operation, body: Json, model: Model) -> bool:
        off = (body.get("thinking") or {}).get("type") == "disabled"
        return not (off and model.id == "kimi-k2.6")

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        error = {"message": refused.message or wording.message, "type": wording.type}
        return {**({"type": "error"} if operation is Operation.MESSAGES else {}), "error": error}

    def describe(self, model: Model) -> Json:
        return {
            **super().describe(model),
            "context_length": model.context,
            "supports_image_in": model.vision,
            "supports_video_in": model.vision,
            "supports_reasoning": model.reasoning,
        }

    def balance(self) -> Json:
        amounts = {"available_balance": 110, "voucher_balance": 10, "cash_balance": 100}
        return {"code": 0, "data": amounts, "scode": "0x0", "status": True}

    def chat_usage(self, usage: Usage) -> Json:
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "cached_tokens": usage.cache_read,
        }


def check_sampling(body: Json) -> None:
    for name, accepted in _FIXED.items():
        if body.get(name) is not None and body[name] not in accepted:
            raise bad_request(f"invalid {name}: only {accepted[0]} is allowed for this model")
    for name in ("seed", "top_k"):
        if name in body:
            raise bad_request(f"unknown field: {name}")


def check_reasoning(body: Json) -> None:
    for index, message in enumerate(body["messages"]):
        if message.get("tool_calls") and "reasoning_content" not in message:
            raise bad_request(
                "thinking is enabled but reasoning_content is missing in assistant tool call "
                f"message at index {index}"
            )


PROVIDER = MoonshotAI()
