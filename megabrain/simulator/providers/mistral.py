"""Mistral AI: Chat Completions that refuse every field they do not know, and fill-in-the-middle.

Keys with `codestral` in them belong to the Codestral host, and no others do.
"""

import re

from megabrain.simulator.provider import Provider, UsageAt, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation, Usage

_CODESTRAL = "codestral"
_FIELDS = {
    Operation.CHAT: frozenset(
        """model messages temperature top_p max_tokens stream stop random_seed metadata
        response_format tools tool_choice presence_penalty frequency_penalty n prediction
        parallel_tool_calls reasoning_effort prompt_mode guardrails prompt_cache_key
        safe_prompt""".split()  # noqa: SIM905 (one name a line would fill the page)
    ),
    Operation.FIM: frozenset(
        """model prompt suffix max_tokens min_tokens stop temperature top_p random_seed metadata
        stream""".split()  # noqa: SIM905 (as above)
    ),
    Operation.EMBEDDINGS: frozenset(
        {"model", "input", "encoding_format", "metadata", "output_dimension", "output_dtype"}
    ),
}
_MESSAGE_FIELDS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls", "prefix"},
    "tool": {"role", "content", "tool_call_id", "name"},
}
_INVALID = "invalid_request_error"


class Mistral(Provider):
    id = "mistral"
    name = "Mistral AI"
    path = "/mistral/v1"
    hosts = {_CODESTRAL: "/mistral/codestral/v1"}
    key_marks = {_CODESTRAL: _CODESTRAL}
    routes = {
        ("POST", "/v1/chat/completions"): Operation.CHAT,
        ("POST", "/v1/fim/completions"): Operation.FIM,
        ("POST", "/v1/embeddings"): Operation.EMBEDDINGS,
        ("POST", "/codestral/v1/chat/completions"): Operation.CHAT,
        ("POST", "/codestral/v1/fim/completions"): Operation.FIM,
        ("GET", "/v1/models"): Operation.MODELS,
    }
    sample_key = "simok0123456789abcdefghijABCDEF0"
    key_prefixes = ("",)
    usage_at = UsageAt.FINISH
    models = (
        Model("mistral-large-4", 262_144, 262_144),
        Model("mistral-medium-2604", 262_144, 262_144, aliases=("mistral-medium-latest",)),
        Model("mistral-small-2603", 256_000, 256_000, aliases=("mistral-small-latest",)),
        Model("mistral-large-2512", 262_144, 262_144, reasoning=False),
        Model(
            "codestral-2508",
            256_000,
            4096,
            reasoning=False,
            vision=False,
            aliases=("codestral-latest",),
            fim=True,
        ),
        Model("devstral-2512", 262_144, 262_144, reasoning=False, vision=False),
        Model("ministral-8b-2512", 262_144, 262_144, reasoning=False),
        Model(
            "ministral-3b-2512",
            131_072,
            131_072,
            reasoning=False,
            aliases=("ministral-3b-latest",),
        ),
        Model("mistral-embed", 8192, 1, only=Operation.EMBEDDINGS),
        Model(
            "codestral-embed-2505",
            8192,
            1,
            aliases=("codestral-embed",),
            only=Operation.EMBEDDINGS,
        ),
    )
    wordings = {
        Case.NO_KEY: Wording(401, "", message="Unauthorized"),
        Case.BAD_KEY: Wording(401, "", message="Invalid API Key"),
        Case.NO_ACCESS: Wording(
            403, "forbidden", "1403", "This model is not available in your subscription tier"
        ),
        Case.NO_CREDIT: Wording(402, "payment_required", None, "Payment required"),
        Case.RATE_LIMITED: Wording(
            429, "rate_limited", "1300", "Rate limit exceeded", {"retry-after": "3"}
        ),
        Case.MODEL_MISSING: Wording(400, "invalid_model", "1500", "Invalid model: {model}"),
        Case.OVERLOADED: Wording(
            429,
            "service_tier_capacity_exceeded",
            "3505",
            "Service tier capacity exceeded for this model.",
        ),
        Case.SERVER_ERROR: Wording(500, "internal_server_error", "3000", "Service unavailable."),
        Case.BAD_REQUEST: Wording(422, _INVALID, None, "Invalid request"),
        Case.TOO_LONG: Wording(
            400,
            "invalid_request_prompt",
            "3051",
            "Prompt contains 300000 tokens, too large for model with 262144 maximum context length",
        ),
        Case.TOO_LARGE: Wording(413, _INVALID, None, "Request body too large"),
        Case.NO_SUCH_PATH: Wording(404, _INVALID, None, "no Route matched with those values"),
    }

    def issued(self, key: str) -> bool:
        return not key.startswith(("sk-", "sk_", "xai-", "fw_"))

    def admit(self, key: str, model: Model) -> None:
        if _CODESTRAL in key and not model.fim:
            raise Refused(Case.MODEL_MISSING, f"Invalid model: {model.id}")

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        for name in body:
            if name not in _FIELDS[operation]:
                raise _extra(name)
        if not 0 <= (body.get("temperature") or 0) <= 1.5:
            raise bad_request("Input should be less than or equal to 1.5", param="temperature")
        if operation is not Operation.CHAT:
            return
        if body.get("reasoning_effort") not in {None, "none", "high"}:
            raise bad_request("Input should be 'none' or 'high'", param="reasoning_effort")
        if body.get("reasoning_effort") and not model.reasoning:
            raise bad_request(f"reasoning_effort is not supported by {model.id}")
        if body.get("tool_choice") == "required":
            raise bad_request("Input should be 'auto', 'none' or 'any'", param="tool_choice")
        for message in body["messages"]:
            _check_message(message)
        last = body["messages"][-1]
        if last["role"] == "assistant" and not (last.get("tool_calls") or last.get("prefix")):
            raise bad_request(
                "Expected last role User or Tool (or Assistant with prefix True) for serving but "
                "got assistant"
            )

    def thinks(self, operation: Operation, body: Json, model: Model) -> bool:
        return model.reasoning and body.get("reasoning_effort") == "high"

    def reasoning(self, text: str) -> Json:
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": text}]}
        return {"content": [thought]}

    def call_id(self, number: int, index: int) -> str:
        return f"{number:06d}{index:03d}"[-9:]

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        message = refused.message or wording.message
        if wording.status == 401:
            return {"detail": message}
        return {
            "object": "error",
            "message": message,
            "type": wording.type,
            "param": refused.param,
            "code": refused.code or wording.code,
            "raw_status_code": wording.status,
        }

    def describe(self, model: Model) -> Json:
        return {
            **super().describe(model),
            "name": model.id,
            "capabilities": {
                "completion_chat": model.only is None,
                "completion_fim": model.fim,
                "function_calling": model.only is None,
                "vision": model.vision,
                "reasoning": model.reasoning,
            },
            "max_context_length": model.context,
            "aliases": list(model.aliases),
            "deprecation": None,
        }

    def chat_usage(self, usage: Usage) -> Json:
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        }


def _extra(*where: str) -> Refused:
    place = ".".join(("body", *where))
    return bad_request(f"extra_forbidden at {place}: Extra inputs are not permitted")


def _check_message(message: Json) -> None:
    known = _MESSAGE_FIELDS.get(message["role"])
    if known is None:
        raise bad_request(f"Unexpected role '{message['role']}'")
    for name in message:
        if name not in known:
            raise _extra("messages", name)
    parts = message.get("content")
    if isinstance(parts, list) and any("cache_control" in part for part in parts):
        raise _extra("messages", "content", "cache_control")
    ids = [call["id"] for call in message.get("tool_calls") or []]
    for used in [*ids, message.get("tool_call_id")]:
        if used is not None and not re.fullmatch(r"[a-zA-Z0-9]{9}", used):
            raise bad_request(
                f"Tool call id was {used} but must be a-z, A-Z, 0-9, with a length of 9."
            )


PROVIDER = Mistral()
