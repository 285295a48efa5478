"""The key decides what happens: `sk-ant-api03-sim-429-…` is always rate limited, and so on.

    ok                    works
    401 402 403 404 429   bad key, no credit, no access, unknown model, rate limited, in the
    500 529               provider's own way; 500 its server error, 529 (or overloaded) its capacity
    echo                  a bad request whose text repeats the key, a foreign key and markup
    huge                  a server error with a body of 10 MB
    html                  a proxy's HTML page instead of the API
    slow                  the first byte comes after some seconds, after the provider's keep-alives
    hang                  no answer at all
    error                 200, then an error event first (not streamed: overloaded)
    lateerror             an error event in mid-stream (not streamed: overloaded)
    cut                   the connection drops in mid-answer
    end                   the stream ends cleanly in mid-answer, without its terminal event
    stall                 the stream falls silent in mid-answer
    bad                   malformed JSON
    flood                 an answer of 40 MB; streamed, one event of 2 MB
    flaky                 every other call is overloaded
    fast                  works, without reading or checking the request: for load tests

Some words concern the list of models alone, and everything else works:

    listempty             a list without a model
    listtenth             less than a tenth of the models, but one
    listbad               malformed JSON
    listhtml              a page of HTML, as if it were the list
    listcut               the connection drops in mid-answer
    listhuge              an id of 10 MB
    listtypes             every value is of another type
    listprices            all prices are a hundred times what they were
    listhang              no answer at all
    listdrip              a few bytes a second, for ever
    listredirect          a redirect to REDIRECTED
    listrefused           no access

Where the list is public no key says so, but `Simulator.list_faults`, by the provider's id.

`echo` and `huge` also go before another one: `sim-echo-401`, `sim-huge-402`, `sim-echo-lateerror`.
Hyphens may be left out (`sk-simok…`), for keys whose shape has none, and the letters be capitals
(`AKIASIM429…`), as in the id of an access key of AWS; its secret is that of providers/bedrock.py.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from megabrain.simulator.refusals import Case


class Fault(StrEnum):
    NONE = "ok"
    BAD_KEY = "401"
    NO_CREDIT = "402"
    NO_ACCESS = "403"
    MODEL_MISSING = "404"
    RATE_LIMITED = "429"
    SERVER_ERROR = "500"
    OVERLOADED = "529"
    BAD_REQUEST = "400"
    HTML = "html"
    SLOW = "slow"
    HANG = "hang"
    ERROR = "error"
    LATE_ERROR = "lateerror"
    CUT = "cut"
    END = "end"
    STALL = "stall"
    BAD = "bad"
    FLOOD = "flood"
    FLAKY = "flaky"
    FAST = "fast"


class ListFault(StrEnum):
    EMPTY = "listempty"
    TENTH = "listtenth"
    BAD = "listbad"
    HTML = "listhtml"
    CUT = "listcut"
    HUGE = "listhuge"
    TYPES = "listtypes"
    PRICES = "listprices"
    HANG = "listhang"
    DRIP = "listdrip"
    REDIRECT = "listredirect"
    REFUSED = "listrefused"


REFUSALS = {
    Fault.BAD_KEY: Case.BAD_KEY,
    Fault.NO_CREDIT: Case.NO_CREDIT,
    Fault.NO_ACCESS: Case.NO_ACCESS,
    Fault.MODEL_MISSING: Case.MODEL_MISSING,
    Fault.RATE_LIMITED: Case.RATE_LIMITED,
    Fault.SERVER_ERROR: Case.SERVER_ERROR,
    Fault.OVERLOADED: Case.OVERLOADED,
    Fault.BAD_REQUEST: Case.BAD_REQUEST,
}

_ALIASES = {"overloaded": Fault.OVERLOADED, "503": Fault.OVERLOADED, "late-error": Fault.LATE_ERROR}
_NAMES = sorted(
    [*(fault.value for fault in (*Fault, *ListFault)), *_ALIASES], key=len, reverse=True
)
_PATTERN = re.compile(rf"sim-?(?:(echo|huge)-?)?({'|'.join(_NAMES)})?")

FOREIGN_KEY = "sk-proj-" + "Zx9" * 12
"""Looks like somebody else's key; `echo` repeats it beside the caller's own."""

REDIRECTED = "/redirected"
HUGE_BYTES = 10 * 1024 * 1024
FLOOD_BYTES = 40 * 1024 * 1024
FLOOD_EVENT_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one key asks of the simulator."""

    fault: Fault
    listing: ListFault | None = None
    echo: bool = False
    huge: bool = False

    def words(self, message: str, key: str) -> str:
        """An error message as this behaviour words it."""
        if self.echo:
            message += f" Key {key} (not {FOREIGN_KEY}) <script>alert('{key}')</script>"
        if self.huge:
            message += " " + "x" * HUGE_BYTES
        return message


def behaviour(key: str) -> Behaviour | None:
    """What `key` asks for; None for a key that this simulator never issued."""
    match = _PATTERN.search(key.lower())
    if match is None or not any(match.groups()):
        return None
    prefix, name = match.groups()
    if name in list(ListFault):
        return Behaviour(Fault.NONE, ListFault(name), echo=prefix == "echo", huge=prefix == "huge")
    if name:
        fault = _ALIASES.get(name) or Fault(name)
    else:
        fault = Fault.BAD_REQUEST if prefix == "echo" else Fault.SERVER_ERROR
    return Behaviour(fault, echo=prefix == "echo", huge=prefix == "huge")
