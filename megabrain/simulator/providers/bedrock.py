"""AWS Bedrock: signatures checked, models by inference profile, Converse and InvokeModel.

Every access key that begins so and has a word of faults.py in it, in capitals, was issued here, and
SECRET belongs to them all: `AKIASIMOK01234567890` works, `AKIASIM42901234567890` is rate limited.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from megabrain.simulator.connection import Call
from megabrain.simulator.provider import Answer, Provider, Wording
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Model, Operation, Rule

SECRET = "SimulatedSecret/ForEveryKeyId+0123456789"  # noqa: S105 - opens nothing but the simulator
SESSION_TOKEN = "SimulatedSessionToken=="  # noqa: S105 - as above
_PROFILES = "/inference-profiles"
_SKEW = timedelta(minutes=5)
_TIME = "%Y%m%dT%H%M%SZ"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([a-z0-9-]+)/bedrock/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)
#: What a call comes with of a credential as it is stored.
_ID = re.compile(r'"(?:accessKeyId|apiKey)":"([^"]+)"')
_MUST_BE_SIGNED = {"host", "x-amz-date"}

_5 = frozenset({Rule.PREFILL, Rule.SAMPLING, Rule.THINKING_BUDGET})
_5_5 = _5 | {Rule.FORCED_TOOL}
_EVERYWHERE = ("us", "eu", "jp", "au", "global")
_WEST = ("us", "eu", "global")
_US = ("us", "global")
_NOVA = ("us", "eu", "apac")
_SAMPLING = frozenset({Rule.SAMPLING})
_MILLION = 1_000_000

#: Bare id, what it takes, and its profiles; without any it is called by its bare id.
_MODELS: tuple[tuple[Model, tuple[str, ...]], ...] = (
    (Model("anthropic.claude-fable-5-2", _MILLION, 128_000, refuses=_5_5), ("us",)),
    (Model("anthropic.claude-fable-5-1", _MILLION, 128_000, refuses=_5_5), _WEST),
    (Model("anthropic.claude-fable-5", _MILLION, 128_000, refuses=_5), _WEST),
    (Model("anthropic.claude-opus-5-5", _MILLION, 128_000, refuses=_5_5), _WEST),
    (Model("anthropic.claude-opus-5", _MILLION, 128_000, refuses=_5), _EVERYWHERE),
    (Model("anthropic.claude-sonnet-5-5", _MILLION, 128_000, refuses=_5_5), _US),
    (Model("anthropic.claude-sonnet-5", _MILLION, 128_000, refuses=_5), _EVERYWHERE),
    (Model("anthropic.claude-haiku-5-5", _MILLION, 128_000, refuses=_5), _EVERYWHERE),
    (
        Model(
            "anthropic.claude-haiku-4-5-20251001-v1:0",
            200_000,
            64_000,
            refuses=frozenset({Rule.ADAPTIVE_THINKING, Rule.SYSTEM_IN_MESSAGES}),
        ),
        _EVERYWHERE,
    ),
    (
        Model(
            "anthropic.claude-opus-4-8",
            _MILLION,
            128_000,
            refuses=frozenset({Rule.PREFILL, Rule.SAMPLING}),
        ),
        _EVERYWHERE,
    ),
    (
        Model(
            "anthropic.claude-sonnet-4-6",
            _MILLION,
            128_000,
            refuses=frozenset({Rule.PREFILL, Rule.SYSTEM_IN_MESSAGES}),
        ),
        _EVERYWHERE,
    ),
    (Model("openai.gpt-6-astra", 1_050_000, 128_000, refuses=_SAMPLING), _US),
    (Model("openai.gpt-6.1-sol", 1_050_000, 128_000, refuses=_SAMPLING), _US),
    (Model("openai.gpt-6.1-terra", 1_050_000, 128_000, refuses=_SAMPLING), _US),
    (Model("openai.gpt-6-luna", 1_050_000, 128_000, refuses=_SAMPLING), _US),
    (Model("openai.gpt-6-sol", 1_050_000, 128_000, refuses=_SAMPLING), _US),
    (Model("openai.gpt-5.6-terra", 1_050_000, 128_000, refuses=_SAMPLING), _US),
    (Model("openai.gpt-5.6-sol", 1_050_000, 128_000, refuses=_SAMPLING), _US),
    (Model("openai.gpt-5.6-luna", 1_050_000, 128_000, refuses=_SAMPLING), _US),
    (Model("openai.gpt-oss-120b-1:0", 131_072, 16_384), ()),
    (Model("openai.gpt-oss-20b-1:0", 131_072, 16_384), ()),
    (Model("xai.grok-4.6", 500_000, 500_000, reasoning=False), ()),
    (Model("xai.grok-4.3", _MILLION, 131_072, reasoning=False), ()),
    (Model("amazon.nova-pro-v1:0", 300_000, 8192, reasoning=False), _NOVA),
    (Model("amazon.nova-micro-v1:0", 131_072, 8192, reasoning=False, vision=False), _NOVA),
    (Model("amazon.nova-2-lite-v1:0", _MILLION, 65_536), ("us", "eu", "jp", "global")),
    (Model("meta.llama4-maverick-17b-instruct-v1:0", _MILLION, 16_384, reasoning=False), ("us",)),
    (Model("meta.llama3-3-70b-instruct-v1:0", 131_072, 8192, reasoning=False), ("us",)),
    (Model("deepseek.v3.2", 163_840, 81_920, reasoning=False), ()),
    (Model("moonshotai.kimi-k2.5", 262_144, 16_384, reasoning=False), ()),
    (Model("minimax.minimax-m2.5", 196_608, 98_304, reasoning=False), ()),
    (Model("zai.glm-5", 202_752, 101_376, reasoning=False), ()),
    (Model("mistral.mistral-large-3-675b-instruct", 262_144, 8192, reasoning=False), ()),
    (Model("mistral.devstral-2-123b", 262_144, 8192, reasoning=False), ()),
)
_GROUPS = {"us", "us-gov", "eu", "jp", "au", "ca", "sa", "apac", "global"}
_IN_GROUP: Mapping[str, str] = {
    "us": r"us-(?!gov)",
    "eu": "eu-",
    "ca": "ca-",
    "sa": "sa-",
    "jp": "ap-northeast-[13]$",
    "au": "ap-southeast-[24]$",
    "apac": "ap-",
    "us-gov": "us-gov-",
    "global": r"(?!us-gov)",
}

#: With the apostrophe that AWS writes.
_NEEDS_PROFILE = (
    "Invocation of model ID {} with on-demand throughput isn\u2019t supported. Retry your request "
    "with the ID or ARN of an inference profile that contains this model."
)


def _known(model: Model, profiles: tuple[str, ...]) -> Model:
    """The model with all its names: by its profiles, and for all of them."""
    return replace(model, aliases=tuple(f"{group}.{model.id}" for group in ("{geo}", *profiles)))


class Bedrock(Provider):
    id = "bedrock"
    name = "AWS Bedrock"
    path = "/bedrock"
    routes = {
        ("POST", "/model/{model}/converse"): Operation.CONVERSE,
        ("POST", "/model/{model}/converse-stream"): Operation.CONVERSE_STREAM,
        ("POST", "/model/{model}/invoke"): Operation.INVOKE,
        ("POST", "/model/{model}/invoke-with-response-stream"): Operation.INVOKE_STREAM,
        ("POST", "/model/{model}/count-tokens"): Operation.BEDROCK_COUNT_TOKENS,
        ("GET", "/foundation-models"): Operation.MODELS,
        ("GET", _PROFILES): Operation.MODELS,
    }
    sample_key = (
        f'{{"accessKeyId":"AKIASIMOK01234567890","secretAccessKey":"{SECRET}",'
        '"region":"us-east-1"}'
    )
    key_prefixes = ("AKIA", "ASIA", "ABSK", "bedrock-api-key-")
    refuses_unknown_fields = True
    models = tuple(_known(model, profiles) if profiles else model for model, profiles in _MODELS)
    wordings = {
        Case.NO_KEY: Wording(
            403, "MissingAuthenticationTokenException", message="Missing Authentication Token"
        ),
        Case.BAD_KEY: Wording(
            403,
            "UnrecognizedClientException",
            message="The security token included in the request is invalid.",
        ),
        Case.NO_ACCESS: Wording(
            403,
            "AccessDeniedException",
            message="You don't have access to the model with the specified model ID.",
        ),
        Case.NO_CREDIT: Wording(
            429,
            "ThrottlingException",
            message="Too many tokens per day, please wait before trying again.",
        ),
        Case.RATE_LIMITED: Wording(
            429,
            "ThrottlingException",
            message="Too many requests, please wait before trying again.",
        ),
        Case.MODEL_MISSING: Wording(
            400, "ValidationException", message="The provided model identifier is invalid."
        ),
        Case.OVERLOADED: Wording(
            503,
            "ServiceUnavailableException",
            message="Bedrock is unable to process your request.",
        ),
        Case.SERVER_ERROR: Wording(
            500,
            "InternalServerException",
            message="The system encountered an unexpected error during processing.",
        ),
        Case.BAD_REQUEST: Wording(400, "ValidationException", message="The request is not valid."),
        Case.TOO_LONG: Wording(
            400, "ValidationException", message="Input is too long for requested model."
        ),
        Case.TOO_LARGE: Wording(
            413, "RequestEntityTooLargeException", message="The request is too large."
        ),
        Case.NO_SUCH_PATH: Wording(404, "UnknownOperationException", message=""),
    }

    def __init__(self) -> None:
        super().__init__()
        self._profiles = {model.id: profiles for model, profiles in _MODELS}

    def key_that(self, word: str) -> str:
        return self.sample_key.replace("SIMOK", f"SIM{word}".upper())

    def issued(self, key: str) -> bool:
        stored = _ID.search(key)
        return super().issued(stored[1] if stored else key)

    def caller(self, operation: Operation, call: Call) -> str:
        """The API key, or the id of the access key whose secret signed the call."""
        authorization = call.headers.get("authorization", "")
        if authorization.startswith("Bearer "):
            return self.key(operation, call.headers)
        found = _AUTHORIZATION.fullmatch(authorization)
        if found is None:
            raise Refused(Case.NO_KEY)
        key_id, day, region, names, signature = found.groups()
        sent_at = call.headers.get("x-amz-date", "")
        if not _MUST_BE_SIGNED.issubset(names.split(";")) or not sent_at.startswith(day):
            raise _unsigned("The request is signed without its host or date.")
        if abs(datetime.now(UTC) - datetime.strptime(sent_at, _TIME).replace(tzinfo=UTC)) > _SKEW:
            raise _unsigned("Signature expired.")
        token = call.headers.get("x-amz-security-token", "")
        if key_id.startswith("ASIA") and token != SESSION_TOKEN:
            raise Refused(Case.BAD_KEY)
        if signature != _signature(call, key_id, region, names.split(";"), sent_at):
            raise _unsigned(
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method."
            )
        call.region = region
        return key_id

    def model_for(self, call: Call, name: str) -> Model:
        """The model that is called, by a profile of the caller's region where it needs one."""
        name = name.rpartition("/")[2]
        group, _, bare = name.partition(".")
        if group not in _GROUPS:
            model = self.model(name)
            at_home = name.startswith("amazon.") and call.region == "us-east-1"
            if self._profiles[name] and not at_home:
                raise bad_request(_NEEDS_PROFILE.format(name))
            return model
        near = not call.region or re.match(_IN_GROUP[group], call.region)
        if group not in self._profiles.get(bare, ()) or not near:
            raise Refused(Case.MODEL_MISSING)
        return self.model(bare)

    def thinks(self, operation: Operation, body: Json, model: Model) -> bool:
        more = body.get("additionalModelRequestFields") or {}
        if "gpt-oss" in model.id:
            return True
        if "anthropic." in model.id:
            return (more.get("thinking") or {}).get("type") in ("enabled", "adaptive")
        return (more.get("reasoningConfig") or {}).get("type") == "enabled"

    def error(self, operation: Operation, refused: Refused) -> Answer:
        wording = self.wordings[refused.case]
        answer = super().error(operation, refused)
        name = f"{refused.code or wording.type}:http://internal.amazon.com/coral/"
        return Answer(answer.status, answer.body, {"x-amzn-errortype": name})

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        return {"message": refused.message or wording.message}

    def list_models(self, call: Call) -> Json:
        if not call.path.endswith(_PROFILES):
            return {"modelSummaries": [self.describe(model) for model in self.models]}
        most, token = call.query.get("maxResults", "100"), call.query.get("nextToken", "0")
        if not most.isdecimal() or not 1 <= int(most) <= 1000 or not token.isdecimal():
            raise bad_request("1 validation error detected")
        there = [
            _profile(model, group, call.region or "us-east-1")
            for model in self.models
            for group in self._profiles[model.id]
            if not call.region or re.match(_IN_GROUP[group], call.region)
        ]
        start, end = int(token), int(token) + int(most)
        page: Json = {"inferenceProfileSummaries": there[start:end]}
        if end < len(there):
            page["nextToken"] = str(end)
        return page

    def describe(self, model: Model) -> Json:
        return {
            "modelId": model.id,
            "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{model.id}",
            "modelName": model.id.partition(".")[2],
            "providerName": model.id.partition(".")[0],
            "inputModalities": ["TEXT", "IMAGE"] if model.vision else ["TEXT"],
            "outputModalities": ["TEXT"],
            "responseStreamingSupported": True,
            "inferenceTypesSupported": (
                ["INFERENCE_PROFILE"] if self._profiles[model.id] else ["ON_DEMAND"]
            ),
            "modelLifecycle": {"status": "ACTIVE"},
        }

    def headers(self, number: int) -> Mapping[str, str]:
        return {"x-amzn-requestid": f"00000000-0000-4000-8000-{number:012x}"}


def _profile(model: Model, group: str, region: str) -> Json:
    id_ = f"{group}.{model.id}"
    return {
        "inferenceProfileId": id_,
        "inferenceProfileArn": f"arn:aws:bedrock:{region}:123456789012:inference-profile/{id_}",
        "inferenceProfileName": f"{group.upper()} {model.id}",
        "models": [{"modelArn": f"arn:aws:bedrock:{region}::foundation-model/{model.id}"}],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


def _unsigned(message: str) -> Refused:
    return Refused(Case.BAD_KEY, message, code="InvalidSignatureException")


def _signature(call: Call, key_id: str, region: str, names: list[str], sent_at: str) -> str:
    """What the signature of this call must be, by AWS's own signer."""
    query = f"?{call.raw_query}" if call.raw_query else ""
    request = AWSRequest(
        call.method,
        f"http://{call.headers['host']}{call.raw_path}{query}",
        headers={name: call.headers.get(name, "") for name in names},
        data=call.body,
    )
    request.context["timestamp"] = sent_at
    signer = SigV4Auth(Credentials(key_id, SECRET), "bedrock", region)
    return signer.signature(
        signer.string_to_sign(request, signer.canonical_request(request)), request
    )


PROVIDER = Bedrock()
