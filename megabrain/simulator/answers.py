"""What the make-believe model says. The same request always gets the same answer.

A prompt is answered with a sentence that repeats it, unless a line of it asks for more:

    run: echo hello > hello.txt     calls the tool for shell commands that the client offers
    call: get_weather {"city": "Paris"}     calls that tool; several lines make parallel calls
    say: anything                   answers just that
    write: hello.txt hello          answers with that file, as agents without tools take it; several
                                    lines with the same name are lines of the file
    stream: 200 events at 20/s      answers so many words at that pace
    wait: 1.5                       thinks for so many seconds before the first byte
    refuse: too_long                is refused as the provider would (any Case of refusals.py)
    decline: I cannot help with that     is answered by the model with a refusal in these words

A tool is also called when the prompt mentions its name, or `tool_choice` demands one. When the
results are back, the answer quotes them. A schema for the answer gets JSON that fits it.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from megabrain.simulator.refusals import Case, Refused
from megabrain.simulator.turn import Call, Finish, Json, Reply, Tool, Turn, Usage

_DIRECTIVE = re.compile(
    r"^[ \t]*(run|call|say|write|stream|wait|refuse|decline):[ \t]*(\S.*?)[ \t]*$", re.MULTILINE
)
_PACE = re.compile(r"(\d{1,6}) events(?: at ([\d.]{1,8})/s)?")
_SHELLS = (
    "Bash",
    "bash",
    "shell",
    "shell_command",
    "exec_command",
    "local_shell",
    "run_shell_command",
    "execute_command",
    "run_terminal_cmd",
    "exec",
)
_COMMAND_FIELDS = ("command", "cmd", "script", "input")
_MAX_EVENTS = 100_000


def reply(turn: Turn, provider_name: str) -> Reply:
    """The answer to a turn. Raises Refused where the prompt asks for that."""
    directives = _DIRECTIVE.findall(turn.prompt)
    asked: dict[str, str] = dict(directives)
    if "refuse" in asked:
        raise Refused(Case(asked["refuse"]) if asked["refuse"] in list(Case) else Case.BAD_REQUEST)
    wait = _seconds(asked.get("wait", ""))
    if pace := _PACE.fullmatch(asked.get("stream", "")):
        count = min(int(pace[1]), _MAX_EVENTS)
        return _within_limit(
            turn,
            Reply(
                text=_numbers(count),
                wait=wait,
                events_per_second=float(pace[2]) if pace[2] else None,
            ),
        )
    if "decline" in asked:
        return Reply(text=_pieces(asked["decline"]), finish=Finish.REFUSED, wait=wait)
    calls = _calls(turn, directives)
    if turn.schema is not None and not calls:
        text = json.dumps(example(turn.schema, turn.prompt), ensure_ascii=False)
    elif "say" in asked:
        text = asked["say"]
    elif "write" in asked:
        text = _files(value for name, value in directives if name == "write")
    else:
        text = _sentence(turn, calls, provider_name)
    thinking = f"The user wrote {len(turn.prompt)} characters. I will answer in a sentence."
    return _within_limit(
        turn,
        Reply(
            thinking=_pieces(thinking) if turn.thinking else (),
            text=_pieces(text),
            calls=calls,
            finish=Finish.TOOL_CALLS if calls else Finish.STOP,
            wait=wait,
        ),
    )


def usage(turn: Turn, reply: Reply, cached: int, written: int = 0) -> Usage:
    """What the call cost: a token for four bytes of prompt, one for each piece of the answer."""
    reasoning = len(reply.thinking)
    called = sum(8 + len(call.arguments) // 4 for call in reply.calls)
    for_an_hour = written and '"ttl": "1h"' in json.dumps(turn.body)
    return Usage(
        input=turn.input_tokens,
        output=max(1, reasoning + len(reply.text) + called),
        reasoning=reasoning,
        cache_read=min(cached, turn.input_tokens),
        cache_write=written,
        cache_write_long=written if for_an_hour else 0,
    )


def example(schema: Json, words: str = "", root: Json | None = None) -> Any:
    """The simplest value that fits a JSON schema; strings repeat `words`."""
    root = root or schema
    if reference := schema.get("$ref"):
        name = str(reference).rpartition("/")[2]
        found = {**root.get("definitions", {}), **root.get("$defs", {})}.get(name, {})
        return example(found, words, root)
    for union in ("anyOf", "oneOf", "allOf"):
        if options := schema.get(union):
            return example(options[0], words, root)
    for fixed in ("const", "default"):
        if fixed in schema:
            return schema[fixed]
    return schema["enum"][0] if schema.get("enum") else _typical(schema, words, root)


def _typical(schema: Json, words: str, root: Json) -> Any:
    kind = schema.get("type") or "object"
    match kind[0] if isinstance(kind, list) else kind:
        case "string":
            return words[:80] or "text"
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case "array":
            return [example(schema.get("items") or {}, words, root)] * schema.get("minItems", 0)
        case "object":
            properties: Json = schema.get("properties") or {}
            names = schema.get("required", properties)
            return {name: example(properties.get(name) or {}, words, root) for name in names}
    return None


def _seconds(text: str) -> float:
    match = re.match(r"[\d.]{1,6}", text)
    return min(float(match[0]), 600.0) if match and match[0].strip(".") else 0.0


def _sentence(turn: Turn, calls: Sequence[Call], provider_name: str) -> str:
    if calls and turn.tool_choice not in ("auto", "none"):
        # Whoever demands a call is given nothing beside it.
        return ""
    if calls:
        return f"I will call {', '.join(call.tool.name for call in calls)}."
    if turn.results:
        said = "; ".join(result.strip()[:2000] or "nothing" for result in turn.results)
        return f"Done. The tool answered: {said}"
    words = " ".join(turn.prompt.split())
    quoted = words if len(words) <= 300 else words[:300] + "…"
    return (
        f"This answer comes from the simulator of {provider_name}, model {turn.model.id}. "
        f"You wrote: “{quoted}”. Nothing left this machine."
    )


def _files(lines: Iterable[str]) -> str:
    """Whole files in words: each name on a line, and what is in it in a fence below."""
    files: dict[str, str] = {}
    for line in lines:
        name, _, content = line.partition(" ")
        files[name] = f"{files.get(name, '')}{content}\n"
    return "\n".join(f"{name}\n```\n{content}```\n" for name, content in files.items())


def _calls(turn: Turn, directives: list[tuple[str, str]]) -> tuple[Call, ...]:
    """The tool calls still to be made: those asked for, less those whose results are back."""
    if not turn.tools or turn.tool_choice == "none":
        return ()
    wanted = [call for name, value in directives for call in _wanted(name, value, turn.tools)]
    named = {tool.name: tool for tool in turn.tools}
    if not wanted:
        mentioned = [tool for name, tool in named.items() if _mentions(turn.prompt, name)]
        if not mentioned and turn.tool_choice != "auto":
            mentioned = [named.get(turn.tool_choice, turn.tools[0])]
        wanted = [Call(tool, _arguments(tool, turn.prompt)) for tool in mentioned]
    remaining = wanted[len(turn.results) :]
    return tuple(remaining if turn.parallel else remaining[:1])


def _mentions(prompt: str, name: str) -> bool:
    """Whether a prompt names a tool. Only names that no ordinary sentence contains count."""
    return "_" in name and re.search(rf"\b{re.escape(name)}\b", prompt) is not None


def _wanted(directive: str, value: str, tools: Sequence[Tool]) -> list[Call]:
    named = {tool.name: tool for tool in tools}
    if directive == "run":
        shell = next((named[name] for name in _SHELLS if name in named), None)
        return [Call(shell, _command(shell, value))] if shell else []
    if directive == "call":
        name, _, arguments = value.partition(" ")
        if tool := named.get(name):
            return [Call(tool, arguments if _fits(tool, arguments) else _arguments(tool, ""))]
    return []


def _fits(tool: Tool, arguments: str) -> bool:
    if tool.kind != "function":
        return bool(arguments)
    try:
        return isinstance(json.loads(arguments), dict)
    except ValueError:
        return False


def _arguments(tool: Tool, words: str) -> str:
    return json.dumps(example(tool.schema, words)) if tool.kind == "function" else words


def _command(tool: Tool, command: str) -> str:
    """A shell command as the arguments of whatever shell tool this is."""
    if tool.kind == "custom":
        # Codex's code mode: a tool that takes JavaScript and has the others on a global object.
        request = json.dumps({"cmd": command})
        return f"const result = await tools.exec_command({request}); text(result.output ?? result);"
    if tool.kind == "local_shell":
        return json.dumps(["bash", "-lc", command])
    properties: Json = tool.schema.get("properties") or {}
    name = next((name for name in _COMMAND_FIELDS if name in properties), "command")
    takes_list = (properties.get(name) or {}).get("type") == "array"
    arguments = example({**tool.schema, "type": "object"}, command)
    arguments[name] = ["bash", "-lc", command] if takes_list else command
    return json.dumps(arguments)


def _within_limit(turn: Turn, reply: Reply) -> Reply:
    """The reply cut where the token limit or a stop sequence ends it."""
    thinking, text, calls = reply.thinking, reply.text, reply.calls
    finish, stop = reply.finish, None
    if turn.stops and (found := _cut_at_stop(text, turn.stops)):
        text, stop = found
        calls, finish = (), Finish.STOP_SEQUENCE
    limit = turn.limit
    if limit is not None and limit < len(thinking) + len(text):
        thinking = thinking[:limit]
        text = text[: limit - len(thinking)]
        calls, finish, stop = (), Finish.LENGTH, None
    return Reply(
        thinking=thinking,
        text=text,
        calls=calls,
        finish=finish,
        stop=stop,
        wait=reply.wait,
        events_per_second=reply.events_per_second,
    )


def _cut_at_stop(text: tuple[str, ...], stops: Sequence[str]) -> tuple[tuple[str, ...], str] | None:
    whole = "".join(text)
    found = [(whole.index(stop), stop) for stop in stops if stop and stop in whole]
    if not found:
        return None
    position, stop = min(found)
    return _pieces(whole[:position]), stop


def _pieces(text: str) -> tuple[str, ...]:
    """A text as it is streamed: a word with the space before it at a time."""
    words = re.findall(r"\s*\S{1,24}", text)
    rest = text[sum(map(len, words)) :]
    return tuple(chain(words, [rest] if rest else []))


@lru_cache(maxsize=64)
def _numbers(count: int) -> tuple[str, ...]:
    return tuple(f"{number} " for number in range(1, count + 1))
