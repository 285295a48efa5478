"""The two sides of a translation, and the follower that joins them.

Each dialect has at most one of each: a caller's side, which reads requests and writes answers, and
a provider's side, which writes requests and reads answers. Between them stands the neutral form.
None does any I/O.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from uuid import UUID

import msgspec

from byok.providers.base import Inexpressible, Provider
from megabrain.gateway import sse
from megabrain.gateway.dialects.base import Ask, Events
from megabrain.gateway.dialects.neutral import (
    Answer,
    CallDelta,
    Ended,
    Event,
    Failed,
    Json,
    Origin,
    Prompt,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
)
from megabrain.gateway.errors import Problem
from megabrain.gateway.metering import Usage

#: Both sides remember an answer up to its end. Around each token an event has some hundred bytes.
MAX_STREAM = 128 * 1024 * 1024


class StreamTooLong(sse.EventTooLong):
    """A stream has no end within MAX_STREAM bytes."""

    why = "sent an answer that is too long"


__all__ = [
    "CallerSide",
    "Inexpressible",
    "ProviderSide",
    "Reader",
    "Target",
    "Told",
    "TranslatedEvents",
    "Writer",
]


class Target(msgspec.Struct, kw_only=True, frozen=True):
    """Where a request goes: what a provider's side must know to write it."""

    provider: Provider
    #: The provider's id for it, and the catalogue's.
    upstream_model: str
    model: str
    origin: Origin
    max_output: int | None = None
    context: int | None = None
    capabilities: tuple[str, ...] = ()


class Told(msgspec.Struct, kw_only=True, frozen=True):
    """What a caller's side must know to write an answer beside the request and the answer."""

    account_id: UUID
    request_id: str
    #: The catalogue's id of the model that answers.
    model: str
    #: When the call began, in seconds since 1970.
    created: int
    origin: Origin


class CallerSide(ABC):
    """Reads the requests of a dialect's callers, and answers them."""

    @abstractmethod
    def parse(self, ask: Ask, account_id: UUID) -> Prompt:
        """The request in neutral terms. Raises Unreadable for what no dialect could make sense of,
        and Inexpressible for what means something and has no equal.

        Reasoning in an envelope of this account is unsealed, any other envelope left out.
        """

    @abstractmethod
    def answer(self, prompt: Prompt, answer: Answer, told: Told) -> bytes:
        """The body of an answer in one piece."""

    @abstractmethod
    def writer(self, prompt: Prompt, told: Told) -> "Writer":
        """A writer of the stream that answers `prompt`."""


class Writer(ABC):
    """Writes one streamed answer, event by event, in the grammar of a caller's dialect."""

    @abstractmethod
    def write(self, events: Iterable[Event]) -> bytes:
        """What is to be sent of these. `Ended` gives the terminal event; `Failed` never comes."""

    @abstractmethod
    def keep_alive(self) -> bytes:
        """What may be sent now to say that the answer is still coming; b"" for nothing."""

    @abstractmethod
    def failure(self, problem: Problem) -> bytes:
        """The event that ends a stream which cannot go on."""


class ProviderSide(ABC):
    """Writes requests in a dialect that providers speak, and reads their answers."""

    @abstractmethod
    def request(self, prompt: Prompt, target: Target) -> Json:
        """The body, its quirks of one provider aside. Raises Inexpressible."""

    @abstractmethod
    def answer(self, body: bytes, target: Target) -> Answer | None:
        """The answer in a 200's body, or None when it is something else, such as an error."""

    @abstractmethod
    def reader(self, target: Target) -> "Reader":
        """A reader of a stream."""


class Reader(ABC):
    """Reads one streamed answer. It tolerates events and fields that it does not know."""

    @abstractmethod
    def read(self, event: sse.Event) -> list[Event]:
        """What one event says. After `Ended` or `Failed` it is not called again."""

    @property
    def usage(self) -> Usage | None:
        """What the provider has reported so far, for an answer that breaks off."""
        return None

    def end(self) -> list[Event]:
        """What is known once the connection has ended: `Ended` where that is how an answer ends,
        and nothing where it broke off."""
        return []


class TranslatedEvents(Events):
    """A stream read in the provider's dialect and written in the caller's."""

    __slots__ = ("_reader", "_received", "_writer")

    def __init__(self, reader: Reader, writer: Writer) -> None:
        super().__init__()
        self._received = 0
        self._reader = reader
        self._writer = writer

    def forward(self, block: bytes) -> bytes:
        if self.over():
            return b""
        self._received += len(block)
        if self._received > MAX_STREAM:
            raise StreamTooLong
        found: list[Event] = []
        for raw in sse.split(block):
            event = sse.Event.parse(raw)
            if event is None or not event.data:
                continue
            found += self._noted(self._reader.read(event))
            if self.over():
                break
        if not self.over():
            self.usage = self._reader.usage or self.usage
        return self._writer.write(found) if found else b""

    def _noted(self, events: list[Event]) -> list[Event]:
        """The events up to the one that ends the stream; an error is the relay's to word."""
        for at, event in enumerate(events):
            self.seen += 1
            match event:
                case TextDelta(text=text) | RefusalDelta(text=text) | ReasoningDelta(text=text):
                    self._bulk += len(text)
                case CallDelta(arguments=text):
                    self._bulk += len(text)
                case Started():
                    self.usage = event.usage
                case Ended():
                    self.finished = True
                    self.usage = event.usage or self.usage
                    return events[: at + 1]
                case Failed():
                    self.error = event.data
                    self.usage = event.usage or self.usage
                    self.usage_is_final = event.usage_is_final
                    return events[:at]
        return events

    def ending(self) -> bytes | None:
        if self.finished:
            return b""
        last = self._noted(self._reader.end())
        return self._writer.write(last) if self.finished else None

    def keep_alive(self) -> bytes:
        return self._writer.keep_alive()

    def failure(self, problem: Problem) -> bytes:
        return self._writer.failure(problem)

    def plain(self, block: bytes) -> bool:
        return False

    def read(self, event: sse.Event, raw: bytes) -> bytes:
        raise NotImplementedError("Translated streams are read by their reader.")
