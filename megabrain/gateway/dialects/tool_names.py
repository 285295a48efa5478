"""Names of tools and ids of calls that every dialect takes, and the same in each turn.

Limits (dialects.md § 0, checked at the vendors): a name has at most 64 of `[a-zA-Z0-9_-]` in Chat
Completions, Responses and Converse. An id is `[a-zA-Z0-9_-]+` in Messages, at most 64 of
`[a-zA-Z0-9_.:-]` in Converse, and of at most 64 characters in Responses. What does not fit is
replaced by something made of its hash: never by something random or counted, for prompt caches
and signed reasoning want a conversation to be written the same way in each of its turns.
"""

import hashlib
import re

MAX_NAME = 64
#: Between a namespace and the name of a tool in it.
JOINT = "__"
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_DIGITS = 8
_KEPT = MAX_NAME - _DIGITS - 1

_MESSAGES_ID = re.compile(r"[a-zA-Z0-9_-]+")
_CONVERSE_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_RESPONSES_ID = re.compile(r".{1,64}", re.DOTALL)


class ToolNames:
    """Gives each tool of one request its name upstream.

    Whoever parses a request names the offered tools first, in their order, and then, with the same
    object, those that the conversation mentions.
    """

    def __init__(self) -> None:
        self._given: dict[tuple[str | None, str], str] = {}
        self._taken: set[str] = set()

    def of(self, own_name: str, namespace: str | None = None) -> str:
        """The name of this tool, which no other has: its own where that is possible."""
        tool = (namespace, own_name)
        name = self._given.get(tool)
        if name is None:
            name = flat(own_name, namespace)
            if name in self._taken:
                # "a__b" beside the tool b of the namespace a.
                name = _marked(name, f"{namespace is not None}\0{namespace or ''}\0{own_name}")
            self._given[tool] = name
            self._taken.add(name)
        return name


def flat(own_name: str, namespace: str | None = None) -> str:
    """A legal name: `namespace__name`, shortened to 55 characters and a hash where it must be."""
    whole = f"{namespace}{JOINT}{own_name}" if namespace else own_name
    return whole if _NAME.fullmatch(whole) else _marked(whole, whole)


def id_for_messages(call_id: str) -> str:
    """The id of a call as Messages takes it."""
    return _legal(call_id, _MESSAGES_ID)


def id_for_converse(call_id: str) -> str:
    """The id of a call as Converse takes it."""
    return _legal(call_id, _CONVERSE_ID)


def id_for_responses(call_id: str) -> str:
    """The id of a call as Responses takes it."""
    return _legal(call_id, _RESPONSES_ID)


def id_at(position: int, name: str) -> str:
    """An id for the call of this tool that came without one, by its position in the conversation
    or the answer."""
    return _hashed(f"{position}\0{name}")


def _legal(call_id: str, pattern: re.Pattern[str]) -> str:
    return call_id if pattern.fullmatch(call_id) else _hashed(call_id)


def _hashed(text: str) -> str:
    return "call_" + _digest(text)[:24]


def _marked(name: str, identity: str) -> str:
    return f"{_NOT_IN_NAMES.sub('_', name)[:_KEPT]}_{_digest(identity)[:_DIGITS]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
