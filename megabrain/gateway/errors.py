"""Every error of the gateway: its code, and how each dialect's callers are told.

Agents retry by status, each in its own way, so one error has the status that stops a useless retry
in its dialect (Codex, the Responses caller, repeats everything but 400 and a 429 without a wait).
What is wrong with a key or an account is said in our words. What is wrong with the request keeps
the provider's, for agents repair themselves by them; they come here bounded and masked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from byok.providers.base import Endpoint


class Code(StrEnum):
    """What went wrong. The documentation has an entry for each."""

    INVALID_API_KEY = "invalid_api_key"
    ORGANIZATION_NOT_FOUND = "organization_not_found"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    MODEL_NOT_FOUND = "model_not_found"
    BYOK_KEY_REQUIRED = "byok_key_required"
    ENDPOINT_NOT_SUPPORTED = "endpoint_not_supported"
    BYOK_KEY_REJECTED = "byok_key_rejected"
    BYOK_NO_ACCESS = "byok_no_access"
    BYOK_NO_CREDIT = "byok_no_credit"
    BYOK_RATE_LIMITED = "byok_rate_limited"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    SPEND_LIMIT_REACHED = "spend_limit_reached"
    BALANCE_FROZEN = "balance_frozen"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    REQUEST_TOO_LARGE = "request_too_large"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    SERVICE_UNAVAILABLE = "service_unavailable"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Manner:
    """How an error is told: status by dialect, and whether trying again can help."""

    chat: int
    responses: int
    messages: int
    retry: bool = False


def _same(status: int, *, retry: bool = False) -> Manner:
    return Manner(status, status, status, retry)


MANNERS: Mapping[Code, Manner] = {
    Code.INVALID_API_KEY: _same(401),
    Code.ORGANIZATION_NOT_FOUND: Manner(404, 400, 404),
    Code.MODEL_NOT_ALLOWED: Manner(403, 400, 403),
    Code.MODEL_NOT_FOUND: Manner(404, 400, 404),
    Code.BYOK_KEY_REQUIRED: Manner(404, 400, 404),
    Code.ENDPOINT_NOT_SUPPORTED: _same(400),
    Code.BYOK_KEY_REJECTED: Manner(403, 400, 403),
    Code.BYOK_NO_ACCESS: Manner(403, 400, 403),
    Code.BYOK_NO_CREDIT: Manner(403, 400, 403),
    Code.BYOK_RATE_LIMITED: _same(429, retry=True),
    # Codex stops at a 429 with OpenAI's own word for it (code_for).
    Code.INSUFFICIENT_BALANCE: Manner(402, 429, 402),
    # It shows the message of a 400, which says whose limit it was.
    Code.SPEND_LIMIT_REACHED: Manner(402, 400, 402),
    Code.BALANCE_FROZEN: Manner(403, 400, 403),
    # Anthropic has a status for each way of it, and a Problem may say which.
    Code.UPSTREAM_UNAVAILABLE: Manner(503, 503, 529, retry=True),
    Code.RATE_LIMIT_EXCEEDED: _same(429, retry=True),
    Code.CONTEXT_LENGTH_EXCEEDED: _same(400),
    Code.INVALID_REQUEST: _same(400),
    Code.UNSUPPORTED_PARAMETER: _same(400),
    Code.REQUEST_TOO_LARGE: Manner(413, 400, 413),
    Code.UNSUPPORTED_ENCODING: Manner(415, 400, 415),
    Code.NOT_FOUND: _same(404),
    Code.METHOD_NOT_ALLOWED: _same(405),
    Code.SERVICE_UNAVAILABLE: _same(503, retry=True),
    Code.INTERNAL_ERROR: _same(500, retry=True),
}

#: Anthropic's names, which OpenAI's callers read as well.
_KINDS: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

#: OpenAI's type and code for an account that has used up what it paid for.
_QUOTA = "insufficient_quota"

#: Statuses of a refused request that Codex answers with the same request, five times more.
_REPEATED_BY_CODEX = {413, 415, 422}


class Problem(Exception):
    """An error on its way to the caller. Everything in it may be shown.

    `status` replaces the one of the code's manner, but never for a Responses caller where that is
    what stops a retry, and for Messages callers alone where no provider could answer; `words` are
    the provider's own type, code and parameter.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        status: int | None = None,
        words: "Words | None" = None,
        allow: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param if words is None else words.param
        self.retry_after = retry_after
        self.exact_status = status
        self.words = words
        self.allow = allow
        self.request_id = ""

    @property
    def retry(self) -> bool:
        return MANNERS[self.code].retry

    def status(self, endpoint: Endpoint) -> int:
        manner = MANNERS[self.code]
        if endpoint in (Endpoint.MESSAGES, Endpoint.COUNT_TOKENS):
            return self.exact_status or manner.messages
        codex = endpoint is Endpoint.RESPONSES
        usual = manner.responses if codex else manner.chat
        if self.code is Code.UPSTREAM_UNAVAILABLE or (
            codex and self.exact_status in _REPEATED_BY_CODEX
        ):
            return usual
        return self.exact_status or usual

    def kind(self, endpoint: Endpoint) -> str:
        """The error's type, as callers of this dialect know it."""
        if self.words and self.words.kind:
            return self.words.kind
        if self.code is Code.INSUFFICIENT_BALANCE and endpoint is Endpoint.RESPONSES:
            return _QUOTA
        status = self.status(endpoint)
        fallback = "invalid_request_error" if status < 500 else "api_error"
        return _KINDS.get(status, fallback)

    def code_for(self, endpoint: Endpoint) -> str:
        if self.words and self.words.code:
            return self.words.code
        if self.code is Code.UPSTREAM_UNAVAILABLE and endpoint is Endpoint.RESPONSES:
            # Codex gives up after five tries at this one, and after thirty at any other.
            return "server_is_overloaded"
        if self.code is Code.INSUFFICIENT_BALANCE and endpoint is Endpoint.RESPONSES:
            return _QUOTA
        return self.code.value

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What an agent reads before it decides whether to try again."""
        found = [(b"x-should-retry", b"true" if self.retry else b"false")]
        if self.retry_after is not None:
            # Whole seconds, rounded up: some clients read nothing else.
            found.append((b"retry-after", b"%d" % max(1, -int(-self.retry_after // 1))))
        if self.allow:
            found.append((b"allow", self.allow.encode()))
        if self.exact_status == 408:
            # The rest of the request would be taken for another one, or trickle in forever.
            found.append((b"connection", b"close"))
        return found


@dataclass(frozen=True, slots=True)
class Words:
    """A provider's own type, code and parameter of an error about the request."""

    kind: str = ""
    code: str = ""
    param: str | None = None


def internal_error(request_id: str) -> Problem:
    """Something broke in MegaBrain itself."""
    return Problem(
        Code.INTERNAL_ERROR,
        f"Something broke in MegaBrain. Tell its operator this id: {request_id}.",
    )
