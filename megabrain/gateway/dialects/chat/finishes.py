"""Why a Chat answer ended, in Chat's words and in ours (dialects.md § 10)."""

from megabrain.gateway.dialects.neutral import Finish

_READ = {
    "stop": Finish.END,
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "tool_calls": Finish.TOOLS,
    "function_call": Finish.TOOLS,
    "content_filter": Finish.FILTERED,
    # Z.ai's own (providers.md § 15).
    "sensitive": Finish.FILTERED,
    "network_error": Finish.BROKEN,
    "model_context_window_exceeded": Finish.CONTEXT_FULL,
    "error": Finish.BROKEN,
}
_WRITTEN = {
    Finish.LENGTH: "length",
    Finish.CONTEXT_FULL: "length",
    Finish.TOOLS: "tool_calls",
    Finish.FILTERED: "content_filter",
    Finish.BROKEN: "error",
}
_CUT = (Finish.LENGTH, Finish.FILTERED, Finish.CONTEXT_FULL, Finish.BROKEN)


def read(reason: object, *, called: bool, refused: bool) -> Finish:
    """What a finish reason means. An answer with a call is about tools, whatever the host says."""
    finish = _READ.get(reason, Finish.END) if isinstance(reason, str) else Finish.END
    if finish not in _CUT and called:
        return Finish.TOOLS
    return Finish.FILTERED if finish is Finish.END and refused else finish


def written(finish: Finish) -> str:
    return _WRITTEN.get(finish, "stop")
