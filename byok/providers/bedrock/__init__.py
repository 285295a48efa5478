"""AWS Bedrock: Claude by InvokeModel, everything else by Converse, in the region of the key.

Its credential is made of several parts (credential.py) and signs each request (signing.py), and
what a model is called depends on the region (regions.py). Sources: providers.md § 4, botocore.
"""

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.conf import settings

from byok.providers import errors
from byok.providers.base import (
    USER_AGENT,
    Endpoint,
    Failure,
    Fields,
    Outcome,
    Probe,
    Provider,
    Rule,
    UnusableSecret,
    UpstreamRequest,
)
from byok.providers.bedrock import credential, invoke, lists, signing
from byok.providers.bedrock.regions import REGIONS, model_in
from byok.providers.listing import Page, decoded
from byok.vault import Secret

_CONTROL_URL = "https://bedrock.{region}.amazonaws.com"
_PROFILES_PATH = "/inference-profiles?maxResults=1000&type=SYSTEM_DEFINED"
_TYPE = "x-amzn-errortype"


@dataclass(frozen=True, kw_only=True, eq=False)
class Bedrock(Provider):
    """Where AWS differs from everybody else."""

    def request(
        self,
        secret: Secret,
        endpoint: Endpoint,
        body: bytes,
        headers: Mapping[str, str],
        *,
        model: str = "",
        stream: bool = False,
        host: str = "",
    ) -> UpstreamRequest:
        if endpoint is Endpoint.INVOKE_MODEL and "anthropic-beta" in headers:
            body = invoke.with_header(body, headers["anthropic-beta"])
        path = self.path(endpoint, model, stream=stream)
        return self._signed(secret, "POST", self.base_url, path, model, body)

    def list_models(
        self, secret: Secret, host: str = "", after: str | None = None
    ) -> UpstreamRequest:
        if after is None:
            return self._signed(secret, "GET", _CONTROL_URL, self.models_path)
        token = after.removeprefix(lists.PROFILES)
        more = f"&nextToken={quote(token, safe='')}" if token else ""
        return self._signed(secret, "GET", _CONTROL_URL, _PROFILES_PATH + more)

    def read_list(self, body: bytes) -> Page:
        return lists.read(decoded(body))

    def canonical(self, upstream_id: str) -> str | None:
        return lists.canonical(upstream_id)

    def lists(self, upstream_id: str, listed: Container[str]) -> bool:
        return lists.have(upstream_id, listed)

    def path(self, endpoint: Endpoint, model: str, *, stream: bool) -> str:
        path = self.endpoints[endpoint]
        if not stream:
            return path
        return path + ("-stream" if endpoint is Endpoint.CONVERSE else "-with-response-stream")

    def speaks(self, model: str, endpoint: Endpoint, *, with_tools: bool) -> bool:
        """Claude is asked in its own dialect, which loses nothing; no other has one here."""
        return endpoint is not Endpoint.INVOKE_MODEL or "anthropic." in model

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        if endpoint is Endpoint.INVOKE_MODEL:
            return invoke.fitted(fields, max_output)
        return {name: value for name, value in fields.items() if name != "model"}

    # Any: a request body is whatever JSON the provider wants.
    def probe_body(self, probe: Probe) -> Mapping[str, Any]:
        return {"messages": [{"role": "user", "content": [{"text": "ping"}]}], **probe.options}

    def answered(self, body: bytes) -> bool:
        if super().answered(body):
            return True
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return False
        output = answer.get("output") if isinstance(answer, dict) else None
        return isinstance(output, dict) and isinstance(output.get("message"), dict)

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """The kind of an error is in a header, with more behind a colon; its body has the words."""
        name = headers.get(_TYPE, "").partition(":")[0].rpartition("#")[2]
        if name:
            message = errors.read(body).message
            body = json.dumps({"error": {"type": name, "message": message}}).encode()
        return super().classify(status, headers, body)

    def clean(self, text: str) -> str:
        return credential.pasted(text).canonical

    def hinted(self, text: str) -> str:
        try:
            return credential.stored(text).shown
        except UnusableSecret:
            return ""

    def warnings(self, text: str) -> list[str]:
        try:
            return credential.doubts(credential.stored(text))
        except UnusableSecret as unusable:
            return [str(unusable)]

    def runtime_url(self, region: str) -> str:
        """Where the models of a region are called, unless the operator has put another address."""
        return self._base(self.base_url, region)

    def model_called(self, secret: Secret, upstream_id: str) -> str:
        """What a model is called in the region of this key."""
        return model_in(credential.stored(secret.reveal()).region, upstream_id)

    def _base(self, template: str, region: str) -> str:
        own: str = settings.MEGABRAIN_UPSTREAM_URLS.get(self.id, "")
        return (own or template.format(region=region)).rstrip("/")

    def _signed(
        self,
        secret: Secret,
        method: str,
        template: str,
        path: str,
        model: str = "",
        body: bytes | None = None,
    ) -> UpstreamRequest:
        """A request with its proof. Raises UnusableSecret for a credential that is none."""
        held = credential.stored(secret.reveal())
        called = signing.encoded(model_in(held.region, model))
        url = self._base(template, held.region) + path.replace("{model}", called)
        headers = {} if body is None else {"content-type": "application/json"}
        proof = signing.authorization(held, method, url, body, headers)
        return UpstreamRequest(method, url, {"user-agent": USER_AGENT, **headers, **proof}, body)


def _named(outcome: Outcome, *names: str) -> tuple[Rule, ...]:
    return tuple(Rule(outcome, code=name) for name in names)


PROVIDER = Bedrock(
    id="bedrock",
    name="AWS Bedrock",
    base_url="https://bedrock-runtime.{region}.amazonaws.com",
    console_url="https://console.aws.amazon.com/iam/home#/users",
    endpoints={
        Endpoint.INVOKE_MODEL: "/model/{model}/invoke",
        Endpoint.CONVERSE: "/model/{model}/converse",
    },
    models_path="/foundation-models?byOutputModality=TEXT",
    # An account may have one vendor's models and not another's.
    probes=(
        Probe(
            "{geo}.anthropic.claude-haiku-4-5-20251001-v1:0",
            {"inferenceConfig": {"maxTokens": 1}},
            Endpoint.CONVERSE,
        ),
        Probe(
            "{geo}.amazon.nova-micro-v1:0",
            {"inferenceConfig": {"maxTokens": 1}},
            Endpoint.CONVERSE,
        ),
        Probe(
            "openai.gpt-oss-20b-1:0",
            {"inferenceConfig": {"maxTokens": 1}},
            Endpoint.CONVERSE,
        ),
    ),
    kind="aws",
    placeholder='{"accessKeyId": "AKIA…", "secretAccessKey": "…", "region": "us-east-1"}',
    key_pattern=r"^\{.*\}$",
    key_prefixes=("AKIA", "ASIA", "ABSK", "bedrock-api-key-"),
    key_note=(
        "Models are called in the region you name, through the inference profile of its part of "
        "the world where there is one."
    ),
    key_fields=(
        {
            "accessKeyId": credential.ACCESS_KEY_ID,
            "secretAccessKey": credential.SECRET_ACCESS_KEY,
            "region": f"^({'|'.join(sorted(REGIONS))})$",
        },
        {
            "apiKey": credential.API_KEY,
            "region": f"^({'|'.join(sorted(REGIONS))})$",
        },
    ),
    permissions=("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"),
    returns=("x-amzn-requestid", "retry-after"),
    error_rules=(
        # A Bedrock API key that is wrong or out of date is refused under the name of a missing
        # permission, so that only the words tell.
        Rule(Outcome.REJECTED, 403, contains="api key"),
        Rule(Outcome.REJECTED, 403, contains="bearer token"),
        Rule(Outcome.NO_ACCESS, code="ResourceNotFoundException", contains="use case details"),
        Rule(
            Outcome.MODEL_MISSING,
            code="ValidationException",
            contains="model identifier is invalid",
        ),
        Rule(
            Outcome.MODEL_MISSING, code="ValidationException", contains="on-demand throughput isn"
        ),
        # An AWS account that is new or restricted, whatever it asks.
        Rule(Outcome.NO_ACCESS, code="ValidationException", contains="operation not allowed"),
        Rule(Outcome.NO_ACCESS, code="ValidationException", contains="account is not authorized"),
        Rule(
            Outcome.BAD_REQUEST,
            code="ValidationException",
            contains="too long",
            context_too_long=True,
        ),
        Rule(
            Outcome.BAD_REQUEST,
            code="ValidationException",
            contains="exceed context limit",
            context_too_long=True,
        ),
        Rule(Outcome.NO_CREDIT, code="ThrottlingException", contains="per day"),
        *_named(
            Outcome.REJECTED,
            "UnrecognizedClientException",
            "InvalidSignatureException",
            "ExpiredTokenException",
            "InvalidClientTokenId",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "RequestExpired",
        ),
        *_named(Outcome.NO_ACCESS, "AccessDeniedException"),
        *_named(Outcome.MODEL_MISSING, "ResourceNotFoundException"),
        *_named(Outcome.BAD_REQUEST, "ValidationException"),
        *_named(Outcome.RATE_LIMITED, "ThrottlingException", "ServiceQuotaExceededException"),
        *_named(
            Outcome.OVERLOADED,
            "ModelNotReadyException",
            "ModelTimeoutException",
            "ModelErrorException",
            "ModelStreamErrorException",
            "ServiceUnavailableException",
            "InternalServerException",
        ),
    ),
)
