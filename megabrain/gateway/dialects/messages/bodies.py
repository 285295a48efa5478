"""Neutral requests, written as bodies of Messages."""

import hashlib

from msgspec.structs import replace

from megabrain.gateway.dialects import repairs
from megabrain.gateway.dialects.claude import (
    JSON_TOOL,
    Claude,
    Offered,
    Thinking,
    asks_for_json,
    claude,
    is_claude,
    noted,
    offered,
    output_limit,
    sampling,
    thinking,
)
from megabrain.gateway.dialects.claude_schema import for_answers, for_tools
from megabrain.gateway.dialects.messages.blocks import marked, message, text
from megabrain.gateway.dialects.neutral import (
    Choice,
    Json,
    Prompt,
    Reasoning,
    Tool,
    ToolCall,
    Turn,
)
from megabrain.gateway.dialects.translation import Target

_STANDARD = ("default", "flex", "standard_only")
_PRIORITY = ("auto", "priority", "fast")


def body(prompt: Prompt, target: Target) -> Json:
    """The body for this target. Raises Inexpressible."""
    named = target.upstream_model if is_claude(target.upstream_model) else target.model
    rules = claude(named)
    turns = repairs.alternating(
        prompt.turns,
        returned=lambda found: found.returns_to("anthropic", target.origin),
        system_turns=rules.system_turns,
        ends_with_user=not rules.prefill,
    )
    system = prompt.system
    if not target.provider.takes_attribution:
        system = repairs.without_attribution(system)
    tools, choice = prompt.tools, prompt.choice
    if not tools and (seen := _tools_in(turns)):
        # A conversation about tools wants them declared.
        tools, choice = seen, Choice("none")
    prompt = replace(prompt, system=repairs.filled(system), turns=turns, tools=tools, choice=choice)
    prompt = repairs.limited_marks(repairs.marked(prompt) if is_claude(named) else prompt)
    asked = _thinking(prompt, rules, target)
    output, tools_, note = _formatted(prompt, rules, asked, target)
    out: Json = {"model": target.upstream_model, "max_tokens": asked.limit}
    if system := noted(prompt.system, tools_.note, note):
        out["system"] = [text(block) for block in system]
    out |= _tools(tools_, prompt, rules, target)
    out["messages"] = [message(turn) for turn in prompt.turns]
    if prompt.stream:
        out["stream"] = True
    if asked.thinking is not None:
        out["thinking"] = asked.thinking
    if output:
        out["output_config"] = output
    out |= sampling(prompt, rules, asked)
    if stops := [stop for stop in prompt.stop if stop.strip()]:
        out["stop_sequences"] = stops
    if prompt.user:
        out["metadata"] = {"user_id": hashlib.sha256(prompt.user.encode()).hexdigest()}
    if is_claude(named) and prompt.service_tier in _STANDARD + _PRIORITY:
        out["service_tier"] = "standard_only" if prompt.service_tier in _STANDARD else "auto"
    return out


def _thinking(prompt: Prompt, rules: Claude, target: Target) -> Thinking:
    asked = thinking(prompt, rules, target.max_output)
    if asked.counted and _in_a_loop_without(prompt.turns):
        # Every turn of a tool loop would have to begin with thinking, and this one lost it.
        return Thinking(None, None, output_limit(rules, prompt.max_output, target.max_output))
    if prompt.effort is None and asked.effort is None and prompt.verbosity in rules.efforts:
        # What OpenRouter does with it.
        return replace(asked, effort=str(prompt.verbosity))
    return asked


def _in_a_loop_without(turns: list[Turn]) -> bool:
    """Whether the last turn of the assistant calls a tool and does not begin with thinking."""
    last = next((turn.blocks for turn in reversed(turns) if turn.role == "assistant"), [])
    calls = any(isinstance(block, ToolCall) for block in last)
    return calls and not isinstance(last[0], Reasoning)


def _formatted(
    prompt: Prompt, rules: Claude, asked: Thinking, target: Target
) -> tuple[Json, Offered, str]:
    """The field output_config, the tools, and a sentence for the system prompt, which together ask
    for the effort and for an answer in JSON."""
    output: Json = {} if asked.effort is None else {"effort": asked.effort}
    tools = offered(prompt, rules, counted=asked.counted)
    wanted = prompt.format.schema if prompt.format else None
    if wanted is None or prompt.format is None:
        return output, tools, asks_for_json(prompt)
    on_bedrock = target.provider.id == "bedrock"
    if rules.format and not on_bedrock and (schema := for_answers(wanted)) is not None:
        return {**output, "format": {"type": "json_schema", "schema": schema}}, tools, ""
    free = prompt.choice.kind == "auto" or not prompt.tools
    if not rules.forced_choice or asked.counted or not free:
        return output, tools, asks_for_json(prompt)
    tool = Tool(
        name=JSON_TOOL,
        description=prompt.format.description or "Gives the answer.",
        parameters=wanted,
    )
    choice = Choice("required") if tools.tools else Choice("tool", JSON_TOOL)
    return output, Offered([*tools.tools, tool], choice), ""


def _tools(offer: Offered, prompt: Prompt, rules: Claude, target: Target) -> Json:
    """The fields `tools` and `tool_choice`."""
    if not offer.tools:
        return {}
    strict = rules.format and target.provider.id != "bedrock"
    out: Json = {"tools": [_tool(tool, strict=strict) for tool in offer.tools]}
    match offer.choice.kind:
        case "none":
            out["tool_choice"] = {"type": "none"}
            return out
        case "required":
            out["tool_choice"] = {"type": "any"}
        case "tool":
            out["tool_choice"] = {"type": "tool", "name": offer.choice.name}
    if prompt.parallel is False:
        chosen = out.get("tool_choice", {"type": "auto"})
        out["tool_choice"] = {**chosen, "disable_parallel_tool_use": True}
    return out


def _tool(tool: Tool, *, strict: bool) -> Json:
    out: Json = {"name": tool.name}
    if tool.description:
        out["description"] = tool.description
    out["input_schema"] = for_tools(tool.parameters)
    if strict and tool.strict and for_answers(tool.parameters) == tool.parameters:
        out["strict"] = True
    return marked(out, tool.cache)


def _tools_in(turns: list[Turn]) -> list[Tool]:
    """The tools that a conversation calls, of which nothing is known but their names."""
    names = [block.name for turn in turns for block in turn.blocks if isinstance(block, ToolCall)]
    return [Tool(name=name, own_name=name) for name in dict.fromkeys(names)]
