"""What a failed attempt means: for the next one, for the key, and for the caller at last."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from byok.providers.base import Endpoint, Failure, Outcome
from byok.vault import Secret
from megabrain.gateway.errors import Code, Problem, Words
from megabrain.gateway.keyholder import Keyholder
from megabrain.gateway.masking import presentable
from megabrain.gateway.overlong import in_anthropics_words
from megabrain.gateway.routing import Candidate

UNSEALABLE = "unsealable"
TIMED_OUT = "timed_out"

#: Statuses of a refused request that callers are told as they are.
_REFUSED = {400, 413, 422}
_WORD = 64
_MESSAGE = 1000


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that failed before the caller had a byte of it.

    `why` completes "Fireworks (key 1a2b3c4d) …"; `again` says that the same key may be tried once
    more, since the provider has certainly not begun, or not kept, the work.
    """

    candidate: Candidate
    outcome: str
    why: str
    status: int | None = None
    retry_after: float | None = None
    again: bool = False
    #: The request is at fault: no other key would do better.
    refusal: Problem | None = None
    #: But for this: the provider did not sign the reasoning in it.
    reasoning_refused: bool = False
    #: Or this: its dialect has no word for something that was asked. It has not been called.
    inexpressible: bool = False


_WHY = {
    Outcome.REJECTED: "rejected the key: it is wrong, revoked or expired",
    Outcome.NO_ACCESS: "does not let the key use this model",
    Outcome.NO_CREDIT: "says the key's account there is out of credit or at a spending limit",
    Outcome.RATE_LIMITED: "is limiting the calls of the key",
    Outcome.MODEL_MISSING: "does not serve this model to the key",
    Outcome.OVERLOADED: "is overloaded",
    Outcome.UNAVAILABLE: "failed with a fault of its own",
    Outcome.BAD_REQUEST: "refused the request",
}

_CODES = {
    Outcome.RATE_LIMITED: Code.BYOK_RATE_LIMITED,
    Outcome.OVERLOADED: Code.UPSTREAM_UNAVAILABLE,
    TIMED_OUT: Code.UPSTREAM_UNAVAILABLE,
    Outcome.UNAVAILABLE: Code.UPSTREAM_UNAVAILABLE,
    Outcome.NO_CREDIT: Code.BYOK_NO_CREDIT,
    Outcome.REJECTED: Code.BYOK_KEY_REJECTED,
    Outcome.NO_ACCESS: Code.BYOK_NO_ACCESS,
    Outcome.MODEL_MISSING: Code.MODEL_NOT_FOUND,
    UNSEALABLE: Code.BYOK_KEY_REQUIRED,
}
#: Of several failures the caller is told the one that passes soonest: its code comes first here.
_RANK = [str(outcome) for outcome in _CODES]


def classified(
    candidate: Candidate,
    failure: Failure,
    status: int,
    body: bytes,
    endpoint: Endpoint,
    secret: Secret,
    asked: bytes,
    context: int | None = None,
) -> Failed:
    """What the provider's error means. `asked` is the request, of which it may quote, and
    `context` the model's."""
    outcome = failure.outcome if failure.outcome is not Outcome.OK else Outcome.UNAVAILABLE
    refusal = None
    if outcome is Outcome.BAD_REQUEST:
        sent = f"{candidate.offer.upstream_id} {asked.decode('utf-8', 'replace')}"
        refusal = _refused(candidate, failure, status, body, secret, sent)
        if refusal.code is Code.CONTEXT_LENGTH_EXCEEDED and endpoint is Endpoint.MESSAGES:
            refusal.message = in_anthropics_words(refusal.message, len(asked), context)
    return Failed(
        candidate,
        outcome,
        _WHY[outcome],
        status,
        failure.retry_after,
        again=outcome in (Outcome.OVERLOADED, Outcome.UNAVAILABLE),
        refusal=refusal,
        reasoning_refused=failure.reasoning_refused,
    )


def _refused(
    candidate: Candidate, failure: Failure, status: int, body: bytes, secret: Secret, sent: str
) -> Problem:
    """The provider's refusal of the request, in its own words, since agents go by them."""
    known = status in _REFUSED or status == 200
    message = presentable(failure.message, secret, sent).strip() if known else ""
    if not message:
        message = f"{candidate.provider.name} refused the request and did not say why."
    code, shown = Code.INVALID_REQUEST, status if status in _REFUSED else 400
    if failure.context_too_long and status != 413:
        code, shown = Code.CONTEXT_LENGTH_EXCEEDED, 400
    elif status == 413:
        code = Code.REQUEST_TOO_LARGE
    words = _words(body, secret, sent) if known and code is Code.INVALID_REQUEST else None
    return Problem(code, message, status=shown, words=words)


def _words(body: bytes, secret: Secret, sent: str) -> Words:
    """Type, code and parameter of the provider's error, as far as they are plain words."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Words()
    holder = answer if isinstance(answer, dict) else {}
    for name in ("response", "error"):
        inner = holder.get(name)
        holder = inner if isinstance(inner, dict) else holder

    def word(name: str) -> str:
        value = holder.get(name)
        if isinstance(value, str) and 0 < len(value) <= _WORD and value.isprintable():
            return presentable(value, secret, sent)
        return ""

    return Words(word("type"), word("code"), word("param") or None)


def refused(candidate: Candidate, message: str, field: str | None) -> Failed:
    """The request cannot be said in the dialect of this provider."""
    if field and field not in message:
        # Messages callers read nothing but the sentence.
        message = f"{field}: {message}"
    if len(message) > _MESSAGE:
        # It may repeat a name that the caller chose.
        message = message[: _MESSAGE - 1] + "…"
    problem = Problem(Code.UNSUPPORTED_PARAMETER, message, param=field)
    return Failed(
        candidate, Outcome.BAD_REQUEST, "cannot be asked this", refusal=problem, inexpressible=True
    )


def unavailable(candidate: Candidate, why: str, *, again: bool = False) -> Failed:
    """The provider gave no usable answer."""
    return Failed(candidate, Outcome.UNAVAILABLE, why, again=again)


def broken(candidate: Candidate, why: str) -> Problem:
    """A stream that cannot go on, after its first event."""
    name = f"{candidate.provider.name} (key {candidate.key.shown})"
    return Problem(Code.UPSTREAM_UNAVAILABLE, f"{name} {why}.", status=502)


def all_failed(failures: Iterable[Failed], model: str, holder: Keyholder) -> Problem:
    """The one error for a call that every key failed. The balance is not charged for it."""
    failures = [failed for failed in failures if not failed.refusal]
    worst = min(failures, key=lambda failed: _RANK.index(failed.outcome))
    code = _CODES[worst.outcome]
    waits = [
        failed.retry_after if failed.retry_after is not None else 5.0
        for failed in failures
        if failed.outcome == Outcome.RATE_LIMITED
    ]
    told: dict[str, str] = {}
    for failed in failures:
        key, name = failed.candidate.key, failed.candidate.provider.name
        told[key.shown] = f"{name} (key {key.shown}) {failed.why}"
    message = "; ".join(told.values()) + "."
    if code is Code.UPSTREAM_UNAVAILABLE:
        message = f"No provider could answer: {message} Try again in a moment."
    elif code is Code.BYOK_RATE_LIMITED:
        # Codex reads the time from this wording.
        message += f" Please try again in {max(1, round(min(waits)))}s."
    elif code is Code.MODEL_NOT_FOUND:
        message = f"model: {model} could not be used. {message}"
    else:
        message += f" {holder.advise('check the keys')}"
    return Problem(
        code,
        message,
        retry_after=min(waits) if code is Code.BYOK_RATE_LIMITED else None,
        status=_STATUSES.get(worst.outcome),
    )


#: More precise than the code's own statuses. An overload keeps those, for Anthropic has one.
_STATUSES = {TIMED_OUT: 504, Outcome.UNAVAILABLE: 502}
