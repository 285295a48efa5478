"""What a failed attempt means: for the next one, for the key, and for the caller at last."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
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
TOO_LONG = "too_long"

#: What a provider says to whoever holds the key, and not to whoever wrote the request.
_TO_THE_HOLDER = re.compile(
    r"\b(?:your|this)\s+(?:[\w-]+\s+){0,2}"
    r"(?:organi[sz]ation|account|plan|billing|project|workspace|subscription|api[ -]key)\b",
    re.IGNORECASE,
)
#: Outcomes that are held against a key.
_ABOUT_THE_KEY = (Outcome.REJECTED, Outcome.NO_ACCESS, Outcome.NO_CREDIT)
#: A longer request is not searched, while all other calls wait, for what it may be quoted by.
_SEARCHED = 1 << 20
#: So deep may JSON stand in strings of JSON: the arguments of tools do.
_NESTED = 3
#: White space, also as JSON writes it.
_BETWEEN_WORDS = r"(?:\s|\\[nrtf])+"
#: Statuses of a refused request that callers are told as they are.
_REFUSED = {400, 413, 422}
#: Where an answer may quote the request: a refusal, or an error in an answer that had begun well.
_QUOTING = {*_REFUSED, 200}
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
    wordings = [] if candidate.own else _wordings_about_ours(failure, outcome)
    quoted = bool(wordings) and status in _QUOTING and _all_stand_in(asked, wordings)
    if quoted:
        # Or a caller could make everybody's key look broken.
        outcome = Outcome.BAD_REQUEST
    elif wordings and outcome is Outcome.BAD_REQUEST:
        outcome = Outcome.NO_ACCESS
    refusal = None
    if outcome is Outcome.BAD_REQUEST:
        sent = f"{candidate.offer.upstream_id} {asked.decode('utf-8', 'replace')}"
        # Whose words those are nobody can tell: they may be about MegaBrain's account all the same.
        known = status in _QUOTING and not quoted
        refusal = _refused(candidate, failure, status, body, secret, sent, known=known)
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


def _wordings_about_ours(failure: Failure, outcome: Outcome) -> list[str]:
    """The words by which alone an error is taken as one of MegaBrain's own account there; nothing
    if it is not, or is by more than words."""
    if outcome in _ABOUT_THE_KEY:
        return [failure.wording] if failure.wording else []
    if outcome is not Outcome.BAD_REQUEST or failure.context_too_long:
        return []
    return [found[0] for found in _TO_THE_HOLDER.finditer(failure.message)]


def _all_stand_in(asked: bytes, wordings: Sequence[str]) -> bool:
    """Whether the request has these words, however it writes their letters and the space between
    them; a very long one may."""
    if len(asked) > _SEARCHED:
        return True
    patterns = [
        re.compile(_BETWEEN_WORDS.join(map(re.escape, wording.lower().split())))
        for wording in wordings
    ]
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Written anew, the letters of its strings are themselves.
        asked = msgspec.json.encode(msgspec.json.decode(asked))
    text = asked.decode("utf-8", "replace")
    for _ in range(_NESTED):
        said = text.lower()
        if all(pattern.search(said) for pattern in patterns):
            return True
        text = _opened(text)
    return False


def _opened(text: str) -> str:
    """The text with what is escaped once more in its strings."""
    while "\\\\" in text:
        text = text.replace("\\\\", "\\")
    text = text.encode("raw_unicode_escape").decode("raw_unicode_escape", "replace")
    # Beyond the basic plane a character is two escapes.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _refused(
    candidate: Candidate,
    failure: Failure,
    status: int,
    body: bytes,
    secret: Secret,
    sent: str,
    *,
    known: bool,
) -> Problem:
    """The provider's refusal of the request, in its own words where those are `known` to be about
    it, since agents go by them."""
    own = candidate.own
    message = presentable(failure.message, secret, sent, own=own).strip() if known else ""
    if not message:
        message = f"{candidate.provider.name} refused the request and did not say why."
    code, shown = Code.INVALID_REQUEST, status if status in _REFUSED else 400
    if failure.context_too_long and status != 413:
        code, shown = Code.CONTEXT_LENGTH_EXCEEDED, 400
    elif status == 413:
        code = Code.REQUEST_TOO_LARGE
    words = _words(body, secret, sent, own=own) if known and code is Code.INVALID_REQUEST else None
    return Problem(code, message, status=shown, words=words)


def _words(body: bytes, secret: Secret, sent: str, *, own: bool) -> Words:
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
            return presentable(value, secret, sent, own=own)
        return ""

    return Words(word("type"), word("code"), word("param") or None)


def refused(candidate: Candidate, code: Code, message: str, field: str | None) -> Failed:
    """The request cannot be said in the dialect of this provider; `code` says whether it could in
    any."""
    if field and field not in message:
        # Messages callers read nothing but the sentence.
        message = f"{field}: {message}"
    if len(message) > _MESSAGE:
        # It may repeat a name that the caller chose.
        message = message[: _MESSAGE - 1] + "…"
    problem = Problem(code, message, param=field)
    return Failed(
        candidate, Outcome.BAD_REQUEST, "cannot be asked this", refusal=problem, inexpressible=True
    )


def too_long(candidate: Candidate, why: str) -> Failed:
    """An answer in one piece that is longer than MegaBrain passes on, and that is paid."""
    problem = Problem(
        Code.INVALID_REQUEST,
        f"{candidate.named} {why}: MegaBrain passes on up to 32 MiB in one piece. Ask for less at "
        "a time, or for a stream.",
    )
    return Failed(candidate, TOO_LONG, why, refusal=problem)


def unavailable(candidate: Candidate, why: str, *, again: bool = False) -> Failed:
    """The provider gave no usable answer."""
    return Failed(candidate, Outcome.UNAVAILABLE, why, again=again)


def broken(candidate: Candidate, why: str) -> Problem:
    """A stream that cannot go on, after its first event."""
    return Problem(Code.UPSTREAM_UNAVAILABLE, f"{candidate.named} {why}.", status=502)


def all_failed(failures: Iterable[Failed], model: str, holder: Keyholder) -> Problem:
    """The one error for a call that every key failed. The balance is not charged for it."""
    failures = [_as_told(failed) for failed in failures if not failed.refusal]
    worst = min(failures, key=lambda failed: _RANK.index(failed.outcome))
    code = _CODES[worst.outcome]
    waits = [
        failed.retry_after if failed.retry_after is not None else 5.0
        for failed in failures
        if failed.outcome == Outcome.RATE_LIMITED
    ]
    told: dict[str, str] = {}
    for failed in failures:
        told[failed.candidate.named] = failed.why
    message = "; ".join(f"{named} {why}" for named, why in told.items()) + "."
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


def _as_told(failed: Failed) -> Failed:
    """What is wrong with MegaBrain's own keys is not the caller's: they are out of order."""
    if failed.candidate.own:
        return failed
    return Failed(failed.candidate, Outcome.OVERLOADED, "could not serve this call")


def not_taken_over(failed: Problem, unpaid: Problem) -> Problem:
    """The error of a call whose own keys failed, and for which the balance was to pay."""
    failed.message += f" MegaBrain's own keys did not take over. {unpaid.message}"
    return failed


#: More precise than the code's own statuses. An overload keeps those, for Anthropic has one.
_STATUSES = {TIMED_OUT: 504, Outcome.UNAVAILABLE: 502}
