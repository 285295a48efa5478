"""Why an answer of Messages ended."""

from megabrain.gateway.dialects.neutral import Finish

_READ = {
    "end_turn": Finish.END,
    "stop_sequence": Finish.STOP,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.CONTEXT_FULL,
    "tool_use": Finish.TOOLS,
    "refusal": Finish.FILTERED,
    "pause_turn": Finish.PAUSE,
    "compaction": Finish.END,
}
_WRITTEN = {
    Finish.END: "end_turn",
    Finish.STOP: "stop_sequence",
    Finish.LENGTH: "max_tokens",
    Finish.CONTEXT_FULL: "model_context_window_exceeded",
    Finish.TOOLS: "tool_use",
    Finish.FILTERED: "refusal",
    Finish.PAUSE: "pause_turn",
    # Agents take it for an answer that is cut, and ask for more.
    Finish.BROKEN: "max_tokens",
}
#: What a call of a tool leaves as it is: such a turn was cut.
_CUT = (Finish.LENGTH, Finish.CONTEXT_FULL, Finish.FILTERED, Finish.BROKEN)


def read_stop(reason: object, *, calls: bool) -> Finish:
    """`calls` says that the answer calls a tool of the caller's."""
    return _settled(_READ.get(str(reason), Finish.END), calls=calls)


def write_stop(finish: Finish, *, calls: bool) -> str:
    return _WRITTEN[_settled(finish, calls=calls)]


def _settled(finish: Finish, *, calls: bool) -> Finish:
    """Whoever asks for a tool waits for it, whatever is said; and nobody else does."""
    if finish in _CUT:
        return finish
    if calls:
        return Finish.TOOLS
    return Finish.END if finish is Finish.TOOLS else finish
