"""Chat Completions in neutral terms and back: nothing is lost, whatever the pieces it comes in."""

import json
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megabrain.gateway.dialects.neutral import (
    Answer,
    CallDelta,
    CallDone,
    CallStarted,
    Choice,
    Document,
    Effort,
    Ended,
    Event,
    Finish,
    Format,
    Image,
    Prompt,
    Reasoning,
    ReasoningDelta,
    ReasoningDone,
    Refusal,
    RefusalDelta,
    Started,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from megabrain.gateway.metering import Usage
from megabrain.gateway.sse import Event as ServerSentEvent
from megabrain.gateway.sse import split
from tests.gateway.chat_sides import (
    CALLERS,
    HOSTS,
    TOLD,
    Json,
    fed,
    parsed,
    target,
    told,
    turns,
)

# Requests, there and back -------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
said = words.filter(lambda text: bool(text.strip()))
ids = st.text("abcdefgh0123456789_-", min_size=1, max_size=12)
arguments = st.dictionaries(words, words, max_size=2).map(lambda found: json.dumps(found))
pictures = st.builds(Image, media_type=st.just("image/png"), data=st.just("aGk="))
files = st.builds(
    Document, name=st.just("a.pdf"), media_type=st.just("application/pdf"), data=st.just("aGk=")
)


@st.composite
def rounds(draw: st.DrawFn) -> list[Turn]:
    """A question and its answer, with calls and their results or without."""
    question: list[Any] = draw(
        st.lists(st.one_of(st.builds(Text, said), pictures, files), min_size=1)
    )
    names = draw(st.lists(ids, unique=True, max_size=3))
    calls = [
        ToolCall(f"c{draw(ids)}{n}", f"t_{name}", draw(arguments)) for n, name in enumerate(names)
    ]
    spoken = [Text(draw(said))] if not calls or draw(st.booleans()) else []
    found = [Turn("user", question), Turn("assistant", [*spoken, *calls])]
    if calls:
        found.append(Turn("tool", [ToolResult(call.id, [Text(draw(said))]) for call in calls]))
    if draw(st.booleans()):
        found.append(Turn("system", [Text(draw(said))]))
    return found


tools = st.lists(
    st.builds(lambda name, text: Tool(name=name, own_name=name, description=text), ids, words),
    max_size=3,
    unique_by=lambda tool: tool.name,
)


@given(
    system=st.lists(st.builds(Text, said), max_size=1),
    conversation=st.lists(rounds(), min_size=1, max_size=3),
    tools=tools,
    options=st.fixed_dictionaries(
        {
            "max_output": st.none() | st.integers(1, 9000),
            "temperature": st.none() | st.floats(0, 2),
            "stop": st.lists(words, max_size=4),
            "effort": st.none() | st.sampled_from(Effort),
            "verbosity": st.none() | st.just("low"),
            "cache_key": st.none() | ids,
            "user": st.none() | ids,
            "format": st.none()
            | st.builds(Format, schema=st.just({"type": "object"}), name=st.just("x")),
            "stream": st.booleans(),
        }
    ),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_request_is_read_as_it_was_written(
    system: list[Text], conversation: list[list[Turn]], tools: list[Tool], options: Json
) -> None:
    prompt = Prompt(system=system, tools=tools, **options)
    prompt.turns = [turn for each in conversation for turn in each]
    if tools:
        prompt.choice, prompt.parallel = Choice("tool", tools[0].name), False
    body = HOSTS.request(prompt, target())
    again = parsed(json.loads(json.dumps(body)))
    expected = msgspec.structs.replace(prompt, wants_usage=prompt.stream)
    assert msgspec.to_builtins(again) == {**msgspec.to_builtins(expected), "legacy_calls": False}


@given(conversation=st.lists(rounds(), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_longer_conversation_begins_as_the_shorter_one_did(
    conversation: list[list[Turn]],
) -> None:
    shorter = [turn for each in conversation[:-1] for turn in each]
    longer = [*shorter, *conversation[-1]]
    before = HOSTS.request(Prompt(turns=shorter), target())["messages"]
    after = HOSTS.request(Prompt(turns=longer), target())["messages"]
    assert after[: len(before)] == before


# Answers, whole and streamed ---------------------------------------------------------------------


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    blocks: list[Any] = [
        Reasoning(text, "anthropic", {"type": "thinking", "thinking": text, "signature": "s"})
        for text in draw(st.lists(said, max_size=2))
    ]
    if text := draw(st.none() | said.filter(lambda text: "<" not in text)):
        blocks.append(Text(text))
    names = draw(st.lists(ids, max_size=3))
    blocks += [ToolCall(f"call_{n}", name, draw(arguments)) for n, name in enumerate(names)]
    if not names and draw(st.booleans()):
        blocks.append(Refusal(draw(said)))
    refused = any(isinstance(block, Refusal) for block in blocks)
    cut = draw(st.sampled_from([None, Finish.LENGTH, Finish.FILTERED]))
    plain = Finish.TOOLS if names else Finish.FILTERED if refused else Finish.END
    counts = [draw(st.integers(0, 9999)) for _ in range(4)]
    usage = Usage(counts[0], counts[1], counts[2], counts[3])
    return Answer(blocks=blocks, finish=cut or plain, usage=usage)


def events_of(answer: Answer, draw: st.DataObject) -> list[Event]:
    """The answer as a provider's reader would tell it, in pieces of any length."""
    out: list[Event] = [Started("a", None)]
    calls: list[ToolCall] = []
    for block in answer.blocks:
        match block:
            case Reasoning():
                out += [ReasoningDelta(piece) for piece in pieces(block.text, draw)]
                out.append(ReasoningDone(block.maker, block.native))
            case Text():
                out += [TextDelta(piece) for piece in pieces(block.text, draw)]
            case Refusal():
                out += [RefusalDelta(piece) for piece in pieces(block.text, draw)]
            case ToolCall():
                calls.append(block)
    # Side by side, as the providers of this dialect tell them.
    out += [CallStarted(number, call.id, call.name) for number, call in enumerate(calls)]
    for number, call in enumerate(calls):
        out += [CallDelta(number, piece) for piece in pieces(call.arguments, draw)]
    out += [CallDone(number) for number in range(len(calls))]
    return [*out, Ended(answer.finish, usage=answer.usage)]


def pieces(text: str, draw: st.DataObject) -> list[str]:
    at = draw.draw(st.integers(0, len(text)))
    return [piece for piece in (text[:at], text[at:]) if piece]


def amount(answer: Answer) -> Json:
    """The same of an answer in one piece."""
    found: Json = {"text": "", "refusal": "", "reasoning": [], "calls": {}}
    for block in answer.blocks:
        match block:
            case Text(text):
                found["text"] += text
            case Refusal(text):
                found["refusal"] += text
            case Reasoning():
                found["reasoning"].append(block.text)
            case ToolCall():
                call = [block.id, block.name, block.arguments or "{}"]
                found["calls"][len(found["calls"])] = call
    found["reasoning"] = "\n\n".join(found["reasoning"])
    return {**found, "finish": answer.finish, "usage": answer.usage}


@given(answer=answers(), data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_answer_is_the_same_whole_and_streamed_in_any_pieces(
    answer: Answer, data: st.DataObject
) -> None:
    prompt = Prompt(stream=True, wants_usage=True)
    whole = HOSTS.answer(CALLERS.answer(prompt, answer, TOLD), target())
    assert whole is not None
    assert amount(whole) == amount(answer)
    writer = CALLERS.writer(prompt, TOLD)
    wire = b"".join(writer.write([event]) for event in events_of(answer, data))
    assert told(fed(wire, data.draw(st.sampled_from([1, 7, 4096])))) == amount(answer)
    assert wire.endswith(b"data: [DONE]\n\n")


@given(answer=answers(), data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_reasoning_comes_back_from_a_caller_as_its_maker_wants_it(
    answer: Answer, data: st.DataObject
) -> None:
    prompt = Prompt(stream=True)
    message = json.loads(CALLERS.answer(prompt, answer, TOLD))["choices"][0]["message"]
    writer = CALLERS.writer(prompt, TOLD)
    streamed = collected(b"".join(writer.write([event]) for event in events_of(answer, data)))
    made = [block for block in answer.blocks if isinstance(block, Reasoning)]
    expected = [Reasoning(each.text, each.maker, each.native, TOLD.origin) for each in made]
    for back in (message, streamed):
        blocks = [block for turn in turns(back) for block in turn.blocks]
        assert [block for block in blocks if isinstance(block, Reasoning)] == expected


def collected(wire: bytes) -> Json:
    """A message as clients of OpenRouter put it together from a stream."""
    message: Json = {"role": "assistant", "content": "", "reasoning": "", "reasoning_details": []}
    for raw in split(wire):
        event = ServerSentEvent.parse(raw)
        assert event
        if event.data == "[DONE]":
            break
        for choice in json.loads(event.data)["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            message["reasoning"] += delta.get("reasoning") or ""
            for detail in delta.get("reasoning_details", ()):
                kept = message["reasoning_details"]
                if kept and (kept[-1]["type"], kept[-1]["index"]) == (
                    detail["type"],
                    detail["index"],
                ):
                    text = kept[-1].get("text", "") + detail.get("text", "")
                    kept[-1] |= {**detail, "text": text}
                else:
                    kept.append(dict(detail))
    return message
