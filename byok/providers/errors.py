"""Reading a provider's error answer, whatever its shape, and saying what it means.

Nothing here trusts the answer. A body may be JSON of any shape, HTML from a proxy in
between, empty, enormous or not text at all; the worst it can do is to be judged by its
status alone. What is judged, in this order: what the provider's own rules say of its codes and
wordings, codes and wordings that mean the same everywhere, and only then the status.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

MESSAGE_LIMIT = 4096
CODE_LIMIT = 64
#: A larger error answer is judged by its status: no provider's is a tenth of this.
BODY_LIMIT = 1024 * 1024
#: Companies number their errors from here on; a smaller number repeats the status.
FIRST_OWN_NUMBER = 1000
#: Nobody is told to wait longer than this, whatever the answer asks for.
LONGEST_WAIT = 3600.0


class Outcome(StrEnum):
    """What became of one call, as far as routing and the key's owner are concerned."""

    OK = "ok"
    REJECTED = "rejected"
    NO_ACCESS = "no_access"
    NO_CREDIT = "no_credit"
    RATE_LIMITED = "rate_limited"
    MODEL_MISSING = "model_missing"
    OVERLOADED = "overloaded"
    BAD_REQUEST = "bad_request"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Failure:
    """A classified error. `message` and `code` are the provider's words, bounded but not masked."""

    outcome: Outcome
    message: str = ""
    code: str = ""
    context_too_long: bool = False
    retry_after: float | None = None
    #: The request holds reasoning that another key, or another provider, has signed.
    reasoning_refused: bool = False
    #: The words of the message by which it was judged to be about the key: the message may quote
    #: the request.
    wording: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of an error table: every condition that is stated must hold.

    `code` is compared with each code, type and reason of the body, `contains` with its
    message, both without regard to case.
    """

    outcome: Outcome
    status: int | None = None
    code: str = ""
    contains: str = ""
    without_header: str = ""
    context_too_long: bool = False

    @property
    def reads_the_body(self) -> bool:
        return bool(self.code or self.contains)

    def matches(self, status: int, headers: Mapping[str, str], said: "Said") -> bool:
        return (
            self.status in (None, status)
            and (not self.code or self.code.lower() in said.codes)
            and (not self.contains or self.contains.lower() in said.message.lower())
            and (not self.without_header or self.without_header not in headers)
        )


@dataclass(frozen=True, slots=True)
class Said:
    """What an error body says: its codes, most specific first and lower-case, its message, and how
    many seconds it asks to wait."""

    codes: tuple[str, ...]
    message: str
    retry_after: float | None = None


#: Codes, types and reasons that mean the same wherever they were seen.
CODES: Mapping[str, Outcome] = {
    "invalid_api_key": Outcome.REJECTED,
    "authentication_error": Outcome.REJECTED,
    "failed_to_auth": Outcome.REJECTED,
    "unauthorized": Outcome.REJECTED,
    "permission_error": Outcome.NO_ACCESS,
    "permission_denied": Outcome.NO_ACCESS,
    "missing_scope": Outcome.NO_ACCESS,
    "insufficient_quota": Outcome.NO_CREDIT,
    "billing_error": Outcome.NO_CREDIT,
    "billing_hard_limit_reached": Outcome.NO_CREDIT,
    "billing_not_active": Outcome.NO_CREDIT,
    "insufficient_balance": Outcome.NO_CREDIT,
    "not_enough_balance": Outcome.NO_CREDIT,
    "payment_required": Outcome.NO_CREDIT,
    "model_not_found": Outcome.MODEL_MISSING,
    "context_length_exceeded": Outcome.BAD_REQUEST,
    "request_too_large": Outcome.BAD_REQUEST,
    "content_filter": Outcome.BAD_REQUEST,
    "content_policy_violation": Outcome.BAD_REQUEST,
    "rate_limit_error": Outcome.RATE_LIMITED,
    "rate_limit_exceeded": Outcome.RATE_LIMITED,
    "overloaded_error": Outcome.OVERLOADED,
    "server_is_overloaded": Outcome.OVERLOADED,
    "slow_down": Outcome.OVERLOADED,
}

#: Vague types. They decide only for an error event inside a 200, which has no status of its own.
EVENT_CODES: Mapping[str, Outcome] = {
    "invalid_request_error": Outcome.BAD_REQUEST,
    "invalid_prompt": Outcome.BAD_REQUEST,
    "not_found_error": Outcome.MODEL_MISSING,
}

TOO_LONG_CODES = frozenset({"context_length_exceeded", "request_too_large"})

TOO_LONG = (
    "prompt is too long",
    "maximum context length",
    "context window exceeds",
    "too large for model",
    "maximum prompt length",
    "exceeded model token limit",
    "exceeds the maximum number of tokens",
    "input is too long",
    # Anthropic's, of a prompt that leaves no room for as long an answer as is asked for.
    "exceed context limit",
)

#: Signed or encrypted reasoning of earlier turns that this credential cannot read. The first
#: fragment of a pair must be in the message, and then the second.
FOREIGN_REASONING = (
    ("signature", "thinking"),
    ("thought", "signature"),
    ("encrypted content", "verified"),
    ("encrypted content", "decrypt"),
    ("expected `thinking`", "redacted_thinking"),
)
FOREIGN_REASONING_CODES = frozenset({"invalid_encrypted_content", "invalid_thinking_signature"})

NO_CREDIT = (
    "credit balance is too low",
    "insufficient balance",
    "credits are depleted",
    "monthly spending limit",
)

STATUSES: Mapping[int, Outcome] = {
    401: Outcome.REJECTED,
    402: Outcome.NO_CREDIT,
    403: Outcome.NO_ACCESS,
    404: Outcome.MODEL_MISSING,
    408: Outcome.UNAVAILABLE,
    429: Outcome.RATE_LIMITED,
    503: Outcome.OVERLOADED,
    529: Outcome.OVERLOADED,
}


def classify(
    rules: tuple[Rule, ...], status: int, headers: Mapping[str, str], body: bytes
) -> Failure:
    """Say what an answer that is not a success means. Never raises.

    `headers` have lower-case names. `status` is that of the answer, so an error event in
    a stream comes with 200.
    """
    said = read(body)
    outcome, too_long, wording = _judge(rules, status, headers, said)
    wait = retry_after(headers)
    return Failure(
        outcome=outcome,
        message=said.message,
        code=said.codes[0] if said.codes else "",
        context_too_long=too_long,
        retry_after=said.retry_after if wait is None else wait,
        reasoning_refused=outcome is Outcome.BAD_REQUEST and _foreign_reasoning(said),
        wording=wording,
    )


def _foreign_reasoning(said: Said) -> bool:
    words = said.message.lower()
    return not FOREIGN_REASONING_CODES.isdisjoint(said.codes) or any(
        all(fragment in words for fragment in pair) for pair in FOREIGN_REASONING
    )


def _judge(
    rules: tuple[Rule, ...], status: int, headers: Mapping[str, str], said: Said
) -> tuple[Outcome, bool, str]:
    """The outcome, whether it is that the request was too long, and the words that decided."""
    matching = [rule for rule in rules if rule.matches(status, headers, said)]
    for rule in matching:
        if rule.reads_the_body:
            return rule.outcome, rule.context_too_long, rule.contains
    for code in said.codes:
        if code in CODES:
            return CODES[code], code in TOO_LONG_CODES, ""
    words = said.message.lower()
    if status < 500 and any(fragment in words for fragment in TOO_LONG):
        return Outcome.BAD_REQUEST, True, ""
    poor = next((fragment for fragment in NO_CREDIT if fragment in words), "")
    if status < 500 and poor:
        return Outcome.NO_CREDIT, False, poor
    for rule in matching:
        return rule.outcome, rule.context_too_long, ""
    return _by_status(status, said), status == 413, ""


def _by_status(status: int, said: Said) -> Outcome:
    if status < 400:
        known = (EVENT_CODES[code] for code in said.codes if code in EVENT_CODES)
        return next(known, Outcome.UNAVAILABLE)
    fallback = Outcome.BAD_REQUEST if status < 500 else Outcome.UNAVAILABLE
    return STATUSES.get(status, fallback)


def read(body: bytes) -> Said:
    """Find codes and message in an error body of any shape."""
    if len(body) > BODY_LIMIT:
        return Said((), "")
    text = body.decode("utf-8", "replace").strip()
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        # A page of a proxy in between tells an agent nothing; a line of text may.
        return Said((), "" if text.startswith("<") else _printable(text))
    if isinstance(parsed, list):
        parsed = next((item for item in parsed if isinstance(item, dict)), None)
    if not isinstance(parsed, dict):
        return Said((), _printable(_text(parsed)))
    error = _error_of(parsed)
    codes = tuple(dict.fromkeys(_codes(error, parsed)))
    return Said(codes, _printable(_message(error, parsed)), _wait(error))


# The values below are Any because they are whatever JSON the other side chose to send.


def failed_within(answer: dict[str, Any]) -> bool:
    """Whether an answer says that the call failed, whatever its HTTP status was."""
    base = answer.get("base_resp")
    failed = isinstance(base, dict) and base.get("status_code") not in (None, 0, "0")
    return failed or bool(answer.get("error"))


def _error_of(parsed: dict[str, Any]) -> dict[str, Any]:
    """The innermost object that describes the error; Responses events hold it in `response`.

    MiniMax's own form is `base_resp`, also beside an answer, where a code of 0 is a success.
    """
    for holder in (parsed, parsed.get("response")):
        if isinstance(holder, dict) and isinstance(holder.get("error"), dict):
            return dict(holder["error"])
    if failed_within(parsed) and isinstance(base := parsed.get("base_resp"), dict):
        return {"code": base.get("status_code"), "message": base.get("status_msg")}
    return parsed


def _codes(error: dict[str, Any], parsed: dict[str, Any]) -> Iterator[str]:
    details = error.get("details")
    cause = details.get("error_code") if isinstance(details, dict) else None
    for value in (
        cause,
        *(detail.get("reason") for detail in _details(error)),
        error.get("code"),
        error.get("reason"),
        error.get("type"),
        parsed.get("code"),
        parsed.get("reason"),
        error.get("status"),
    ):
        if isinstance(value, int) and value >= FIRST_OWN_NUMBER:
            value = str(value)[:CODE_LIMIT]
        # Anything long or with spaces is no code.
        if isinstance(value, str) and re.fullmatch(rf"[\w.:-]{{1,{CODE_LIMIT}}}", value, re.ASCII):
            yield value.lower()


def _details(error: dict[str, Any]) -> list[dict[str, Any]]:
    """Google's list of what there is to know of an error, each of a type of its own."""
    details = error.get("details")
    if not isinstance(details, list):
        return []
    return [detail for detail in details[:20] if isinstance(detail, dict)]


def _wait(error: dict[str, Any]) -> float | None:
    """The seconds that a google.rpc.RetryInfo among the details asks to wait, such as "34.5s"."""
    for detail in _details(error):
        delay = detail.get("retryDelay")
        seconds = _number(delay.removesuffix("s")) if isinstance(delay, str) else None
        if seconds is not None:
            return min(seconds, LONGEST_WAIT)
    return None


def _message(error: dict[str, Any], parsed: dict[str, Any]) -> str:
    for holder in (error, parsed):
        for field in ("message", "Message", "detail", "error", "msg"):
            if holder.get(field):
                return _text(holder[field])
    return ""


def _text(value: Any) -> str:
    """A message as text; some providers send a list of complaints or an object."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(filter(None, (_text(item) for item in value[:20])))
    if isinstance(value, dict):
        for field in ("message", "msg", "detail", "reason"):
            if isinstance(value.get(field), str):
                return str(value[field])
        return json.dumps(value, ensure_ascii=False)
    return ""


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text[:MESSAGE_LIMIT]).strip()


def retry_after(headers: Mapping[str, str]) -> float | None:
    """How long the answer asks to wait, in seconds between 0 and an hour, or None.

    Reads `retry-after-ms`, and `retry-after` in seconds, in fractions of them, or as a date.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return min(milliseconds / 1000, LONGEST_WAIT)
    value = headers.get("retry-after", "").strip()
    seconds = _number(value)
    if seconds is None and value:
        until, sent = _date(value), _date(headers.get("date", ""))
        if until is not None:
            # Their own clock wrote both dates, so the difference is right even if it is off.
            seconds = max(0.0, until - (sent if sent is not None else time.time()))
    return None if seconds is None else min(seconds, LONGEST_WAIT)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{0,15})?", text.strip()) else None


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
