"""The simulator as an ASGI application, and the record of what reached it."""

import re
from collections.abc import Iterator, Mapping
from itertools import count, islice, repeat
from types import ModuleType

import msgspec

from megabrain.simulator import answers, lists
from megabrain.simulator.connection import Call, Connection, Message, Receive, Send
from megabrain.simulator.dialects import (
    chat,
    completions,
    converse,
    embeddings,
    fim,
    gemini,
    invoke,
    messages,
    responses,
)
from megabrain.simulator.faults import (
    FLOOD_BYTES,
    FLOOD_EVENT_BYTES,
    REFUSALS,
    Behaviour,
    Fault,
    ListFault,
    behaviour,
)
from megabrain.simulator.prompt_cache import PromptCache
from megabrain.simulator.provider import Answer, Provider
from megabrain.simulator.providers import PROVIDERS
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Operation, Reply, Turn

_DIALECTS: dict[Operation, ModuleType] = {
    Operation.CHAT: chat,
    Operation.RESPONSES: responses,
    Operation.FIM: fim,
    Operation.COMPLETIONS: completions,
    Operation.EMBEDDINGS: embeddings,
    Operation.MESSAGES: messages,
    Operation.COUNT_TOKENS: messages,
    Operation.GENERATE_CONTENT: gemini,
    Operation.STREAM_GENERATE_CONTENT: gemini,
    Operation.GEMINI_COUNT_TOKENS: gemini,
    Operation.CONVERSE: converse,
    Operation.CONVERSE_STREAM: converse,
    Operation.BEDROCK_COUNT_TOKENS: converse,
    Operation.INVOKE: invoke,
    Operation.INVOKE_STREAM: invoke,
}
#: What the number is called that each operation for counting answers.
_COUNTED = {
    Operation.COUNT_TOKENS: "input_tokens",
    Operation.GEMINI_COUNT_TOKENS: "totalTokens",
    Operation.BEDROCK_COUNT_TOKENS: "inputTokens",
}
#: Whose path says that the answer is to be streamed.
_STREAMED = (
    Operation.STREAM_GENERATE_CONTENT,
    Operation.CONVERSE_STREAM,
    Operation.INVOKE_STREAM,
)
#: Whose prompt is cached as far as it is marked, and no further.
_MARKED = (
    Operation.MESSAGES,
    Operation.CONVERSE,
    Operation.CONVERSE_STREAM,
    Operation.INVOKE,
    Operation.INVOKE_STREAM,
)
_IN_PATH = re.escape("{model}")
_EVENTS_BEFORE_FAULT = 4
_CACHED_UNASKED_FROM = 1024  # tokens
_HTML = b"<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"
_GARBAGE = b'data: {"choices":[{"index":0,"delta":{"con\n\n'
_EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class Simulator:
    """Answers for all providers. With `record`, every request is kept in `calls`.

    `events_per_second` paces streams whose prompt says nothing of it; 0 sends at once.
    """

    def __init__(
        self, *, events_per_second: float = 0, slow_seconds: float = 4, record: bool = False
    ) -> None:
        self.events_per_second = events_per_second
        self.slow_seconds = slow_seconds
        self.calls: list[Call] = []
        self.numbers = count(1)
        self._record = record
        self._cache = PromptCache()
        self._flaky: dict[str, int] = {}
        #: How the lists of these providers go wrong, whichever key asks, if any.
        self.list_faults: dict[str, ListFault] = {}
        self._routes = {
            (method, f"/{provider.folder}{path}"): (provider, operation)
            for provider in PROVIDERS.values()
            for (method, path), operation in provider.routes.items()
        }
        self._with_model = [
            (method, re.compile(re.escape(path).replace(_IN_PATH, "(.+)")), found)
            for (method, path), found in self._routes.items()
            if "{model}" in path
        ]

    def clear(self) -> None:
        """Forgets every call, cached prompt, flaky key and list that was to go wrong."""
        self.calls.clear()
        self._cache.clear()
        self._flaky.clear()
        self.list_faults.clear()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"The simulator does not speak {scope['type']}.")
        call = Call.of(scope)
        if self._record:
            self.calls.append(call)
        connection = Connection(call, receive, send)
        found = self._route(call)
        if found is None:
            body = msgspec.json.encode({"error": {"message": f"Nothing is at {call.path}."}})
            await connection.start(404, {"content-type": "application/json"})
            await connection.finish(body)
        else:
            await Exchange(self, connection, *found).run()

    def fails_now(self, key: str) -> bool:
        """Whether a flaky key fails this time: the first, the third, the fifth call."""
        self._flaky[key] = self._flaky.get(key, 0) + 1
        return self._flaky[key] % 2 == 1

    def cached_tokens(self, key: str, turn: Turn, operation: Operation) -> tuple[int, int]:
        """Tokens read from the prompt cache and written to it."""
        marked = turn.parts[: turn.cacheable]
        if operation in _MARKED and marked:
            read = self._cache.tokens(key, marked)
            return read, max(0, sum(map(len, marked)) // 4 - read)
        if marked and turn.input_tokens >= _CACHED_UNASKED_FROM:
            return self._cache.tokens(key, marked) // 128 * 128, 0
        return 0, 0

    def _route(self, call: Call) -> tuple[Provider, Operation, str] | None:
        """Provider, operation, and the model named in the path, if any."""
        if found := self._routes.get((call.method, call.path)):
            return *found, ""
        for method, pattern, found in self._with_model:
            if method == call.method and (named := pattern.fullmatch(call.path)):
                return *found, named[1]
        for (method, path), (provider, operation) in self._routes.items():
            if operation is Operation.MODELS and method == call.method:
                name = call.path.removeprefix(path + "/")
                if name != call.path:
                    return provider, operation, name
        return None


class Exchange:
    """One request to one provider, from its key to the end of its answer."""

    def __init__(
        self,
        simulator: Simulator,
        connection: Connection,
        provider: Provider,
        operation: Operation,
        model_name: str,
    ) -> None:
        self.simulator = simulator
        self.connection = connection
        self.call = connection.call
        self.provider = provider
        self.operation = operation
        self.model_name = model_name
        self.number = next(simulator.numbers)
        self.key = ""
        self.behaviour = Behaviour(Fault.NONE)
        self.call.provider, self.call.operation = provider.id, operation.value

    async def run(self) -> None:
        try:
            self.call.body = await self.connection.read()
            self._authenticate()
            await self._answer()
        except Refused as refused:
            message = refused.message or self.provider.words(refused.case)
            message = message.replace("{key}", "****" + self.key[-4:])
            refused.message = self.behaviour.words(message, self.key)
            await self._whole(self.provider.error(self.operation, refused))

    def _authenticate(self) -> None:
        if self.operation is Operation.MODELS and self.provider.list_is_public:
            return
        self.key = self.provider.caller(self.operation, self.call)
        known = self.provider.takes(self.key, self.call.path)
        found = behaviour(self.key) if known else None
        if found is None:
            raise Refused(Case.BAD_KEY)
        self.behaviour = found

    async def _answer(self) -> None:
        fault = self.behaviour.fault
        if fault in REFUSALS:
            raise self._refusal(REFUSALS[fault])
        if fault is Fault.FLAKY and self.simulator.fails_now(self.key):
            raise Refused(Case.OVERLOADED)
        if fault is Fault.HTML:
            await self._whole(Answer(502, _HTML, {"content-type": "text/html"}))
        elif fault is Fault.HANG:
            await self.connection.silence()
        elif self.operation is Operation.MODELS:
            await self._list()
        elif self.operation is Operation.BALANCE:
            await self._json(self.provider.balance())
        else:
            await self._complete()

    def _refusal(self, case: Case) -> Refused:
        message = self.provider.words(case)
        if case is Case.MODEL_MISSING:
            named = re.search(rb'"model"\s*:\s*"([^"]{1,200})"', self.call.body)
            message = message.format(model=named[1].decode() if named else self.model_name)
        return Refused(case, message)

    async def _list(self) -> None:
        if self.model_name:
            await self._json(self.provider.describe(self.provider.model(self.model_name)))
            return
        fault = self.simulator.list_faults.get(self.provider.id) or self.behaviour.listing
        if fault is ListFault.REFUSED:
            raise Refused(Case.NO_ACCESS)
        if fault is ListFault.HANG:
            await self.connection.silence()
        answer = lists.answer(self.provider.list_models(self.call), fault)
        if fault is ListFault.DRIP:
            await self._start(200)
            await self.connection.pace(repeat(lists.DRIP), lists.DRIPS)
        elif fault is ListFault.CUT:
            await self._cut(answer.body)
        else:
            await self._whole(answer)

    async def _complete(self) -> None:
        """A call of a model."""
        dialect = _DIALECTS[self.operation]
        turn = self._glance() if self.behaviour.fault is Fault.FAST else self._read(dialect)
        if number := _COUNTED.get(self.operation):
            await self._json({number: turn.input_tokens})
            return
        self.provider.admit(self.key, turn.model)
        reply = answers.reply(turn, self.provider.name)
        reply = self.provider.voiced(self.operation, turn, reply)
        if self.behaviour.fault is Fault.FLOOD:
            reply = Reply(text=("x" * (FLOOD_EVENT_BYTES if turn.stream else FLOOD_BYTES),))
        cached, written = self.simulator.cached_tokens(self.key, turn, self.operation)
        usage = answers.usage(turn, reply, cached, written)
        everything = (turn, reply, usage, self.number, self.provider)
        if turn.stream:
            await self._stream(dialect, dialect.stream(*everything), reply)
        else:
            await self._one_piece(dialect.whole(*everything), reply)

    def _read(self, dialect: ModuleType) -> Turn:
        try:
            body = msgspec.json.decode(self.call.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise bad_request(f"The request body is not valid JSON: {error}") from None
        if not isinstance(body, dict):
            raise bad_request("The request body must be a JSON object.")
        # Read here only where it is not part of the body.
        model = (self.provider.model_for(self.call, self.model_name),) if self.model_name else ()
        try:
            turn: Turn = dialect.read(
                body, self.call.headers, self.provider, self.operation, *model
            )
        except (AttributeError, KeyError, TypeError) as error:
            # A field of another type than the API takes; a schema would say so more precisely.
            raise bad_request(f"Invalid type for a field: {error}") from None
        return turn

    def _glance(self) -> Turn:
        """A turn without parsing the body, for load tests: only streaming and pace are read."""
        body = self.call.body
        pace = re.search(rb"stream: ?\d+ events(?: at [\d.]+/s)?", body)
        return Turn(
            model=self.provider.models[0],
            stream=self.operation in _STREAMED
            or re.search(rb'"stream"\s*:\s*true', body) is not None,
            parts=[body],
            cacheable=0,
            body={"stream_options": {"include_usage": b'"include_usage"' in body}},
            prompt=pace[0].decode() if pace else "say: pong",
        )

    async def _one_piece(self, body: Json, reply: Reply) -> None:
        fault = self.behaviour.fault
        if fault in {Fault.ERROR, Fault.LATE_ERROR}:
            raise Refused(Case.OVERLOADED)
        slow = self.simulator.slow_seconds if fault is Fault.SLOW else 0
        blank = b"\n" if slow and self.provider.keep_alive else b""
        if blank:
            await self._start(200)
        if (slow or reply.wait) and not await self.connection.wait(slow + reply.wait, blank):
            return
        encoded = msgspec.json.encode(body)
        half = encoded[: len(encoded) // 2]
        match fault:
            case Fault.BAD:
                await self._whole(Answer(200, half))
            case Fault.CUT | Fault.END | Fault.STALL:
                await self._cut(encoded, stall=fault is Fault.STALL)
            case _ if blank:
                await self.connection.finish(encoded)
            case _:
                await self._whole(Answer(200, encoded))

    async def _cut(self, body: bytes, *, stall: bool = False) -> None:
        """Half of a body that was announced whole."""
        await self._start(200, {"content-length": str(len(body))})
        await self.connection.write(body[: len(body) // 2])
        if stall:
            await self.connection.silence()
        self.connection.drop()

    async def _stream(self, dialect: ModuleType, events: Iterator[bytes], reply: Reply) -> None:
        fault = self.behaviour.fault
        slow = self.simulator.slow_seconds if fault is Fault.SLOW else 0
        keep_alive = self.provider.keep_alive if slow else b""
        events = map(self.provider.event, events)
        headers = getattr(dialect, "STREAM_HEADERS", _EVENT_STREAM)
        if keep_alive:
            await self._start(200, headers)
        if (slow or reply.wait) and not await self.connection.wait(slow + reply.wait, keep_alive):
            return
        if not keep_alive:
            await self._start(200, headers)
        rate = reply.events_per_second
        rate = self.simulator.events_per_second if rate is None else rate
        match fault:
            case Fault.ERROR:
                await self.connection.write(self._error_event(dialect, 0))
            case Fault.LATE_ERROR | Fault.CUT | Fault.END | Fault.STALL | Fault.BAD:
                await self.connection.pace(islice(events, _EVENTS_BEFORE_FAULT), rate)
                await self._break_off(dialect, fault)
            case _:
                await self.connection.pace(events, rate)
        if not self.call.end:
            await self.connection.finish()

    async def _break_off(self, dialect: ModuleType, fault: Fault) -> None:
        match fault:
            case Fault.LATE_ERROR:
                await self.connection.write(self._error_event(dialect, self.call.events))
            case Fault.BAD:
                await self.connection.write(getattr(dialect, "GARBAGE", _GARBAGE))
            case Fault.STALL:
                await self.connection.silence()
            case Fault.CUT:
                self.connection.drop()

    def _error_event(self, dialect: ModuleType, sequence: int) -> bytes:
        wording = self.provider.wordings[Case.OVERLOADED]
        refused = Refused(Case.OVERLOADED, self.behaviour.words(wording.message, self.key))
        body = self.provider.error_body(self.operation, wording, refused)
        return self.provider.event(dialect.error_event(body, sequence))

    async def _json(self, body: Json) -> None:
        await self._whole(Answer(200, msgspec.json.encode(body)))

    async def _whole(self, answer: Answer) -> None:
        await self._start(
            answer.status, {**answer.headers, "content-length": str(len(answer.body))}
        )
        await self.connection.finish(answer.body)

    async def _start(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        usual = {"content-type": "application/json", **self.provider.headers(self.number)}
        await self.connection.start(status, {**usual, **(headers or {})})
