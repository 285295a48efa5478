"""Messages for providers that speak it, and the counting of their tokens."""

import re
from dataclasses import replace

import msgspec

from byok.providers.base import Endpoint, Fields, Provider
from byok.providers.errors import failed_within
from megabrain.gateway import sse
from megabrain.gateway.dialects.base import Ask, Dialect, Events, decoded
from megabrain.gateway.dialects.claude import claude, is_claude
from megabrain.gateway.dialects.messages.lost import without_thinking
from megabrain.gateway.dialects.messages.usage import UsageSoFar, read_usage
from megabrain.gateway.dialects.repairs import ATTRIBUTION, unattributed
from megabrain.gateway.errors import Problem
from megabrain.gateway.metering import Usage
from megabrain.gateway.routing import Candidate

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_ENCODER = msgspec.json.Encoder()
_SYSTEM = msgspec.json.Decoder(str | list[Fields])
_TEXT = msgspec.json.Decoder(str)
_SAMPLING = {"temperature", "top_p", "top_k"}
#: Inside a string the quotation marks would have backslashes.
_SYSTEM_TURN = re.compile(rb'"role"\s*:\s*"system"')
_ATTRIBUTION = ATTRIBUTION.encode()
_ATTRIBUTION_BEGINS = b'"' + _ATTRIBUTION


class Messages(Dialect):
    endpoint = Endpoint.MESSAGES
    answer_fields = ("content",)
    alike = frozenset({Endpoint.MESSAGES, Endpoint.INVOKE_MODEL})

    def passes(self, ask: Ask, provider: Provider) -> bool:
        on_bedrock = Endpoint.INVOKE_MODEL in provider.endpoints
        if on_bedrock and _asks_for_format(ask.fields):
            # Amazon's schema has no such field; another way to JSON has to be taken.
            return False
        # Instructions in the middle of a conversation are Anthropic's own; Claude Code sends them
        # to any model whose name it does not know.
        anthropic = provider.takes_attribution or on_bedrock
        return anthropic or not _SYSTEM_TURN.search(bytes(ask.fields.get("messages", b"")))

    def write(self, ask: Ask, candidate: Candidate) -> bytes:
        model = candidate.offer.upstream_id
        if not _SAMPLING.isdisjoint(ask.fields) and is_claude(model) and not claude(model).sampling:
            # Some agents always send a temperature of 0, for which these refuse the request.
            kept = {name: ask.fields[name] for name in ask.fields if name not in _SAMPLING}
            ask = replace(ask, fields=kept)
        if not candidate.provider.takes_attribution:
            ask = replace(ask, fields=_without_attribution(ask.fields))
        return super().write(ask, candidate)

    def without_reasoning(self, fields: Fields, *, only_ours: bool) -> Fields:
        return without_thinking(fields, only_ours=only_ours)

    def error(self, problem: Problem, request_id: str) -> bytes:
        return _ENCODER.encode(
            {
                "type": "error",
                "error": {
                    "type": problem.kind(self.endpoint),
                    "message": problem.message,
                    "details": {"error_code": problem.code_for(self.endpoint)},
                },
                "request_id": request_id,
            }
        )

    def usage(self, answer: bytes) -> Usage | None:
        found = decoded(answer)
        said = found.get("usage") if found else None
        return read_usage(said) if isinstance(said, dict) else None

    def events(self, ask: Ask) -> Events:
        return MessagesEvents()


class CountTokens(Messages):
    """The same requests, of which only the length is wanted. Nothing is used by that."""

    endpoint = Endpoint.COUNT_TOKENS
    answer_fields = ("input_tokens",)
    alike = frozenset({Endpoint.COUNT_TOKENS})
    uses_tokens = False

    def passes(self, ask: Ask, provider: Provider) -> bool:
        # Elsewhere it is the same question about another request.
        return Endpoint.MESSAGES in provider.endpoints

    def read(self, body: bytes) -> Ask:
        ask = super().read(body)
        ask.stream = False
        return ask

    def usage(self, answer: bytes) -> Usage | None:
        return None


class MessagesEvents(Events):
    """Named events from message_start to message_stop, pings anywhere."""

    __slots__ = ("_said", "_started")

    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._said = UsageSoFar()

    def is_sign_of_life(self, event: sse.Event) -> bool:
        return event.name == "ping"

    def plain(self, block: bytes) -> bool:
        # Only message_start, _delta and _stop and errors are read; content goes by.
        return (
            self.seen > 0
            and block.count(b"\n\n") == block.count(b"}\n\n")
            and b'"message_' not in block
            and b'"error"' not in block
            and b'"base_resp"' not in block
            and b"\r" not in block
        )

    def read(self, event: sse.Event, raw: bytes) -> bytes:
        said = decoded(event.data)
        kind = said.get("type") if said else None
        if said is None or is_error(said):
            self.error = event.data.encode()
            return b""
        if kind == "message_start":
            self._started = True
            self._note(said.get("message"))
        elif kind == "message_delta":
            self._note(said)
        elif kind == "message_stop":
            self.finished = True
        return raw

    def _note(self, holder: object) -> None:
        self._said.note(holder.get("usage") if isinstance(holder, dict) else None)
        self.usage = self._said.usage

    def ending(self) -> bytes | None:
        return b"" if self.finished else None

    def keep_alive(self) -> bytes:
        # A comment is harmless where a ping would come before the message it belongs to.
        return PING if self._started else b": keep-alive\n\n"

    def failure(self, problem: Problem) -> bytes:
        return failure(problem)


def _asks_for_format(fields: Fields) -> bool:
    """Whether an answer of a certain form is asked for, in today's place or an earlier one."""
    return "output_format" in fields or b'"format"' in bytes(fields.get("output_config", b""))


def is_error(said: dict[str, object]) -> bool:
    """Whether an event reports an error, also in the form of a company that only follows
    Anthropic."""
    return said.get("type") == "error" or failed_within(said)


def failure(problem: Problem) -> bytes:
    """The event that ends a stream which cannot go on."""
    return b"event: error\ndata: " + MESSAGES.error(problem, problem.request_id) + b"\n\n"


def _without_attribution(fields: Fields) -> Fields:
    """The body without Claude Code's attribution, other blocks being left as they are."""
    system = bytes(fields.get("system", b""))
    if _ATTRIBUTION not in system:
        return fields
    try:
        found = _SYSTEM.decode(system)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return fields
    if isinstance(found, str):
        return {**fields, "system": msgspec.Raw(_ENCODER.encode(unattributed(found)))}
    kept = []
    for block in found:
        text = bytes(block.get("text", b""))
        if text.startswith(_ATTRIBUTION_BEGINS):
            rest = unattributed(_TEXT.decode(text))
            if not rest:
                continue
            block = {**block, "text": msgspec.Raw(_ENCODER.encode(rest))}
        kept.append(block)
    return {**fields, "system": msgspec.Raw(_ENCODER.encode(kept))}


MESSAGES = Messages()
COUNT_TOKENS = CountTokens()
