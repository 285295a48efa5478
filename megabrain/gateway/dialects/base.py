"""The seam between the relay and a caller's wire format.

A dialect does no I/O. It says what routing must know of a request body, and words errors so that
its callers' SDKs understand them. For a provider that speaks the same, it writes the body and
follows the events of the answer, forwarding their bytes as they came; for any other, see
translation.py.
"""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass

import msgspec

from byok.providers.base import Endpoint, Fields, Provider
from byok.providers.errors import failed_within
from megabrain.gateway import sse
from megabrain.gateway.errors import Problem
from megabrain.gateway.metering import BYTES_PER_TOKEN, Usage
from megabrain.gateway.routing import Candidate

_FIELDS = msgspec.json.Decoder(Fields)
_ENCODER = msgspec.json.Encoder()
_WORD = msgspec.json.Decoder(str)
_FLAG = msgspec.json.Decoder(bool | None)

#: Fields in which an answer may say that the call failed, whatever its status.
_FAILURES = ("error", "base_resp")

MAX_DEPTH = 64
#: A larger body may be one that grows by the length of its lines when it is written out.
MAX_WRITTEN_OUT = 1024 * 1024
_DEEP_LINE = b"\n" + b" " * MAX_DEPTH
#: Brackets outside strings. More of them would hold everybody up while they are matched.
MAX_BRACKETS = 200_000
#: Fields of a large body, of all its objects together; and the strings that those need.
MAX_FIELDS = 300_000
MAX_STRINGS = 1_000_000
#: Items of lists and fields of objects, in what is decoded to be translated.
MAX_VALUES = 1_000_000
#: Bytes of an event in which there may be no more than one token.
FRAME = 512
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}":'))
_HALF_A_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
_ONE_KIND_OF_BRACKET = bytes.maketrans(b"{}", b"[]")


class Unreadable(ValueError):
    """Routing cannot make sense of the body; the message says what is wrong with which field."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


@dataclass(slots=True)
class Ask:
    """What a request body asks for. `fields` are its top-level values, undecoded.

    A repeated field counts once, as its last value, and only that goes on: nobody downstream can
    read another model out of the body than the one that was checked here.
    """

    fields: Fields
    model: str
    stream: bool
    wants_usage: bool = True
    #: As it came, unpacked.
    body: bytes = b""

    @property
    def with_tools(self) -> bool:
        """Whether the model is given tools."""
        return bytes(self.fields.get("tools", b"")) not in (b"", b"[]", b"null")


class Dialect(ABC):
    """One wire format at one endpoint."""

    endpoint: Endpoint
    #: The fields that an answer in one piece has; an error in a 200 has none of them.
    answer_fields: tuple[str, ...]
    #: Where its requests are understood in their own words; the endpoint itself unless told.
    alike: frozenset[Endpoint] = frozenset()
    #: Whether a call uses tokens, so that some are assumed when nobody says how many.
    uses_tokens = True

    def read(self, body: bytes) -> Ask:
        """What the body asks for. Raises Unreadable."""
        fields = read_fields(body)
        return Ask(fields, _model(fields), _stream(fields), body=body)

    def asked_at(self, ask: Ask) -> Endpoint:
        """The endpoint that providers must have, or a translation to it, for such a request."""
        return self.endpoint

    def passes(self, ask: Ask, provider: Provider) -> bool:
        """Whether what was sent can go on in its own words to a provider of this dialect."""
        return True

    def at(self, provider: Provider) -> "Dialect":
        """The dialect as this provider speaks it, where that makes a difference."""
        return self

    def write(self, ask: Ask, candidate: Candidate) -> bytes:
        """The body for a provider of this dialect: what was sent, with the model's name as it is
        known there."""
        return body_of(ask.fields, candidate)

    def without_reasoning(self, fields: Fields, *, only_ours: bool) -> Fields:
        """The fields without the signed or encrypted reasoning of earlier turns, which another
        provider key made; `only_ours` takes out no more than our own envelopes."""
        return fields

    @abstractmethod
    def error(self, problem: Problem, request_id: str) -> bytes:
        """The body of an error answer."""

    def status(self, problem: Problem) -> int:
        return problem.status(self.endpoint)

    @abstractmethod
    def usage(self, answer: bytes) -> Usage | None:
        """What an answer in one piece says it used."""

    @abstractmethod
    def events(self, ask: Ask) -> "Events":
        """A follower of the stream that answers `ask`."""

    def answered(self, ask: Ask, answer: bytes) -> bytes:
        """An answer in one piece as its caller gets it: as it came."""
        return answer

    def sound(self, answer: bytes) -> bool:
        """Whether a 200's body is an answer, and not an error or something else in disguise."""
        try:
            fields = _FIELDS.decode(answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        if any(_given(fields, name) for name in _FAILURES) and failed_within(
            {name: msgspec.json.decode(fields[name]) for name in _FAILURES if name in fields}
        ):
            return False
        return any(_given(fields, name) for name in self.answer_fields)


def _given(fields: Fields, name: str) -> bool:
    """Whether the field is there and not null."""
    return name in fields and bytes(fields[name]) != b"null"


class Events(ABC):
    """The events of one answer on their way to the caller.

    Blocks of complete events go in; what is to be sent comes out. A block that holds nothing to be
    read is forwarded as it is, after a few searches of its bytes; only the others are parsed.
    """

    __slots__ = ("_bulk", "error", "finished", "seen", "usage", "usage_is_final")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        #: The usage is that of the whole answer, although it failed.
        self.usage_is_final = False
        #: The terminal event has been forwarded; nothing may follow it.
        self.finished = False
        #: The data of an error event. It is not forwarded: what it says is ours to word.
        self.error: bytes | None = None
        #: Events with data so far, about one for each token.
        self.seen = 0
        #: Bytes of those that have more than a token's, without what frames them.
        self._bulk = 0

    @property
    def tokens(self) -> int:
        """Of the answer so far, at a guess."""
        return max(self.seen, self._bulk // BYTES_PER_TOKEN)

    def over(self) -> bool:
        """Nothing more of the answer is for the caller."""
        return self.finished or self.error is not None

    def forward(self, block: bytes) -> bytes:
        """What of this block goes to the caller: all of it, but for the reasons above."""
        if self.over():
            return b""
        if self.plain(block):
            events = block.count(b"\n\n")
            self.seen += events
            self._weigh(block, events)
            return block
        out = []
        for raw in sse.split(block):
            event = sse.Event.parse(raw)
            if event is None or not event.data or self.is_sign_of_life(event):
                # Before the first event it would be taken for the answer's beginning.
                if self.seen:
                    out.append(raw)
                continue
            self.seen += 1
            self._weigh(raw, 1)
            out.append(self.read(event, raw))
            if self.over():
                break
        return b"".join(out)

    def _weigh(self, block: bytes, events: int) -> None:
        bulk = len(block) - events * FRAME
        if bulk > 0 and not self.repeats(block):
            self._bulk += bulk

    def repeats(self, block: bytes) -> bool:
        """Whether a long block tells once more what is known: of the request, or the answer."""
        return False

    def is_sign_of_life(self, event: sse.Event) -> bool:
        """Whether the event says nothing but that more will come, as a comment does."""
        return False

    @abstractmethod
    def plain(self, block: bytes) -> bool:
        """Whether the block can go on unread. Never true for one that must be read."""

    @abstractmethod
    def read(self, event: sse.Event, raw: bytes) -> bytes:
        """Take note of one event; returns what is forwarded of it, usually its own bytes."""

    @abstractmethod
    def ending(self) -> bytes | None:
        """What is missing at the end of the stream, or None when it broke off unfinished."""

    @abstractmethod
    def keep_alive(self) -> bytes:
        """What may be sent now to say that the answer is still coming; b"" for nothing."""

    @abstractmethod
    def failure(self, problem: Problem) -> bytes:
        """The event that ends a stream which cannot go on."""


def body_of(fields: Fields, candidate: Candidate) -> bytes:
    """The body with these fields, as the candidate's provider takes it."""
    offer, provider = candidate.offer, candidate.provider
    named = {**fields, "model": msgspec.Raw(_ENCODER.encode(offer.upstream_id))}
    return _ENCODER.encode(
        provider.adapt(candidate.endpoint, offer.upstream_id, named, candidate.max_output)
    )


def read_fields(body: bytes) -> Fields:
    """The top-level fields of a JSON object. Raises Unreadable."""
    # No body has more fields than colons, which are quicker counted than the fields.
    if len(body) > MAX_WRITTEN_OUT and body.count(b":") > MAX_FIELDS:
        _refuse_many_fields(body)
    try:
        fields = _FIELDS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(_what_is_wrong(body, error)) from None
    except RecursionError:
        raise Unreadable(_TOO_DEEP) from None
    if too_deep(body):
        raise Unreadable(_TOO_DEEP)
    return fields


_TOO_DEEP = f"The body is nested more than {MAX_DEPTH} levels deep."
_TOO_MANY_BRACKETS = f"The body has too many lists and objects: {MAX_BRACKETS // 2:,} at most."
_TOO_MANY_FIELDS = f"The body has too many fields: {MAX_FIELDS:,} at most."
_TOO_MANY_STRINGS = f"The body has too many strings: {MAX_STRINGS:,} at most."


def too_deep(body: bytes) -> bool:
    """Whether valid JSON is nested more than MAX_DEPTH levels. Raises Unreadable."""
    if not _many_brackets(body):
        return False
    # Written with one space a level, what is so deep begins with as many after a line break, which
    # no string can hold. Usually that settles it, at a third of the cost of what follows.
    if len(body) <= MAX_WRITTEN_OUT and _DEEP_LINE not in msgspec.json.format(body, indent=1):
        return False
    # What is left without the strings are the brackets, of which each round takes the innermost
    # away.
    brackets = _structure(body).replace(b":", b"")
    if len(brackets) > MAX_BRACKETS:
        raise Unreadable(_TOO_MANY_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True


def too_many_parts(text: bytes) -> bool:
    """Whether valid JSON has more parts than can be decoded without holding everybody up, and in
    not many times the room of its bytes."""
    if len(text) <= MAX_WRITTEN_OUT:
        return False
    try:
        structure = _structure(text, b",")
    except Unreadable:
        return True
    fields, values = structure.count(b":"), structure.count(b",")
    brackets = len(structure) - fields - values
    return fields > MAX_FIELDS or values > MAX_VALUES or brackets > MAX_BRACKETS


def _refuse_many_fields(body: bytes) -> None:
    """Raises Unreadable for more fields than MAX_FIELDS. Colons inside strings are none."""
    if _structure(body).count(b":") > MAX_FIELDS:
        raise Unreadable(_TOO_MANY_FIELDS)


def _structure(body: bytes, more: bytes = b"") -> bytes:
    """The brackets, all of one kind, the colons and `more` outside of strings. Raises
    Unreadable."""
    # Without its escapes, a quotation mark begins or ends a string.
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    quoted = bare.translate(_ONE_KIND_OF_BRACKET, _NOT_STRUCTURE.translate(None, more))
    if quoted.count(b'"') > 2 * MAX_STRINGS:
        raise Unreadable(_TOO_MANY_STRINGS)
    return b"".join(quoted.split(b'"')[::2])


def _what_is_wrong(body: bytes, error: Exception) -> str:
    # For the decoder such a body has no end, which would send its reader looking for one.
    if _HALF_A_PAIR.search(body.replace(b"\\\\", b"  ")):
        return (
            "The body must be a JSON object: a string in it holds half of a surrogate pair, as "
            "when a text was cut in the middle of a character."
        )
    return f"The body must be a JSON object: {error}."


def _many_brackets(body: bytes) -> bool:
    """Whether there are enough to nest so deep. Finding the first few is quicker than counting."""
    left = MAX_DEPTH
    for bracket in (b"{", b"["):
        at = body.find(bracket)
        while at >= 0:
            if left == 0:
                return True
            left -= 1
            at = body.find(bracket, at + 1)
    return False


def _model(fields: Fields) -> str:
    if "model" not in fields:
        raise Unreadable("The field model is missing: name a model, as in GET /v1/models.", "model")
    try:
        return _WORD.decode(fields["model"])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unreadable("The field model must be a string.", "model") from None


def _stream(fields: Fields) -> bool:
    if "stream" not in fields:
        return False
    try:
        return bool(_FLAG.decode(fields["stream"]))
    except msgspec.DecodeError:
        raise Unreadable("The field stream must be true or false.", "stream") from None


def decoded(text: bytes | str) -> dict[str, object] | None:
    """The JSON object in an event's data, or None when it holds none."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
