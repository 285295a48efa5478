"""The companies called directly: one stand-in for all, in the style of OpenAI, a folder for each.

What is known of one of them in particular is in a row of the table at the end or in a subclass.
"""

from collections.abc import Mapping
from decimal import Decimal

from megabrain.simulator.provider import Provider, Wording
from megabrain.simulator.providers.moonshotai import check_reasoning, check_sampling
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation

_INVALID = "invalid_request_error"


class Direct(Provider):
    """A company with OpenAI's API, and no more than the older of its fields."""

    wordings = {
        Case.NO_KEY: Wording(401, _INVALID, "invalid_api_key", "No API key provided."),
        Case.BAD_KEY: Wording(401, _INVALID, "invalid_api_key", "Incorrect API key: {key}."),
        Case.NO_ACCESS: Wording(403, "permission_error", None, "The plan has no access."),
        Case.NO_CREDIT: Wording(402, "billing_error", None, "The plan has expired."),
        Case.RATE_LIMITED: Wording(
            429, "rate_limit_error", None, "Too many requests.", {"retry-after": "3"}
        ),
        Case.MODEL_MISSING: Wording(
            404, _INVALID, "model_not_found", "The model `{model}` does not exist."
        ),
        Case.OVERLOADED: Wording(503, "server_error", None, "The model is overloaded."),
        Case.SERVER_ERROR: Wording(500, "server_error", None, "Internal server error."),
        Case.BAD_REQUEST: Wording(400, _INVALID, None, "Invalid request."),
        Case.TOO_LONG: Wording(
            400, _INVALID, "context_length_exceeded", "The maximum context length is exceeded."
        ),
        Case.TOO_LARGE: Wording(413, _INVALID, None, "Request body too large."),
        Case.NO_SUCH_PATH: Wording(404, _INVALID, None, "Not found."),
    }

    def __init__(
        self, folder: str, name: str, *models: Model, prefix: str = "", key: str = ""
    ) -> None:
        self.id, self.name = folder, name
        self.path = f"/{folder}/v1"
        self.routes = self._routes()
        self.models = models
        self.key_prefixes = (prefix,)
        self.sample_key = key or f"{prefix}sim-ok-{folder}-0123456789"
        super().__init__()

    def _routes(self) -> Mapping[tuple[str, str], Operation]:
        return {
            ("POST", "/v1/chat/completions"): Operation.CHAT,
            ("GET", "/v1/models"): Operation.MODELS,
        }

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        if operation is Operation.CHAT:
            if any(message.get("role") == "developer" for message in body["messages"]):
                raise bad_request("Unknown role: developer")
            if "max_completion_tokens" in body:
                raise bad_request("Unknown field: max_completion_tokens")


class Reseller(Direct):
    """Speaks Responses and Messages, too."""

    def _routes(self) -> Mapping[tuple[str, str], Operation]:
        return {
            **super()._routes(),
            ("POST", "/v1/responses"): Operation.RESPONSES,
            ("POST", "/v1/messages"): Operation.MESSAGES,
        }

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        if operation is not Operation.MESSAGES:
            return super().error_body(operation, wording, refused)
        error = {"type": wording.type, "message": refused.message or wording.message}
        return {"type": "error", "error": error}


class OpenCode(Reseller):
    """Takes the key of Messages in a header of its own."""

    def key(self, operation: Operation, headers: Mapping[str, str]) -> str:
        if operation is not Operation.MESSAGES:
            return super().key(operation, headers)
        if key := headers.get("x-api-key"):
            return key
        raise Refused(Case.NO_KEY)


class Chutes(Direct):
    """Shows everybody its list, with prices for a million tokens."""

    list_is_public = True

    def describe(self, model: Model) -> Json:
        prompt, completion = model.price
        return {
            **super().describe(model),
            "context_length": model.context,
            "max_output_length": model.output,
            "input_modalities": ["text", "image"] if model.vision else ["text"],
            "output_modalities": ["text"],
            "supported_features": ["json_mode", "tools", "reasoning"],
            "pricing": {"prompt": float(prompt), "completion": float(completion)},
        }


class Synthetic(Chutes):
    """As above, with prices for a token, as people write them."""

    def describe(self, model: Model) -> Json:
        prompt, completion = (f"${Decimal(price) / 10**6:f}" for price in model.price)
        pricing = {"prompt": prompt, "completion": completion, "input_cache_reads": "0"}
        return {**super().describe(model), "pricing": pricing}


class Kimi(Direct):
    """Refuses what does not say that it is a coding agent, and what Moonshot AI refuses."""

    def key(self, operation: Operation, headers: Mapping[str, str]) -> str:
        key = super().key(operation, headers)
        agent = headers.get("user-agent", "").lower()
        if operation is Operation.CHAT and agent.startswith(("python", "curl", "mozilla")):
            raise Refused(Case.NO_ACCESS, "Kimi Code is only available to coding agents.")
        return key

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        super().check(operation, body, model)
        check_sampling(body)
        check_reasoning(body)


#: Fields of OpenAI's that NVIDIA does not know.
_OTHERS = {"metadata", "n", "prompt_cache_key", "service_tier", "store", "user", "verbosity"}


class Nvidia(Direct):
    """Refuses what it does not know, also where OpenAI does."""

    refuses_unknown_fields = True

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        super().check(operation, body, model)
        for name in sorted(body.keys() & _OTHERS):
            raise bad_request(f"Unsupported parameter(s): `{name}`")


_GEMINI = Model("gemini-3.5-flash", 1_048_576, 65_536)

PROVIDERS = (
    Direct(
        "zai-coding",
        "Z.ai Coding Plan",
        Model("glm-4.7", 204_800, 131_072, vision=False),
        key="0123456789abcdef0123456789abcdef.simok0123456789a",
    ),
    Kimi("kimi-coding", "Kimi Code", Model("kimi-for-coding", 262_144, 32_768), prefix="sk-kimi-"),
    Direct("byteplus-coding", "BytePlus", Model("bytedance-seed-code", 262_144, 32_768)),
    Direct("alibaba-token-plan", "Alibaba", Model("deepseek-v3.2", 163_840, 65_536)),
    Chutes(
        "chutes",
        "Chutes",
        Model("Qwen3-30B-A3B", 40_960, 40_960, vision=False, price=("0.08", "0.33")),
    ),
    Direct("inceptron", "Inceptron", Model("Kimi-K2.6", 262_144, 262_144)),
    Reseller("martian", "Martian", _GEMINI),
    Direct("morph", "Morph", Model("morph-qwen35-397b", 262_144, 65_536)),
    Direct("neuralwatt", "Neuralwatt", Model("Qwen3.5-35B-A3B", 262_144, 65_536)),
    Nvidia(
        "nvidia",
        "NVIDIA",
        Model("nemotron-3-super-120b", 262_144, 65_536, vision=False),
        prefix="nvapi-",
    ),
    Direct("ollama-cloud", "Ollama Cloud", Model("kimi-k2.6:cloud", 262_144, 262_144)),
    OpenCode("opencode-go", "OpenCode Go", Model("qwen3.7-plus", 262_144, 65_536)),
    Reseller("orcarouter", "OrcaRouter", _GEMINI),
    Synthetic(
        "synthetic",
        "Synthetic",
        Model("GLM-5.1", 200_000, 131_072, vision=False, price=("1", "3")),
    ),
)
