"""DeepSeek: Chat Completions that think unless told otherwise, fill-in-the-middle, Messages."""

from collections.abc import Mapping

from megabrain.simulator.provider import OPENROUTERS, Provider, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation, Usage

_INVALID = "invalid_request_error"
_LONGEST_FIM = 4096
_SWITCH = ({"type": "enabled"}, {"type": "disabled"})
_MESSAGES = {Operation.MESSAGES, Operation.COUNT_TOKENS}


class DeepSeek(Provider):
    id = "deepseek"
    name = "DeepSeek"
    path = "/deepseek"
    routes = {
        ("POST", "/chat/completions"): Operation.CHAT,
        ("POST", "/v1/chat/completions"): Operation.CHAT,
        ("POST", "/beta/completions"): Operation.FIM,
        ("POST", "/anthropic/v1/messages"): Operation.MESSAGES,
        ("GET", "/models"): Operation.MODELS,
        ("GET", "/v1/models"): Operation.MODELS,
        ("GET", "/user/balance"): Operation.BALANCE,
    }
    sample_key = "sk-simok0123456789abcdef0123456789"
    key_prefixes = ("sk-",)
    keep_alive = b": keep-alive\n\n"
    fim_is_text = True
    refused_fields = OPENROUTERS | {"n", "seed"}
    models = (
        Model(
            "deepseek-flash",
            1_048_576,
            393_216,
            aliases=("deepseek-chat", "deepseek-reasoner", "deepseek-v4-flash"),
            fim=True,
        ),
        Model("deepseek-v4-pro", 1_048_576, 393_216, vision=False, fim=True),
    )
    wordings = {
        Case.NO_KEY: Wording(
            401,
            "authentication_error",
            _INVALID,
            "Authentication Fails (auth header format should be Bearer sk-...)",
        ),
        Case.BAD_KEY: Wording(
            401,
            "authentication_error",
            _INVALID,
            "Authentication Fails, Your api key: {key} is invalid",
        ),
        Case.NO_ACCESS: Wording(403, "permission_error", _INVALID, "Access denied"),
        Case.NO_CREDIT: Wording(402, "unknown_error", _INVALID, "Insufficient Balance"),
        Case.RATE_LIMITED: Wording(
            429,
            "rate_limit_error",
            "rate_limit_error",
            "You are sending requests too quickly.",
            {"retry-after": "3"},
        ),
        Case.MODEL_MISSING: Wording(
            400,
            _INVALID,
            _INVALID,
            "The supported API model names are deepseek-flash or deepseek-v4-pro, but you passed "
            "{model}.",
        ),
        Case.OVERLOADED: Wording(
            503,
            "service_unavailable_error",
            "service_unavailable_error",
            "Service is too busy. We advise users to temporarily switch to alternative LLM API "
            "service providers.",
        ),
        Case.SERVER_ERROR: Wording(500, "internal_error", "internal_error", "Internal error"),
        Case.BAD_REQUEST: Wording(400, _INVALID, _INVALID, "Invalid request"),
        Case.TOO_LONG: Wording(
            400,
            _INVALID,
            _INVALID,
            "This model's maximum context length is 1048576 tokens. Please reduce the length of "
            "the messages.",
        ),
        Case.TOO_LARGE: Wording(413, _INVALID, _INVALID, "Request body too large"),
        Case.NO_SUCH_PATH: Wording(404, _INVALID, _INVALID, "Not found"),
    }

    def issued(self, key: str) -> bool:
        return super().issued(key) and not key.startswith(("sk-ant-", "sk-proj-"))

    def key(self, operation: Operation, headers: Mapping[str, str]) -> str:
        if operation in _MESSAGES:
            if key := headers.get("x-api-key"):
                return key
            raise Refused(Case.NO_KEY)
        return super().key(operation, headers)

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        if operation is Operation.FIM:
            _check_fim(body)
        if operation is not Operation.CHAT:
            return
        if any(message["role"] == "developer" for message in body["messages"]):
            raise bad_request("messages[0].role: unknown variant `developer`")
        if body.get("thinking", {"type": "enabled"}) not in _SWITCH:
            raise bad_request("thinking.type must be enabled or disabled")
        efforts = ("high", "max") if model.id.endswith("-pro") else ("low", "high", "max")
        if body.get("reasoning_effort", "high") not in efforts:
            raise bad_request(f"reasoning_effort must be one of {', '.join(efforts)}")
        if (body.get("response_format") or {}).get("type") == "json_schema":
            raise bad_request("This response_format type is unavailable now")
        if self.thinks(operation, body, model):
            for message in body["messages"]:
                if message.get("tool_calls") and "reasoning_content" not in message:
                    raise bad_request(
                        "The `reasoning_content` in the thinking mode must be passed back to the "
                        "API."
                    )

    def thinks(self, operation: Operation, body: Json, model: Model) -> bool:
        if body.get("model") == "deepseek-chat":
            return False
        return (body.get("thinking") or {}).get("type") != "disabled"

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        if operation not in _MESSAGES:
            return super().error_body(operation, wording, refused)
        return {
            "type": "error",
            "error": {"type": wording.type, "message": refused.message or wording.message},
        }

    def describe(self, model: Model) -> Json:
        return {
            "id": model.id,
            "object": "model",
            "owned_by": "deepseek",
            "context_window": model.context,
            "max_output_tokens": model.output,
        }

    def balance(self) -> Json:
        amount = {"currency": "USD", "total_balance": "110.00", "granted_balance": "10.00"}
        return {"is_available": True, "balance_infos": [{**amount, "topped_up_balance": "100.00"}]}

    def chat_usage(self, usage: Usage) -> Json:
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_cache_hit_tokens": usage.cache_read,
            "prompt_cache_miss_tokens": usage.input - usage.cache_read,
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        }

    def headers(self, number: int) -> Mapping[str, str]:
        return {"x-ds-trace-id": f"{number:032x}", "server": "CloudFront"}


def _check_fim(body: Json) -> None:
    limit = body.get("max_tokens")
    if isinstance(limit, int) and limit > _LONGEST_FIM:
        raise bad_request(f"max_tokens must be at most {_LONGEST_FIM}")
    if unknown := OPENROUTERS.intersection(body) | {"thinking", "reasoning_effort"} & body.keys():
        raise bad_request(f"{min(unknown)} is not supported by this endpoint")


PROVIDER = DeepSeek()
