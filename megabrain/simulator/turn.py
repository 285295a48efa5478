"""A request in neutral terms, and the answer to it: what dialects read into and write from."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Json = dict[str, Any]  # A body as it is on the wire; each dialect checks the parts it reads.


class Operation(Enum):
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    CHAT = "chat"
    RESPONSES = "responses"
    FIM = "fim"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    GENERATE_CONTENT = "generateContent"
    STREAM_GENERATE_CONTENT = "streamGenerateContent"
    GEMINI_COUNT_TOKENS = "countTokens"
    CONVERSE = "converse"
    CONVERSE_STREAM = "converse-stream"
    INVOKE = "invoke"
    INVOKE_STREAM = "invoke-with-response-stream"
    BEDROCK_COUNT_TOKENS = "count-tokens"
    MODELS = "models"
    BALANCE = "balance"


class Rule(Enum):
    """A part of a request that some models refuse."""

    MAX_TOKENS = "max_tokens"
    SAMPLING = "sampling"
    SAMPLING_UNLESS_NO_EFFORT = "sampling unless effort is none"
    NO_EFFORT = "effort none"
    THINKING_BUDGET = "thinking budget"
    ADAPTIVE_THINKING = "adaptive thinking"
    FORCED_TOOL = "forced tool"
    PREFILL = "prefill"
    SYSTEM_IN_MESSAGES = "system in messages"
    TOOLS_WITH_EFFORT_ON_CHAT = "tools with effort on chat"


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    context: int
    output: int
    reasoning: bool = True
    vision: bool = True
    refuses: frozenset[Rule] = frozenset()
    aliases: tuple[str, ...] = ()
    only: Operation | None = None
    listed: bool = True
    fim: bool = False
    #: Dollars for a million tokens of prompt, of answer, and of prompt read from the cache, then
    #: the same for prompts above so many tokens, and that number. Only where a list tells.
    price: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    kind: str = "function"
    schema: Json = field(default_factory=dict)
    namespace: str | None = None


@dataclass(slots=True, kw_only=True)
class Turn:
    """What a request asks for. `parts` are its prompt in order, each as JSON: they are counted
    for usage and remembered by the prompt cache, as far as the first `cacheable` of them."""

    model: Model
    stream: bool
    parts: list[bytes]
    cacheable: int
    body: Json = field(default_factory=dict)
    prompt: str = ""
    results: list[str] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    tool_choice: str = "auto"  # auto, none, required, or the name of a tool
    parallel: bool = True
    thinking: bool = False
    limit: int | None = None
    stops: list[str] = field(default_factory=list)
    schema: Json | None = None

    @property
    def input_tokens(self) -> int:
        return 3 + sum(map(len, self.parts)) // 4


class Finish(Enum):
    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    STOP_SEQUENCE = "stop_sequence"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. `arguments` is JSON text, or the raw input of a custom tool."""

    tool: Tool
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model says, in the pieces in which it is streamed."""

    thinking: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    finish: Finish = Finish.STOP
    stop: str | None = None
    wait: float = 0.0
    events_per_second: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of a call; `input` counts cached ones, `output` counts reasoning, and `cache_write`
    those that stay cached for an hour."""

    input: int
    output: int
    reasoning: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_long: int = 0
