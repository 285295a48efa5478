"""A streamed answer in Responses, written event by event."""

from collections.abc import Iterable

import msgspec

from megabrain.gateway.dialects.neutral import Ended, Event, Json, Prompt, Started
from megabrain.gateway.dialects.responses.answers import begun, ended, status_of_items
from megabrain.gateway.dialects.responses.failures import failed_event, keep_alive_event
from megabrain.gateway.dialects.responses.output import Open, Output
from megabrain.gateway.dialects.translation import Told, Writer
from megabrain.gateway.errors import Problem

_ENCODER = msgspec.json.Encoder()


class ResponsesWriter(Output, Writer):
    """From `response.created` to `completed`, `incomplete` or `failed`, numbered from 0.

    Calls that a provider sends interleaved stay interleaved, each in the place of its item: that
    is legal here, and every client goes by the place.
    """

    def __init__(self, prompt: Prompt, told: Told) -> None:
        super().__init__(prompt, told)
        self._prompt = prompt
        self._sent = 0
        self._out: list[bytes] = []

    def write(self, events: Iterable[Event]) -> bytes:
        for event in events:
            if not self._sent:
                self._begin()
            if isinstance(event, Ended):
                self._end(event)
            elif not isinstance(event, Started):
                self.take(event)
        out = b"".join(self._out)
        self._out.clear()
        return out

    def keep_alive(self) -> bytes:
        if not self._sent:
            # Another provider may still have to answer, and begin with number 0.
            return b": keep-alive\n\n"
        return keep_alive_event(self._next_number())

    def failure(self, problem: Problem) -> bytes:
        response = {**begun(self._prompt, self._told), "output": self.items}
        return failed_event(response, problem, self._next_number())

    # What happens to the items ---------------------------------------------------------------

    def event(self, kind: str, fields: Json) -> None:
        data = {"type": kind, "sequence_number": self._next_number(), **fields}
        self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), _ENCODER.encode(data)))

    def deltas_of(self, item: Open, kind: str, place: Json) -> None:
        # All but text and number stays the same from one to the next, and is written once.
        fixed = _ENCODER.encode({"type": kind, **place})[:-1]
        logprobs = b',"logprobs":[]' if kind == "response.output_text.delta" else b""
        item.around = (
            b'event: %b\ndata: %b,"delta":' % (kind.encode(), fixed),
            b'%b,"sequence_number":' % logprobs,
        )

    def delta(self, item: Open, text: str) -> None:
        before, after = item.around
        number = b"%d}\n\n" % self._next_number()
        self._out += (before, _ENCODER.encode(text), after, number)

    # -----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        response = begun(self._prompt, self._told)
        self.event("response.created", {"response": response})
        self.event("response.in_progress", {"response": response})

    def _end(self, end: Ended) -> None:
        self.close(status_of_items(end.finish))
        response = ended(self._prompt, self._told, self.items, end.finish, end.usage)
        self.event(f"response.{response['status']}", {"response": response})

    def _next_number(self) -> int:
        number = self._sent
        self._sent += 1
        return number
