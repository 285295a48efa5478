"""A request and its answer in neutral terms: what each dialect is read into and written from.

A dialect's parser gives everything its writer, and the writers of the others, can use; what only
tunes and has no equal elsewhere is named in `Prompt.dropped`. Everything here is a plain value, and
writing one is a pure function of it: prompt caches and signed reasoning depend on a conversation
being written the same way in each of its turns.
"""

from enum import StrEnum
from typing import Any, Literal

import msgspec

from megabrain.gateway.metering import Usage

Json = dict[str, Any]

#: How reasoning begins that is sealed in an envelope of ours (megabrain/gateway/envelope.py).
ENVELOPE_PREFIX = "mb1."
#: How long a prompt cache is to keep what comes before a mark.
Cache = Literal["5m", "1h"]


class Effort(StrEnum):
    """How much a model is to reason, in ascending order."""

    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


#: What a budget of tokens for reasoning is worth as an effort. These are LiteLLM's thresholds.
_BUDGETS = ((4096, Effort.HIGH), (2048, Effort.MEDIUM), (1024, Effort.LOW), (0, Effort.MINIMAL))


def effort_of(budget: int) -> Effort:
    """What so many tokens for reasoning, 0 or more, are worth as an effort."""
    return next(effort for least, effort in _BUDGETS if budget >= least)


class Finish(StrEnum):
    """Why an answer ended."""

    END = "end"
    STOP = "stop"  # at a stop sequence
    LENGTH = "length"
    CONTEXT_FULL = "context_full"
    TOOLS = "tools"
    FILTERED = "filtered"
    PAUSE = "pause"
    BROKEN = "broken"


# Content ----------------------------------------------------------------------------------------


class Text(msgspec.Struct):
    text: str
    cache: Cache | None = None


class Image(msgspec.Struct):
    """A picture: base64 `data` of a media type, or an https `url`."""

    media_type: str = ""
    data: str = ""
    url: str = ""
    detail: str | None = None
    cache: Cache | None = None

    def __post_init__(self) -> None:
        # Many write it so, and only some companies take it.
        if self.media_type == "image/jpg":
            self.media_type = "image/jpeg"


class Document(msgspec.Struct):
    """A file: base64 `data` of a media type (usually application/pdf), plain `text`, or a `url`."""

    name: str = ""
    media_type: str = ""
    data: str = ""
    text: str = ""
    url: str = ""
    cache: Cache | None = None


class ToolCall(msgspec.Struct):
    """A call of a tool. `name` is that of `Tool.name`; `arguments` JSON text, "" for none.

    Of a custom tool the arguments are `{"input": "…"}`, as the tool is offered upstream.
    """

    id: str
    name: str
    arguments: str
    cache: Cache | None = None


class ToolResult(msgspec.Struct):
    call_id: str
    blocks: list["Text | Image | Document"]
    is_error: bool = False
    cache: Cache | None = None


class Origin(msgspec.Struct, frozen=True):
    """Who made a piece of reasoning: nobody else can read what is sealed in it."""

    provider: str
    key: str
    model: str


#: Whose form a piece of reasoning has: Anthropic's thinking blocks, OpenAI's reasoning items,
#: Gemini's signatures, Converse's, or the plain text of Chat Completions hosts.
Maker = Literal["anthropic", "openai", "google", "bedrock", "chat"]


class Reasoning(msgspec.Struct):
    """What a model thought. `text` is for people; `native` is what its maker wants back.

    `native` is JSON in the form of `maker`: a thinking or redacted_thinking block; a reasoning
    item; for Gemini `{"calls": {call id: thoughtSignature}, "text": thoughtSignature?}`; a Converse
    reasoningContent; for Chat hosts `{"reasoning_content": text}`. `origin` is None for reasoning
    that came in its maker's own dialect, without saying through which key it was made.
    """

    text: str = ""
    maker: Maker | None = None
    native: Json | None = None
    origin: Origin | None = None

    def returns_to(self, maker: Maker, origin: Origin) -> bool:
        """Whether this may be sent upstream: only to where it came from."""
        return self.native is not None and self.maker == maker and self.origin in (None, origin)


class Refusal(msgspec.Struct):
    text: str


Block = Text | Image | Document | ToolCall | ToolResult | Reasoning | Refusal


class Turn(msgspec.Struct):
    """Consecutive content of one role. Tool results are turns of their own, role `tool`.

    A turn of role `system` is an instruction in the middle of a conversation and stays there.
    """

    role: Literal["user", "assistant", "system", "tool"]
    blocks: list[Block]


# The request ------------------------------------------------------------------------------------


class Tool(msgspec.Struct):
    """A tool as it is offered upstream: a function with a unique `name` of at most 64 characters.

    `own_name`, `namespace` and `kind` are how the caller knows it; its calls are told in these.
    """

    name: str
    description: str = ""
    parameters: Json = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = None
    kind: Literal["function", "custom", "tool_search"] = "function"
    own_name: str = ""
    namespace: str | None = None
    cache: Cache | None = None


class Choice(msgspec.Struct):
    """Which tools may or must be called. `name` is that of `Tool.name`, for kind `tool`."""

    kind: Literal["auto", "none", "required", "tool"] = "auto"
    name: str = ""


class Format(msgspec.Struct):
    """The JSON that an answer must be: any object, or one that fits a schema."""

    schema: Json | None = None
    name: str = "answer"
    description: str = ""
    strict: bool | None = None


class Prompt(msgspec.Struct, kw_only=True):
    """Everything that a request asks for."""

    system: list[Text] = msgspec.field(default_factory=list)
    turns: list[Turn] = msgspec.field(default_factory=list)
    tools: list[Tool] = msgspec.field(default_factory=list)
    choice: Choice = msgspec.field(default_factory=Choice)
    #: Whether several tools may be called at once; None where the caller does not say.
    parallel: bool | None = None
    #: Tokens, reasoning included.
    max_output: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = msgspec.field(default_factory=list)
    effort: Effort | None = None
    #: Reasoning is asked for, as much of it as the model sees fit.
    reasons: bool = False
    #: Tokens for reasoning, of a caller who counts them.
    thinking_budget: int | None = None
    format: Format | None = None
    verbosity: str | None = None
    #: Who is served, as the caller says: a stable word without meaning.
    user: str | None = None
    service_tier: str | None = None
    #: A word that stays the same through a conversation, for routing to a warm prompt cache.
    cache_key: str | None = None
    stream: bool = False
    #: Whether a streamed answer in Chat Completions ends with its usage.
    wants_usage: bool = True
    #: Fields of the caller's that no writer is told of, since they only tune.
    dropped: list[str] = msgspec.field(default_factory=list)

    @property
    def wanted_effort(self) -> Effort | None:
        """How much to reason, for those who do not count tokens of it."""
        if self.effort is None and self.thinking_budget is not None:
            return effort_of(self.thinking_budget)
        return self.effort

    def tool(self, name: str) -> Tool | None:
        """The tool offered under this name."""
        return next((tool for tool in self.tools if tool.name == name), None)


# The answer -------------------------------------------------------------------------------------


class Answer(msgspec.Struct, kw_only=True):
    """An answer in one piece: reasoning, text, refusals and tool calls in their order."""

    blocks: list[Block]
    finish: Finish
    stop_sequence: str | None = None
    usage: Usage | None = None
    id: str = ""


class Started(msgspec.Struct):
    """The answer begins. Its usage is provisional: some tell the input's length at once."""

    id: str = ""
    usage: Usage | None = None


class TextDelta(msgspec.Struct):
    text: str


class RefusalDelta(msgspec.Struct):
    text: str


class ReasoningDelta(msgspec.Struct):
    text: str


class ReasoningDone(msgspec.Struct):
    """A piece of reasoning is complete, with what its maker wants back. It may have had no text."""

    maker: Maker | None = None
    native: Json | None = None


class CallStarted(msgspec.Struct):
    """A tool call begins; `index` counts the calls of this answer from 0."""

    index: int
    id: str
    name: str


class CallDelta(msgspec.Struct):
    """More of the arguments of a call. Calls may be interleaved: a writer sorts that out."""

    index: int
    arguments: str


class CallDone(msgspec.Struct):
    """The arguments of this call are complete. Not every dialect says so before the end."""

    index: int


class Ended(msgspec.Struct):
    """The answer is complete, and the usage is all of it."""

    finish: Finish
    stop_sequence: str | None = None
    usage: Usage | None = None


class Failed(msgspec.Struct):
    """The provider reports an error instead of more; `data` is what it says, `usage` so far."""

    data: bytes
    usage: Usage | None = None
    #: The usage is all that there was, and not what the answer's beginning said.
    usage_is_final: bool = False


Event = (
    Started
    | TextDelta
    | RefusalDelta
    | ReasoningDelta
    | ReasoningDone
    | CallStarted
    | CallDelta
    | CallDone
    | Ended
    | Failed
)
