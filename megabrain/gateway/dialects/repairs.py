"""Conversations made fit for the dialects that are strict about theirs.

Messages, Converse and Gemini want turns that alternate, the results of tools directly after their
calls, and no empty text; the others take almost anything. Everything here is a pure function of
the conversation, so that a longer one begins as a shorter one did and prompt caches stay warm.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from megabrain.gateway.dialects.neutral import (
    Block,
    Cache,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)

MAX_MARKS = 4
#: Before an instruction that stands in the middle of a conversation as text of the user's.
OPERATOR_NOTE = "[Note from the operator] "
NO_RESULT = "no result recorded"
#: Stands for a turn of the user's that must be there and says nothing.
NOTHING = "."
#: What a user says where the last word may not be the assistant's.
GO_ON = "Continue."
#: Begins the first block of its system prompt, unless it was told not to.
ATTRIBUTION = "x-anthropic-billing-header:"

_Item = TypeVar("_Item", Text, Tool, Block)


def without_attribution(system: list[Text]) -> list[Text]:
    """The system prompt without Claude Code's attribution, which is for Anthropic alone: anywhere
    else it is a piece of prompt that changes with every request."""
    if not any(block.text.startswith(ATTRIBUTION) for block in system):
        return system
    read = [replace(block, text=unattributed(block.text)) for block in system]
    return [block for block in read if block.text]


def unattributed(text: str) -> str:
    """The text without the attribution that it begins with: a line."""
    return text.partition("\n")[2].lstrip() if text.startswith(ATTRIBUTION) else text


def filled(texts: list[Text]) -> list[Text]:
    """The texts that are not blank."""
    return [text for text in texts if text.text.strip()]


class _Round:
    """What the assistant said, and all that came before it spoke again."""

    def __init__(self) -> None:
        self.said: list[Block] = []
        self.then: list[Turn] = []


def alternating(
    turns: Iterable[Turn],
    *,
    returned: Callable[[Reasoning], bool],
    system_turns: bool = False,
    ends_with_user: bool = False,
) -> list[Turn]:
    """Turns of user and assistant in turn, the first the user's, none empty.

    Results of tools are the first blocks of the user's turn after the calls, in the calls' order.
    Reasoning stays for which `returned` holds. With `system_turns`, an instruction stays a turn of
    its own where it comes last after a turn of the user's; any other becomes text of the user's.
    `ends_with_user` is for models that do not finish an answer which the caller has begun.
    """
    out: list[Turn] = []
    ids: dict[str, int] = {}
    rounds = _rounds(turns, returned)
    for number, each in enumerate(rounds):
        said, asked = _asked_once(each.said, ids)
        if said:
            out.append(Turn("assistant", said))
        user, instruction = _reply(asked, each.then, system_turns=system_turns)
        if not user and (instruction or not said or number < len(rounds) - 1 or each.then):
            user = [Text(NOTHING)]
        if user:
            out.append(Turn("user", user))
        if instruction:
            out.append(Turn("system", [instruction]))
    last = out[-1]
    if last.role == "assistant" and ends_with_user:
        out.append(Turn("user", [Text(GO_ON)]))
    elif last.role == "assistant" and isinstance(text := last.blocks[-1], Text):
        last.blocks[-1] = replace(text, text=text.text.rstrip())
    return out


def limited_marks(prompt: Prompt) -> Prompt:
    """The prompt with no more cache marks than are allowed: those on messages go first, the oldest
    before the others; and no mark for an hour comes after one for five minutes."""
    heads = [*prompt.tools, *prompt.system]
    blocks = [_lifted(block) for turn in prompt.turns for block in turn.blocks]
    marks = [getattr(item, "cache", None) for item in (*heads, *blocks)]
    marks = _few(marks, len(heads))
    marked = iter(marks)
    tools = [_with(tool, next(marked)) for tool in prompt.tools]
    system = [_with(text, next(marked)) for text in prompt.system]
    rest = iter([_with(block, next(marked)) for block in blocks])
    turns = [Turn(turn.role, [next(rest) for _ in turn.blocks]) for turn in prompt.turns]
    return replace(prompt, tools=tools, system=system, turns=turns)


def marked(prompt: Prompt) -> Prompt:
    """The prompt with cache marks at the ends of what stays the same in the next request: tools,
    system prompt, and the last two turns of the user's. One that already has a mark keeps those,
    and a single question is not worth any."""
    blocks = [block for turn in prompt.turns for block in turn.blocks]
    nested = [part for block in blocks if isinstance(block, ToolResult) for part in block.blocks]
    everything = (*prompt.tools, *prompt.system, *blocks, *nested)
    if any(getattr(item, "cache", None) for item in everything):
        return prompt
    if not prompt.tools and not any(turn.role == "assistant" for turn in prompt.turns):
        return prompt
    tools, system, turns = list(prompt.tools), list(prompt.system), list(prompt.turns)
    if tools:
        tools[-1] = replace(tools[-1], cache="5m")
    if system:
        system[-1] = replace(system[-1], cache="5m")
    users = [at for at, turn in enumerate(turns) if turn.role == "user" and turn.blocks]
    for at in users[-2:]:
        *before, last = turns[at].blocks
        turns[at] = Turn("user", [*before, _with(last, "5m")])
    return replace(prompt, tools=tools, system=system, turns=turns)


# Turns ------------------------------------------------------------------------------------------


def _rounds(turns: Iterable[Turn], returned: Callable[[Reasoning], bool]) -> list[_Round]:
    """The conversation cut where the assistant begins to speak; the first round says nothing."""
    rounds = [_Round()]
    for turn in turns:
        if turn.role != "assistant":
            rounds[-1].then.append(turn)
            continue
        said = [
            Text(block.text) if isinstance(block, Refusal) else block
            for block in _without_blanks(turn.blocks)
            if not isinstance(block, Reasoning) or returned(block)
        ]
        if all(isinstance(block, Reasoning) for block in said):
            continue
        if rounds[-1].then or len(rounds) == 1:
            rounds.append(_Round())
        rounds[-1].said += said
    if len(rounds) > 1 and not rounds[0].then:
        rounds[0].then.append(Turn("user", []))
    return rounds


def _asked_once(
    said: list[Block], ids: dict[str, int]
) -> tuple[list[Block], list[tuple[str, ToolCall]]]:
    """The assistant's blocks with ids of calls that no earlier call has, which some models repeat;
    and the calls, each with the id that its result names. `ids` are those of earlier calls, each
    with the last number that was put after it."""
    out: list[Block] = []
    asked = []
    for block in said:
        if isinstance(block, ToolCall):
            own = new = block.id
            number = ids.get(own, 1)
            while new in ids:
                number += 1
                new = f"{own}_{number}"
            ids[own] = number
            if new != own:
                ids[new] = 1
                block = replace(block, id=new)
            asked.append((own, block))
        out.append(block)
    return out, asked


def _reply(
    asked: list[tuple[str, ToolCall]], turns: list[Turn], *, system_turns: bool
) -> tuple[list[Block], Text | None]:
    """What the user answers to the calls and says otherwise, and the instruction after it."""
    results: dict[str, list[ToolResult]] = {own: [] for own, _ in asked}
    said: list[tuple[bool, Block]] = []  # with whether it is an instruction
    for turn in turns:
        for block in _without_blanks(turn.blocks):
            if not isinstance(block, ToolResult):
                said.append((turn.role == "system", block))
            elif block.call_id in results:
                results[block.call_id].append(_without_blank_parts(block))
            else:
                said += [(False, part) for part in _orphan(block)]
    user: list[Block] = list(_results(asked, results))
    instructions: list[Text] = []
    if system_turns and (user or not all(instruction for instruction, _ in said)):
        while said and said[-1][0]:
            block = said.pop()[1]
            if isinstance(block, Text):
                instructions.insert(0, block)
    user += [_noted(block) if instruction else block for instruction, block in said]
    if not instructions:
        return user, None
    text = "\n\n".join(each.text for each in instructions)
    return user, Text(text, instructions[-1].cache)


def _results(
    asked: list[tuple[str, ToolCall]], results: dict[str, list[ToolResult]]
) -> Iterator[ToolResult]:
    """One result for each call: of several the last, of none that there is none."""
    alike = Counter(own for own, _ in asked)
    for own, call in asked:
        found = results[own]
        # Calls that share an id have their results in the order of the calls.
        result = found.pop(0) if found and alike[own] > 1 else found[-1] if found else None
        if result is None:
            result = ToolResult(own, [Text(NO_RESULT)], is_error=True)
        yield replace(result, call_id=call.id)


def _orphan(result: ToolResult) -> Iterator[Block]:
    """The result of a call that is not there, as something that the user says."""
    texts = [part.text for part in result.blocks if isinstance(part, Text) and part.text.strip()]
    yield Text(" ".join([f"[tool result {result.call_id}]", *texts]), result.cache)
    yield from (part for part in result.blocks if not isinstance(part, Text))


def _noted(block: Block) -> Block:
    return replace(block, text=OPERATOR_NOTE + block.text) if isinstance(block, Text) else block


def _without_blanks(blocks: Iterable[Block]) -> list[Block]:
    """The blocks but for blank texts; the mark of one goes to the block before it."""
    out: list[Block] = []
    for block in blocks:
        mark: Cache | None = getattr(block, "cache", None)
        if not isinstance(block, Text | Refusal) or block.text.strip():
            out.append(block)
        elif mark and out and not getattr(out[-1], "cache", None):
            out[-1] = _with(out[-1], mark)
    return out


def _without_blank_parts(result: ToolResult) -> ToolResult:
    kept = [part for part in result.blocks if not isinstance(part, Text) or part.text.strip()]
    return replace(result, blocks=kept)


# Marks ------------------------------------------------------------------------------------------


def _few(marks: list[Cache | None], leading: int) -> list[Cache | None]:
    """The marks that may stay, of which so many are on tools and system prompt."""
    first = [at for at, mark in enumerate(marks[:leading]) if mark][-MAX_MARKS:]
    others = [at for at, mark in enumerate(marks) if mark and at >= leading]
    kept = {*first, *others[max(0, len(others) - MAX_MARKS + len(first)) :]}
    out: list[Cache | None] = [mark if at in kept else None for at, mark in enumerate(marks)]
    if "5m" in out:
        after = out.index("5m")
        out[after:] = ["5m" if mark else None for mark in out[after:]]
    return out


def _lifted(block: Block) -> Block:
    """A result with the mark of its parts, which is at its end as good as inside."""
    if isinstance(block, ToolResult) and any(part.cache for part in block.blocks):
        inside = [part.cache for part in block.blocks if part.cache]
        parts = [replace(part, cache=None) for part in block.blocks]
        return replace(block, blocks=parts, cache=block.cache or inside[-1])
    return block


def _with(item: _Item, mark: Cache | None) -> _Item:
    """With this mark, where it can have one."""
    if isinstance(item, Reasoning | Refusal) or item.cache == mark:
        return item
    return replace(item, cache=mark)
