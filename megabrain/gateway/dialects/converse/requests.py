"""The body of Converse. Whether it is streamed is a matter of the path.

Source: dialects.md §§ 1, 2, 5, 7, 8 and 9.5.
"""

import msgspec

from megabrain.gateway.dialects import claude, schemas
from megabrain.gateway.dialects.converse.contents import Contents, cache_point, tools_in
from megabrain.gateway.dialects.converse.families import Family, family
from megabrain.gateway.dialects.neutral import (
    Choice,
    Effort,
    Format,
    Json,
    Prompt,
    Reasoning,
    Text,
    Tool,
)
from megabrain.gateway.dialects.repairs import (
    alternating,
    filled,
    limited_marks,
    marked,
    without_attribution,
)
from megabrain.gateway.dialects.translation import Target

_HOTTEST = 1.0
_TIERS = ("flex", "priority")
NO_CALLS = "Do not call any tool. Answer in words."
#: Where a model tells at which of the stop sequences it stopped.
_STOPPED_AT = "/delta/stop_sequence"
#: What only tunes and has no equal here.
_NO_EQUAL = ("verbosity", "user", "cache_key")


def request(prompt: Prompt, target: Target) -> Json:
    """The body of a Converse. Raises Inexpressible."""
    rules = family(target.upstream_model)
    of_claude = claude.claude(target.upstream_model)
    prompt.dropped += [name for name in _NO_EQUAL if getattr(prompt, name) is not None]
    if rules.caches:
        prompt = limited_marks(marked(prompt))
    turns = alternating(
        prompt.turns,
        returned=lambda reasoning: _is_returned(reasoning, target),
        ends_with_user=not (of_claude.prefill if rules.claude else rules.prefill),
    )
    body: Json = {"messages": Contents(rules).messages(turns)}
    system = list(prompt.system)
    if rules.claude:
        _ask_claude(body, prompt, target, of_claude, system)
    else:
        _ask(body, prompt, target, rules)
    if not _held_to_schema(body, prompt.format, rules):
        system = claude.noted(system, claude.asks_for_json(prompt))
    if blocks := _system(system, rules):
        body["system"] = blocks
    return body


def _is_returned(reasoning: Reasoning, target: Target) -> bool:
    return reasoning.returns_to("bedrock", target.origin)


def _system(system: list[Text], rules: Family) -> list[Json]:
    blocks: list[Json] = []
    for text in filled(without_attribution(system)):
        blocks.append({"text": text.text})
        if text.cache and rules.caches:
            blocks.append(cache_point(text.cache, rules))
    return blocks


# Parameters -------------------------------------------------------------------------------------


def _ask(body: Json, prompt: Prompt, target: Target, rules: Family) -> None:
    effort = prompt.wanted_effort
    if config := _config(prompt, target, rules, limited=effort not in rules.unlimited):
        body["inferenceConfig"] = config
    if effort is not None and (more := _reasoning(prompt, rules, effort)):
        body["additionalModelRequestFields"] = more
    if prompt.service_tier in _TIERS:
        body["serviceTier"] = {"type": prompt.service_tier}
    if prompt.parallel is False and prompt.tools:
        prompt.dropped.append("parallel_tool_calls")
    if tools := _tool_config(prompt, prompt.tools, prompt.choice, rules):
        body["toolConfig"] = tools
        if prompt.choice.kind == "none":
            # There is no word for it, and the tools of earlier calls have to be named.
            body.setdefault("system", []).append({"text": NO_CALLS})


def _config(prompt: Prompt, target: Target, rules: Family, *, limited: bool) -> Json:
    """Limits and sampling; `limited` says that the model takes any."""
    config: Json = {}
    if prompt.max_output is not None and limited:
        highest = target.max_output or prompt.max_output
        config["maxTokens"] = max(1, min(prompt.max_output, highest))
    if prompt.stop and not rules.stop:
        prompt.dropped.append("stop")
    elif stops := [stop for stop in prompt.stop if stop.strip()]:
        config["stopSequences"] = stops
    return {**config, **_sampling(prompt, taken=rules.sampling and limited)}


def _reasoning(prompt: Prompt, rules: Family, effort: Effort) -> Json:
    if rules.reasoning is None:
        prompt.dropped.append("reasoning")
        return {}
    return rules.reasoning(effort)


def _sampling(prompt: Prompt, *, taken: bool) -> Json:
    asked: Json = {}
    if prompt.temperature is not None:
        asked["temperature"] = min(prompt.temperature, _HOTTEST)
    if prompt.top_p is not None:
        asked["topP"] = prompt.top_p
    if not taken:
        prompt.dropped += [{"topP": "top_p"}.get(name, name) for name in asked]
        asked = {}
    if prompt.top_k is not None:
        prompt.dropped.append("top_k")
    return asked


def _ask_claude(
    body: Json, prompt: Prompt, target: Target, rules: claude.Claude, system: list[Text]
) -> None:
    """The same for Claude, whose own parameters go into a field of their own."""
    asked = claude.thinking(prompt, rules, target.max_output)
    sampling = claude.sampling(prompt, rules, asked)
    config: Json = {"maxTokens": asked.limit}
    more: Json = {}
    for name, value in sampling.items():
        if name == "top_k":
            more["top_k"] = value
        else:
            config["topP" if name == "top_p" else name] = value
    if stops := [stop for stop in prompt.stop if stop.strip()]:
        config["stopSequences"] = stops
        body["additionalModelResponseFieldPaths"] = [_STOPPED_AT]
    body["inferenceConfig"] = config
    if asked.thinking is not None:
        more["thinking"] = asked.thinking
    if asked.effort is not None:
        more["output_config"] = {"effort": asked.effort}
    offered = claude.offered(prompt, rules, counted=asked.counted)
    system += [Text(offered.note)] if offered.note else []
    if tools := _tool_config(prompt, offered.tools, offered.choice, _CLAUDE):
        body["toolConfig"] = tools
        if prompt.parallel is False and offered.choice.kind != "none":
            more["tool_choice"] = _one_at_a_time(offered.choice)
            tools.pop("toolChoice", None)
    if more:
        body["additionalModelRequestFields"] = more


_CLAUDE = family("anthropic.")


def _one_at_a_time(choice: Choice) -> Json:
    kind = {"required": "any", "tool": "tool"}.get(choice.kind, "auto")
    named = {"name": choice.name} if choice.kind == "tool" else {}
    return {"type": kind, **named, "disable_parallel_tool_use": True}


# Tools ------------------------------------------------------------------------------------------


def _tool_config(prompt: Prompt, tools: list[Tool], choice: Choice, rules: Family) -> Json | None:
    """The tools and which may be called. A conversation in which some were called must name them,
    even where none is offered any more."""
    mentioned = tools_in(prompt)
    if not mentioned and (not tools or choice.kind == "none"):
        return None
    offered: list[Json] = []
    for tool in tools:
        offered.append({"toolSpec": _spec(tool)})
        if tool.cache and rules.caches_tools:
            offered.append(cache_point(tool.cache, rules))
    if not tools:
        offered = [
            {"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}}
            for name in mentioned
        ]
    config: Json = {"tools": offered}
    if tools and choice.kind == "required":
        config["toolChoice"] = {"any": {}}
    elif tools and choice.kind == "tool":
        config["toolChoice"] = {"tool": {"name": choice.name}}
    return config


def _spec(tool: Tool) -> Json:
    """A definition. Its strictness is left out, for some models refuse to hear of it."""
    schema = {name: value for name, value in tool.parameters.items() if name != "$schema"}
    described = {"description": tool.description} if tool.description.strip() else {}
    return {"name": tool.name, **described, "inputSchema": {"json": schemas.of_parameters(schema)}}


# JSON -------------------------------------------------------------------------------------------


def _held_to_schema(body: Json, wanted: Format | None, rules: Family) -> bool:
    """Have the answer held to its schema, where the model can be."""
    if wanted is None or wanted.schema is None or not rules.schema:
        return False
    schema: Json = {"schema": msgspec.json.encode(wanted.schema).decode(), "name": wanted.name}
    if wanted.description:
        schema["description"] = wanted.description
    body["outputConfig"] = {
        "textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}
    }
    return True
