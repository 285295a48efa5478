"""What one attempt says to a provider, and how its answer is told to the caller.

Where the provider speaks the caller's dialect, bytes pass through. Otherwise the request is
translated, and the answer back, through the neutral form.
"""

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum

import msgspec

from byok.providers.base import Endpoint
from megabrain.gateway import envelope
from megabrain.gateway.call import Call
from megabrain.gateway.dialects import CALLER_SIDES, PROVIDER_SIDES, Dialect, parsed
from megabrain.gateway.dialects.base import (
    Ask,
    Events,
    body_of,
    too_many_parts,
)
from megabrain.gateway.dialects.neutral import Origin, Prompt, Reasoning
from megabrain.gateway.dialects.translation import Target, Told, TranslatedEvents
from megabrain.gateway.eventstream import FrameSplitter
from megabrain.gateway.metering import Usage
from megabrain.gateway.routing import Candidate
from megabrain.gateway.sse import Splitter

_ENCODER = msgspec.json.Encoder()
#: Found with an expression three times as quickly as with `in`.
_ENVELOPE = re.compile(re.escape(envelope.PREFIX.encode()))
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,40}")
_MOST_DROPPED = 20
#: Spoken in frames of Amazon's event stream rather than in server-sent events.
_FRAMED = (Endpoint.INVOKE_MODEL, Endpoint.CONVERSE)


class Strip(Enum):
    """Which reasoning of earlier turns is left out of a request."""

    NOTHING = "nothing"
    #: What does not say who made it, for a key that takes over.
    UNNAMED = "unnamed"
    #: All that is signed or sealed, for a key that has refused it.
    EVERYTHING = "everything"


class Whole(msgspec.Struct, frozen=True):
    """An answer in one piece, as the caller gets it, and what its provider says it used."""

    body: bytes
    usage: Usage | None


class Exchange(ABC):
    """One attempt's request and answer."""

    def __init__(self, call: Call, ask: Ask, dialect: Dialect, candidate: Candidate) -> None:
        self.call = call
        self.ask = ask
        self.dialect = dialect
        self.candidate = candidate
        self.endpoint = candidate.endpoint

    @abstractmethod
    def body(self) -> bytes:
        """The body for the provider. Raises Unreadable and Inexpressible."""

    @abstractmethod
    def events(self) -> Events:
        """A follower of the streamed answer."""

    @abstractmethod
    def whole(self, body: bytes) -> Whole | None:
        """The answer in one piece, or None if the body is something else, such as an error."""

    @property
    def content_type(self) -> str:
        """The media type of a streamed answer."""
        if self.endpoint in _FRAMED:
            return "application/vnd.amazon.eventstream"
        return "text/event-stream"

    def splitter(self) -> "Splitter | FrameSplitter":
        return FrameSplitter() if self.endpoint in _FRAMED else Splitter()


class PassingThrough(Exchange):
    """The provider speaks the caller's dialect.

    Nobody knows who signed the reasoning in such a body, so `strip` leaves out all or none.
    """

    def __init__(
        self, call: Call, ask: Ask, dialect: Dialect, candidate: Candidate, *, strip: Strip
    ) -> None:
        super().__init__(call, ask, dialect.at(candidate.provider), candidate)
        self._stripped = strip is not Strip.NOTHING
        call.dropped = ()

    def body(self) -> bytes:
        ask = self.ask
        if self._stripped or _ENVELOPE.search(ask.body):
            fields = self.dialect.without_reasoning(ask.fields, only_ours=not self._stripped)
            ask = replace(ask, fields=fields)
        return self.dialect.write(ask, self.candidate)

    def events(self) -> Events:
        return self.dialect.events(self.ask)

    def whole(self, body: bytes) -> Whole | None:
        if not self.dialect.sound(body):
            return None
        usage = None if too_many_parts(body) else self.dialect.usage(body)
        return Whole(self.dialect.answered(self.ask, body), usage)


class Translating(Exchange):
    """The provider speaks another dialect."""

    def __init__(
        self, call: Call, ask: Ask, dialect: Dialect, candidate: Candidate, *, strip: Strip
    ) -> None:
        super().__init__(call, ask, dialect, candidate)
        assert call.caller is not None
        assert call.model is not None
        self._ours = CALLER_SIDES[call.endpoint]
        self._theirs = PROVIDER_SIDES[self.endpoint]
        key, offer = candidate.key, candidate.offer
        origin = Origin(key.provider, str(key.id), offer.upstream_id)
        self._target = Target(
            provider=candidate.provider,
            upstream_model=offer.upstream_id,
            model=call.model.id,
            origin=origin,
            max_output=candidate.max_output,
            context=call.model.context,
            capabilities=call.model.capabilities,
        )
        self._told = Told(
            account_id=call.caller.account_id,
            request_id=call.request_id,
            model=call.model.id,
            created=int(call.created_at.timestamp()),
            origin=origin,
        )
        self._prompt = parsed(call.endpoint, ask, call.caller.account_id)
        if strip is not Strip.NOTHING:
            _leave_out(self._prompt, named=strip is Strip.EVERYTHING)

    def body(self) -> bytes:
        body = self._theirs.request(self._prompt, self._target)
        self.call.dropped = told(self._prompt.dropped)
        fields = {name: msgspec.Raw(_ENCODER.encode(value)) for name, value in body.items()}
        return body_of(fields, self.candidate)

    def events(self) -> Events:
        reader = self._theirs.reader(self._target)
        return TranslatedEvents(reader, self._ours.writer(self._prompt, self._told))

    def whole(self, body: bytes) -> Whole | None:
        if too_many_parts(body):
            return None
        answer = self._theirs.answer(body, self._target)
        if answer is None:
            return None
        usage = answer.usage if self.dialect.uses_tokens else None
        return Whole(self._ours.answer(self._prompt, answer, self._told), usage)


def told(dropped: Iterable[str]) -> tuple[str, ...]:
    """The names of these fields that fit into a header; a caller may have chosen some."""
    names = (name for name in dict.fromkeys(dropped) if _NAME.fullmatch(name))
    return tuple(itertools.islice(names, _MOST_DROPPED))


def exchange(
    call: Call, ask: Ask, dialect: Dialect, candidate: Candidate, *, strip: Strip
) -> Exchange:
    """The exchange of one attempt. Raises Unreadable and Inexpressible.

    `strip` says which reasoning of earlier turns this provider key is not given.
    """
    alike = dialect.alike or {dialect.endpoint}
    if candidate.endpoint in alike and dialect.passes(ask, candidate.provider):
        return PassingThrough(call, ask, dialect, candidate, strip=strip)
    return Translating(call, ask, dialect, candidate, strip=strip)


def _leave_out(prompt: Prompt, *, named: bool) -> None:
    """Leave out the reasoning that does not say who made it; `named` adds what does.

    What came in an envelope names its maker, and goes back to nobody else as it is. The plain text
    that Chat hosts insist on is signed by nobody.
    """
    for turn in prompt.turns:
        turn.blocks = [
            block
            for block in turn.blocks
            if not isinstance(block, Reasoning)
            or (block.origin is not None and (not named or block.maker == "chat"))
        ]
