"""A turn begins with the bytes of the turn before it, in every dialect that it is translated to.

Prompt caches go by that, and so does Anthropic's check that thinking belongs to its conversation.
"""

import re
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from tests.gateway.matrix.callers import CALLERS, Asked, Caller
from tests.gateway.matrix.test_every_dialect_onto_every_other import PARALLEL, UPSTREAMS

Json = dict[str, Any]
#: Marks for the cache are at the end, wherever that is; no cache reads them as part of the prompt.
MARKS = re.compile(rb',"cache_control":\{[^{}]*\}|,\{"cachePoint":\{[^{}]*\}\}')
CONVERSATIONS = ("messages", "contents", "input")
#: What comes before the conversation in a prompt.
BEFORE = ("system", "systemInstruction", "instructions", "tools", "toolConfig", "prompt_cache_key")


def role_of(caller: Caller) -> str:
    """Of the one who gives instructions in the middle of a conversation."""
    return "developer" if caller.name == "responses" else "system"


def sent(body: bytes) -> tuple[dict[str, bytes], bytes]:
    """What stands before the conversation, and the conversation but for its last bracket."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    plain = {name: MARKS.sub(b"", bytes(value)) for name, value in fields.items()}
    (name,) = [name for name in CONVERSATIONS if name in plain]
    return {name: plain[name] for name in BEFORE if name in plain}, plain[name].removesuffix(b"]")


@pytest.mark.parametrize("upstream", UPSTREAMS, ids=str)
def test_each_turn_begins_with_the_one_before_it(agent, key, simulator, upstream):
    key(upstream.provider)
    effort = "high" if upstream.reasons else ""
    for caller in CALLERS:

        def ask(history: list[Json], prompt: str = "", caller: Caller = caller) -> Any:
            asked = Asked(prompt, tools=True, effort=effort, history=history)
            return caller.ask(agent, upstream.model, asked, stream=True)

        simulator.clear()
        note = {"role": role_of(caller), "content": "Today is Monday."}
        first = ask([{"role": "user", "content": PARALLEL}, note])
        assert [name for name, _ in first.called] == ["get_weather"] * 2
        second = ask([*caller.results(first, ["21 degrees", "4 degrees"]), note])
        third = ask(second.replay, "say: one")
        fourth = ask(third.replay, "say: two")

        assert (third.text, fourth.text) == ("one", "two")
        bodies = [sent(call.body) for call in simulator.calls]
        assert len(bodies) == 4
        for (before, shorter), (after, longer) in pairwise(bodies):
            assert after == before
            assert longer.startswith(shorter)
            assert len(longer) > len(shorter)
