"""MiniMax: Chat Completions and Messages, two kinds of keys, and failures inside HTTP 200."""

from collections.abc import Mapping
from dataclasses import replace

from megabrain.simulator.provider import Provider, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation, Reply, Turn

_TOKEN_PLAN = "sk-cp-"  # noqa: S105 - the public beginning of such keys
_ON_PLANS_ONLY = "MiniMax-M3.1-Flash-Preview"


class MiniMax(Provider):
    id = "minimax"
    name = "MiniMax"
    path = "/minimax/v1"
    routes = {
        ("POST", "/v1/chat/completions"): Operation.CHAT,
        ("POST", "/anthropic/v1/messages"): Operation.MESSAGES,
        ("GET", "/v1/models"): Operation.MODELS,
    }
    sample_key = "sk-api-sim-ok-0123456789abcdefghij"
    key_prefixes = ("sk-api-", _TOKEN_PLAN, "eyJ")
    models = (
        Model("MiniMax-M3.1-Flash", 1_000_000, 524_288),
        Model(_ON_PLANS_ONLY, 1_000_000, 524_288),
        Model("MiniMax-M3", 1_000_000, 524_288),
        Model("MiniMax-M2.7", 204_800, 131_072, vision=False),
        Model("MiniMax-M2.7-highspeed", 204_800, 131_072, vision=False),
        Model("MiniMax-M2.5", 204_800, 131_072, vision=False),
        Model("MiniMax-M2.1", 204_800, 131_072, vision=False),
    )
    # The code is the company's own number; a status of 200 is what it answers some of them with.
    wordings = {
        Case.NO_KEY: Wording(401, "authorized_error", 1004, "login fail: no API key"),
        Case.BAD_KEY: Wording(401, "authorized_error", 2049, "invalid api key"),
        Case.NO_ACCESS: Wording(403, "forbidden_error", 2061, "the plan not support model"),
        Case.NO_CREDIT: Wording(200, "insufficient_balance_error", 1008, "insufficient balance"),
        Case.RATE_LIMITED: Wording(200, "rate_limit_error", 1002, "rate limit"),
        Case.MODEL_MISSING: Wording(
            400, "bad_request_error", 2013, "invalid params, unknown model '{model}'"
        ),
        Case.OVERLOADED: Wording(200, "api_error", 1000, "unknown error"),
        Case.SERVER_ERROR: Wording(500, "api_error", 1033, "system error"),
        Case.BAD_REQUEST: Wording(400, "bad_request_error", 2013, "invalid params"),
        Case.TOO_LONG: Wording(
            400, "bad_request_error", 2013, "invalid params, context window exceeds limit"
        ),
        Case.TOO_LARGE: Wording(413, "bad_request_error", 2013, "request body too large"),
        Case.NO_SUCH_PATH: Wording(404, "not_found_error", None, "page not found"),
    }

    def key(self, operation: Operation, headers: Mapping[str, str]) -> str:
        if operation is Operation.MESSAGES and (key := headers.get("x-api-key")):
            return key
        return super().key(operation, headers)

    def admit(self, key: str, model: Model) -> None:
        if model.id == _ON_PLANS_ONLY and not key.startswith(_TOKEN_PLAN):
            raise Refused(Case.MODEL_MISSING, f"invalid params, unknown model '{model.id}'")

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        temperature = body.get("temperature")
        if temperature is not None and not 0 < temperature <= 1:
            raise bad_request("invalid params, temperature must be in (0, 1]")
        if operation is Operation.MESSAGES:
            return
        if body.get("n") not in {None, 1}:
            raise bad_request("invalid params, n must be 1")
        if any(message["role"] == "developer" for message in body["messages"]):
            raise bad_request("invalid params, unknown role: developer")
        if (body.get("thinking") or {}).get("type") not in {None, "adaptive", "disabled"}:
            raise bad_request("invalid params, thinking.type must be adaptive or disabled")

    def thinks(self, operation: Operation, body: Json, model: Model) -> bool:
        off = (body.get("thinking") or {}).get("type") == "disabled"
        return not (off and model.id == "MiniMax-M3")

    def voiced(self, operation: Operation, turn: Turn, reply: Reply) -> Reply:
        """In Chat, thoughts stand in the text unless they are asked for apart."""
        apart = operation is not Operation.CHAT or turn.body.get("reasoning_split")
        if apart or not reply.thinking:
            return reply
        said = ("<think>\n", *reply.thinking, "\n</think>\n\n", *reply.text)
        return replace(reply, thinking=(), text=said)

    def reasoning(self, text: str) -> Json:
        detail = {"type": "reasoning.text", "id": "reasoning-text-1", "index": 0, "text": text}
        return {"reasoning_details": [{**detail, "format": "MiniMax-response-v1"}]}

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        message = refused.message or wording.message
        if wording.status == 200:
            base = {"status_code": wording.code, "status_msg": message}
            return {"id": "", "choices": None, "base_resp": base}
        numbered = f"{message} ({wording.code})" if wording.code else message
        error = {"type": wording.type, "message": numbered, "http_code": str(wording.status)}
        return {"type": "error", "error": error, "request_id": "simulated"}


PROVIDER = MiniMax()
