"""Text completions and fill-in-the-middle, at hosts that have an endpoint for them."""

from dataclasses import replace

import msgspec

from byok.providers.base import Endpoint, Fields, Provider
from megabrain.gateway import sse
from megabrain.gateway.dialects.base import Ask, Events, Unreadable, decoded
from megabrain.gateway.dialects.chat.passing import Chat, ChatEvents
from megabrain.gateway.dialects.completions.shapes import SEVERAL, Shape, only_one, shaped
from megabrain.gateway.dialects.translation import Inexpressible
from megabrain.gateway.routing import Candidate

_ENCODER = msgspec.json.Encoder()
_WORD = msgspec.json.Decoder(str)
_WORDS = msgspec.json.Decoder(list[str])


class Completions(Chat):
    """A prompt goes in; with a `suffix`, what belongs between the two comes out."""

    endpoint = Endpoint.COMPLETIONS
    alike = frozenset({Endpoint.COMPLETIONS, Endpoint.FIM})
    shape = Shape.TEXT

    def asked_at(self, ask: Ask) -> Endpoint:
        return Endpoint.FIM if _given(ask, "suffix") else self.endpoint

    def passes(self, ask: Ask, provider: Provider) -> bool:
        return True

    def at(self, provider: Provider) -> "Completions":
        return self

    def write(self, ask: Ask, candidate: Candidate) -> bytes:
        if candidate.endpoint is Endpoint.FIM:
            ask = replace(ask, fields=_to_fill_in(ask.fields))
        return super().write(ask, candidate)

    def answered(self, ask: Ask, answer: bytes) -> bytes:
        said = decoded(answer)
        changed = shaped(said, self.shape, stream=False) if said else None
        return answer if changed is None else _ENCODER.encode(changed)

    def events(self, ask: Ask) -> Events:
        return CompletionEvents(ask.wants_usage, self.shape)


class Fim(Completions):
    """Fill-in-the-middle as Mistral AI has it, which autocompletion clients expect."""

    endpoint = Endpoint.FIM
    alike = frozenset({Endpoint.FIM})
    shape = Shape.CHAT

    def read(self, body: bytes) -> Ask:
        ask = super().read(body)
        try:
            _WORD.decode(ask.fields.get("prompt", msgspec.Raw(b"null")))
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Unreadable("The field prompt must be a string.", "prompt") from None
        return ask


class CompletionEvents(ChatEvents):
    """Chunks that are read one by one: there are few, and each may need another shape."""

    __slots__ = ("_shape",)

    def __init__(self, wants_usage: bool, shape: Shape) -> None:
        super().__init__(wants_usage, reasoning_apart=False)
        self._shape = shape

    def plain(self, block: bytes) -> bool:
        return False

    def read(self, event: sse.Event, raw: bytes) -> bytes:
        sent = super().read(event, raw)
        chunk = decoded(event.data) if sent and not self.finished else None
        if chunk is None:
            return sent
        if not chunk.get("choices") and self._shape is Shape.CHAT:
            # Autocompletion clients look into the first choice of every chunk.
            return b""
        changed = shaped(chunk, self._shape, stream=True)
        return raw if changed is None else sse.Event(_ENCODER.encode(changed).decode()).emit()


def _to_fill_in(fields: Fields) -> Fields:
    """The fields of one text to be filled in, which hosts take in no list. Raises Inexpressible."""
    try:
        only_one({name: msgspec.json.decode(fields[name]) for name in SEVERAL if name in fields})
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"The body cannot be read: {error}.") from None
    prompt = fields.get("prompt", msgspec.Raw(b""))
    if not bytes(prompt).startswith(b"["):
        return fields
    try:
        (text,) = _WORDS.decode(prompt)
    except (ValueError, UnicodeDecodeError):
        raise Inexpressible("This model takes one prompt of text in a call.", "prompt") from None
    return {**fields, "prompt": msgspec.Raw(_ENCODER.encode(text))}


def _given(ask: Ask, name: str) -> bool:
    return bytes(ask.fields.get(name, b"")) not in (b"", b"null", b'""')


COMPLETIONS = Completions()
FIM = Fim()
