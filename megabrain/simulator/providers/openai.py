"""OpenAI: Chat Completions and Responses, and what its models refuse."""

from collections.abc import Mapping

from megabrain.simulator.provider import Provider, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation, Rule

_REASONING = frozenset({Rule.MAX_TOKENS})
_GPT_6 = _REASONING | {Rule.SAMPLING, Rule.TOOLS_WITH_EFFORT_ON_CHAT}
_GPT_5 = _REASONING | {Rule.SAMPLING_UNLESS_NO_EFFORT, Rule.TOOLS_WITH_EFFORT_ON_CHAT}
_INVALID = "invalid_request_error"

#: What a model accepts as its effort, by the beginning of its id; the first that fits.
_EFFORTS = (
    ("gpt-6-astra", "low medium high xhigh max"),
    ("gpt-6.1-sol", "low medium high xhigh max"),
    ("gpt-6", "none low medium high xhigh max"),
    ("gpt-5.6", "none low medium high xhigh max"),
    ("gpt-5.3-codex", "low medium high xhigh"),
    ("gpt-5.", "none low medium high xhigh"),
    ("gpt-5", "minimal low medium high"),
)
_OF_MESSAGES = ("cache_control", "reasoning", "reasoning_content", "reasoning_details")


class OpenAI(Provider):
    id = "openai"
    name = "OpenAI"
    path = "/openai/v1"
    routes = {
        ("POST", "/v1/chat/completions"): Operation.CHAT,
        ("POST", "/v1/responses"): Operation.RESPONSES,
        ("POST", "/v1/embeddings"): Operation.EMBEDDINGS,
        ("GET", "/v1/models"): Operation.MODELS,
    }
    sample_key = "sk-proj-sim-ok-0123456789abcdefghij"
    key_prefixes = ("sk-",)
    refuses_unknown_fields = True
    shows_reasoning = False
    models = (
        Model("gpt-6-astra", 1_050_000, 128_000, refuses=_GPT_6 | {Rule.NO_EFFORT}),
        Model("gpt-6.1-sol", 1_050_000, 128_000, refuses=_GPT_6 | {Rule.NO_EFFORT}),
        Model("gpt-6.1-terra", 1_050_000, 128_000, refuses=_GPT_6),
        Model("gpt-6-sol", 1_050_000, 128_000, refuses=_GPT_6),
        Model("gpt-6-luna", 1_050_000, 128_000, refuses=_GPT_6),
        Model("gpt-5.6-sol", 1_050_000, 128_000, refuses=_GPT_5),
        Model("gpt-5.6-terra", 1_050_000, 128_000, refuses=_GPT_5),
        Model("gpt-5.6-luna", 1_050_000, 128_000, refuses=_GPT_5),
        Model("gpt-5.5", 1_050_000, 128_000, refuses=_GPT_5),
        Model("gpt-5.4", 1_050_000, 128_000, refuses=_GPT_5),
        Model("gpt-5.4-mini", 400_000, 128_000, refuses=_GPT_5),
        Model("gpt-5.3-codex", 400_000, 128_000, refuses=_REASONING, only=Operation.RESPONSES),
        Model("gpt-5-nano", 400_000, 128_000, refuses=_REASONING | {Rule.SAMPLING}),
        Model("gpt-4.1", 1_047_576, 32_768, reasoning=False),
        Model("gpt-4.1-nano", 1_047_576, 32_768, reasoning=False),
        Model("gpt-4o-mini", 128_000, 16_384, reasoning=False),
        Model("text-embedding-3-small", 8192, 1, only=Operation.EMBEDDINGS),
        Model("text-embedding-3-large", 8192, 1, only=Operation.EMBEDDINGS),
    )
    wordings = {
        Case.NO_KEY: Wording(
            401,
            _INVALID,
            None,
            "You didn't provide an API key. You need to provide your API key in an Authorization "
            "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        ),
        Case.BAD_KEY: Wording(
            401,
            _INVALID,
            "invalid_api_key",
            "Incorrect API key provided: {key}. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
        ),
        Case.NO_ACCESS: Wording(
            403,
            _INVALID,
            "missing_scope",
            "You have insufficient permissions for this operation. Missing scopes: model.request.",
        ),
        Case.NO_CREDIT: Wording(
            429,
            "insufficient_quota",
            "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details.",
        ),
        Case.RATE_LIMITED: Wording(
            429,
            "requests",
            "rate_limit_exceeded",
            "Rate limit reached for requests. Please try again in 3s.",
            {"retry-after": "3", "retry-after-ms": "3000"},
        ),
        Case.MODEL_MISSING: Wording(
            404,
            _INVALID,
            "model_not_found",
            "The model `{model}` does not exist or you do not have access to it.",
        ),
        Case.OVERLOADED: Wording(
            503, "server_error", None, "The engine is currently overloaded, please try again later."
        ),
        Case.SERVER_ERROR: Wording(
            500,
            "server_error",
            "server_error",
            "The server had an error while processing your request. Sorry about that!",
        ),
        Case.BAD_REQUEST: Wording(400, _INVALID, None, "Invalid request."),
        Case.TOO_LONG: Wording(
            400,
            _INVALID,
            "context_length_exceeded",
            "Your input exceeds the context window of this model. Please adjust your input and try "
            "again.",
        ),
        Case.TOO_LARGE: Wording(413, _INVALID, None, "Request body is too large."),
        Case.NO_SUCH_PATH: Wording(404, _INVALID, None, "Invalid URL."),
    }

    def issued(self, key: str) -> bool:
        return super().issued(key) and not key.startswith(("sk-ant-", "sk-admin-"))

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        if operation is Operation.RESPONSES:
            effort = (body.get("reasoning") or {}).get("effort")
            _check_effort(model, effort, "reasoning.effort")
            if not model.reasoning and "reasoning.encrypted_content" in (body.get("include") or ()):
                raise bad_request("Encrypted content is not supported with this model.")
        elif operation is Operation.CHAT:
            effort = body.get("reasoning_effort")
            _check_effort(model, effort, "reasoning_effort")
            _check_messages(body["messages"])
            if model.reasoning:
                for name in ("frequency_penalty", "logit_bias", "presence_penalty", "stop"):
                    if body.get(name) is not None:
                        raise _unsupported(name)
                free = effort == "none" and Rule.SAMPLING_UNLESS_NO_EFFORT in model.refuses
                if body.get("logprobs") and not free:
                    raise _unsupported("logprobs")

    def headers(self, number: int) -> Mapping[str, str]:
        return {
            **super().headers(number),
            "openai-organization": "user-simulated",
            "openai-project": "proj_simulated",
            "openai-processing-ms": "12",
            "openai-version": "2020-10-01",
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-reset-requests": "6ms",
            "set-cookie": "__cf_bm=simulated; path=/; HttpOnly; Secure",
            "cf-ray": f"{number:016x}-SIM",
            "server": "cloudflare",
        }


def _check_effort(model: Model, effort: object, name: str) -> None:
    if effort is None:
        return
    if not model.reasoning:
        raise _unsupported(name)
    accepted = next(words for start, words in _EFFORTS if model.id.startswith(start)).split()
    if effort not in accepted:
        raise bad_request(
            f"Unsupported value: '{name}' does not support '{effort}' with this model. Supported "
            f"values are: {', '.join(accepted)}.",
            param=name,
            code="unsupported_value",
        )


def _check_messages(messages: list[Json]) -> None:
    for number, message in enumerate(messages):
        parts = message.get("content")
        for holder in (message, *(parts if isinstance(parts, list) else ())):
            if unknown := [name for name in _OF_MESSAGES if name in holder]:
                name = f"messages[{number}].{unknown[0]}"
                raise bad_request(f"Unknown parameter: '{name}'.", param=name)


def _unsupported(name: str) -> Refused:
    return bad_request(
        f"Unsupported parameter: '{name}' is not supported with this model.",
        param=name,
        code="unsupported_parameter",
    )


PROVIDER = OpenAI()
