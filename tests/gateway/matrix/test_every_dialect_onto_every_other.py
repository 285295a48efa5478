"""Each dialect's official SDK onto providers of each dialect, streamed and not.

A cell of the matrix is one test; the cases in it run one after the other with the same key.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import anthropic
import openai
import pytest

from tests.gateway.matrix.callers import CALLERS, PICTURE, Asked, Caller, Told
from tests.gateway_fixture import Agent

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
PARALLEL = 'call: get_weather {"city": "Paris"}\ncall: get_weather {"city": "Oslo"}'


@dataclass(frozen=True)
class Upstream:
    """A provider and a model of it that is asked in this dialect."""

    name: str
    provider: str
    model: str
    reasons: bool = True
    #: Whether it can be held to a schema, or only be asked to keep to one.
    holds_to_schema: bool = True

    def __str__(self) -> str:
        return self.name


UPSTREAMS = (
    Upstream("chat", "novita", "moonshotai/kimi-k3"),
    Upstream("responses", "openai", "openai/gpt-6-luna"),
    Upstream("messages", "anthropic", "anthropic/claude-haiku-5.5"),
    Upstream("gemini", "google", "google/gemini-3.8-flash"),
    Upstream("converse", "bedrock", "amazon/nova-pro-v1", reasons=False, holds_to_schema=False),
    Upstream("invoke", "bedrock", "anthropic/claude-haiku-5.5"),
)


class Cell:
    """One caller's dialect onto one provider's, streamed or not."""

    def __init__(self, agent: Agent, caller: Caller, upstream: Upstream, stream: bool) -> None:
        self.agent = agent
        self.caller = caller
        self.upstream = upstream
        self.stream = stream

    def ask(self, prompt: str = "", **more: object) -> Told:
        asked = Asked(prompt, **more)  # type: ignore[arg-type]
        return self.caller.ask(self.agent, self.upstream.model, asked, stream=self.stream)


def text(cell: Cell) -> None:
    told = cell.ask("say: Grüße, 世界 🌍")
    assert (told.text, told.finish) == ("Grüße, 世界 🌍", "end")
    assert told.input_tokens > 0
    assert told.output_tokens > 0


def a_tool(cell: Cell) -> None:
    told = cell.ask('call: get_weather {"city": "Paris"}', tools=True)
    assert told.called == [("get_weather", {"city": "Paris"})]
    assert told.finish == "tools"
    after = cell.ask(tools=True, history=cell.caller.results(told, ["21 degrees"]))
    assert "21 degrees" in after.text
    assert after.finish == "end"


def parallel_tools(cell: Cell) -> None:
    told = cell.ask(PARALLEL, tools=True)
    assert told.called == [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Oslo"})]
    assert len({call[0] for call in told.calls}) == 2
    after = cell.ask(tools=True, history=cell.caller.results(told, ["21 degrees", "4 degrees"]))
    assert "21 degrees" in after.text
    assert "4 degrees" in after.text


def a_forced_tool(cell: Cell) -> None:
    told = cell.ask("Hello", tools=True, choice="required")
    assert [name for name, _ in told.called] == ["get_weather"]


def a_picture(cell: Cell) -> None:
    told = cell.ask("say: a red dot", picture=PICTURE)
    assert told.text == "a red dot"


def reasoning(cell: Cell) -> None:
    told = cell.ask('call: get_weather {"city": "Paris"}', tools=True, effort="high")
    assert told.reasoning
    assert told.finish == "tools"
    # What the provider signed comes back to it, and it accepts its own.
    history = cell.caller.results(told, ["21 degrees"])
    after = cell.ask(tools=True, effort="high", history=history)
    assert "21 degrees" in after.text


def structured_output(cell: Cell) -> None:
    told = cell.ask("Weather in Paris?", schema=SCHEMA)
    found = json.loads(told.text)
    assert set(found) == {"city", "degrees"}
    assert isinstance(found["degrees"], int)
    assert told.finish == "end"


def a_stop_sequence(cell: Cell) -> None:
    told = cell.ask("say: one two three four", stop=" three")
    assert told.text.strip() == "one two"
    assert told.finish in {"end", "stop"}


def length(cell: Cell) -> None:
    told = cell.ask("stream: 200 events", limit=20)
    assert told.finish == "length"
    assert told.output_tokens <= 20


def a_refusal(cell: Cell) -> None:
    told = cell.ask("decline: I will not")
    assert told.finish in {"refusal", "end"}
    assert "I will not" in told.text or told.finish == "refusal"


def an_error(cell: Cell) -> None:
    with pytest.raises((openai.BadRequestError, anthropic.BadRequestError)) as raised:
        cell.ask("refuse: too_long")
    if cell.caller.name == "messages":
        # Claude Code compacts the conversation when it reads this.
        assert "prompt is too long" in str(raised.value).lower()
    else:
        assert isinstance(raised.value, openai.BadRequestError)
        assert raised.value.code == "context_length_exceeded"


CASES: tuple[Callable[[Cell], None], ...] = (
    text,
    a_tool,
    parallel_tools,
    a_forced_tool,
    a_picture,
    reasoning,
    structured_output,
    a_stop_sequence,
    length,
    a_refusal,
    an_error,
)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("upstream", UPSTREAMS, ids=str)
@pytest.mark.parametrize("caller", CALLERS, ids=str)
def test_every_case_comes_out_the_same(agent, key, simulator, caller, upstream, stream):
    key(upstream.provider)
    cell = Cell(agent, caller, upstream, stream)
    broken = {}
    for case in CASES:
        if case is reasoning and not upstream.reasons:
            continue
        if case is structured_output and not upstream.holds_to_schema:
            continue
        if case is a_stop_sequence and "responses" in {caller.name, upstream.name}:
            continue  # Responses have no such field.
        try:
            case(cell)
        except Exception as error:  # noqa: BLE001 -- all of them are told below
            broken[case.__name__] = f"{type(error).__name__}: {error}"[:600]
    assert not broken, "\n".join(f"{name}: {why}" for name, why in broken.items())
    assert {call.provider for call in simulator.calls} == {upstream.provider}
