"""A strict tool stays strict where its schema fits, whatever its members are called."""

import pytest

from tests.gateway.dialect import CHAT

TEXT = {"type": "string"}
#: A schema whose one member is called as a keyword of schemas is.
NAMED = {
    "type": "object",
    "properties": {"properties": TEXT},
    "required": ["properties"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [(NAMED, True), ({**NAMED, "required": []}, False), ({"type": "object"}, False)],
    ids=["fits", "an optional member", "other members"],
)
@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "openai/gpt-6-luna"), ("novita", "moonshotai/kimi-k3")],
    ids=["responses", "chat"],
)
def test_a_tool_is_strict_only_where_its_schema_fits(
    agent, key, simulator, provider, model, schema, strict
):
    key(provider)
    tool = {"name": "look", "input_schema": schema, "strict": True}
    body = {"model": model, "max_tokens": 99, "tools": [tool]}
    asked = CHAT.body()["messages"]
    answer = agent.post("messages", {**body, "messages": asked})
    assert answer.status_code == 200, answer.text
    (went,) = simulator.calls[-1].json["tools"]
    assert bool(went.get("function", went).get("strict")) is strict
