"""Xiaomi: Chat Completions and Messages of the MiMo models, and the hosts of its Token Plan.

Keys of a plan begin with tp-. One that names a region (`tp-simok-ams-…`) works there alone.
"""

from collections.abc import Mapping

from megabrain.simulator.provider import OPENROUTERS, Provider, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation

_MESSAGES = {Operation.MESSAGES, Operation.COUNT_TOKENS}
_SWITCH = ({"type": "enabled"}, {"type": "disabled"})
_REGIONS = ("sgp", "ams")


class Xiaomi(Provider):
    id = "xiaomi"
    name = "Xiaomi"
    path = "/xiaomi/v1"
    routes = {
        ("POST", "/v1/chat/completions"): Operation.CHAT,
        ("POST", "/anthropic/v1/messages"): Operation.MESSAGES,
        ("GET", "/v1/models"): Operation.MODELS,
    }
    sample_key = "sk-simok0123456789abcdefghij"
    key_prefixes = ("sk-",)
    refused_fields = OPENROUTERS | {"reasoning_effort", "verbosity"}
    models: tuple[Model, ...] = (
        Model("mimo-v2.6-pro", 1_048_576, 131_072),
        Model("mimo-v2.6-flash", 1_048_576, 131_072),
        Model("mimo-v2.6-pro-ultraspeed", 1_048_576, 131_072, vision=False),
    )
    wordings = {
        Case.NO_KEY: Wording(401, "invalid_key", "401", "Invalid API Key"),
        Case.BAD_KEY: Wording(401, "invalid_key", "401", "Invalid API Key"),
        Case.NO_ACCESS: Wording(403, "forbidden", "403", "Access denied"),
        Case.NO_CREDIT: Wording(402, "insufficient_balance", "402", "Insufficient account balance"),
        Case.RATE_LIMITED: Wording(
            429, "rate_limit", "429", "Too many requests", {"retry-after": "3"}
        ),
        Case.MODEL_MISSING: Wording(400, "invalid_request", "400", "Not supported model {model}"),
        Case.OVERLOADED: Wording(503, "server_error", "503", "Service overloaded"),
        Case.SERVER_ERROR: Wording(500, "server_error", "500", "Internal server error"),
        Case.BAD_REQUEST: Wording(400, "invalid_request", "400", "Param Incorrect"),
        Case.TOO_LONG: Wording(
            400, "invalid_request", "400", "The prompt exceeds the maximum context length"
        ),
        Case.TOO_LARGE: Wording(413, "invalid_request", "413", "Request body too large"),
        Case.NO_SUCH_PATH: Wording(404, "not_found", "404", "Not found"),
    }

    def key(self, operation: Operation, headers: Mapping[str, str]) -> str:
        return headers.get("api-key") or super().key(operation, headers)

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        if operation in _MESSAGES:
            return
        if body.get("thinking", {"type": "enabled"}) not in _SWITCH:
            raise bad_request("thinking.type must be enabled or disabled")
        if (body.get("response_format") or {}).get("type") == "json_schema":
            raise bad_request("response_format must be text or json_object")
        for message in body["messages"]:
            if message["role"] == "developer":
                raise bad_request("Unknown role developer")
            lost = message.get("tool_calls") and not message.get("reasoning_content")
            if lost and self.thinks(operation, body, model):
                raise bad_request(
                    "The reasoning_content in the thinking mode must be passed back to the API"
                )

    def thinks(self, operation: Operation, body: Json, model: Model) -> bool:
        return (body.get("thinking") or {}).get("type") != "disabled"

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        message = refused.message or wording.message
        if operation in _MESSAGES:
            return {"type": "error", "error": {"type": wording.type, "message": message}}
        error = {"message": message, "param": None, "code": wording.code, "type": wording.type}
        return {"error": error}


class TokenPlan(Xiaomi):
    """The host of a region, which knows the keys of its own plans."""

    name = "Xiaomi Token Plan"
    sample_key = "tp-simok0123456789abcdefghij"
    key_prefixes = ("tp-",)
    models = (
        *(model for model in Xiaomi.models if not model.id.endswith("-ultraspeed")),
        Model("mimo-v2-flash", 262_144, 65_536, vision=False),
    )

    def __init__(self, region: str) -> None:
        self.id = f"xiaomi-token-plan-{region}"
        self.path = f"/{self.id}/v1"
        self.elsewhere = tuple(f"-{other}-" for other in _REGIONS if other != region)
        super().__init__()

    def issued(self, key: str) -> bool:
        return super().issued(key) and not any(other in key for other in self.elsewhere)


PROVIDERS = (Xiaomi(), *map(TokenPlan, _REGIONS))
