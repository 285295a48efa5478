"""Google's official SDK, pointed straight at the simulator."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from google import genai
from google.genai import errors, types

from tests.simulator_fixture import RunningSimulator

GENERATIONS = ("gemini-2.5-flash", "gemini-3.5-flash", "gemini-4-hydrogen")
TOOLS = [
    types.Tool(
        function_declarations=[
            types.FunctionDeclaration(
                name="get_weather",
                parameters_json_schema={
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                },
            )
        ]
    )
]
TWO_CALLS = 'call: get_weather {"city": "Paris"}\ncall: get_weather {"city": "Rome"}'

# Any: tests read what came back as it is, without the unions of the SDK's types in between.
Client = Callable[..., Any]


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[Client]:
    made: list[genai.Client] = []

    def make(word: str = "ok") -> Any:
        at = simulator.url("google").removesuffix("/v1beta")
        made.append(
            genai.Client(
                api_key=f"AIzasim-{word}-x",
                http_options=types.HttpOptions(base_url=at, api_version="v1beta", timeout=20_000),
            )
        )
        return made[-1].models

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("model", GENERATIONS)
def test_a_question_is_answered_with_thoughts_when_they_are_wanted(client: Client, model: str):
    config = {"thinking_config": {"include_thoughts": True}, "system_instruction": "Be brief."}

    answer = client().generate_content(model=model, contents="say: pong", config=config)

    thought, *said = answer.candidates[0].content.parts
    assert thought.thought
    assert answer.text == "pong"
    assert answer.candidates[0].finish_reason is types.FinishReason.STOP
    counts = answer.usage_metadata
    assert counts.thoughts_token_count > counts.candidates_token_count == 1
    assert counts.total_token_count == (
        counts.prompt_token_count + counts.candidates_token_count + counts.thoughts_token_count
    )
    signed = [part for part in said if part.thought_signature]
    assert bool(signed) == (model != "gemini-2.5-flash")


@pytest.mark.parametrize("model", GENERATIONS)
def test_calls_are_streamed_whole_and_their_turn_is_taken_back_as_it_came(
    client: Client, model: str
):
    models = client()
    asked = {"role": "user", "parts": [{"text": TWO_CALLS}]}
    events = list(
        models.generate_content_stream(model=model, contents=[asked], config={"tools": TOOLS})
    )
    parts = [part for event in events for part in event.candidates[0].content.parts or []]
    calls = [part.function_call for part in parts if part.function_call]
    assert [call.args for call in calls] == [{"city": "Paris"}, {"city": "Rome"}]
    assert all(bool(call.id) == model.startswith("gemini-4") for call in calls)
    assert events[-1].candidates[0].finish_reason is types.FinishReason.STOP

    results = [
        types.Part(
            function_response=types.FunctionResponse(
                id=call.id, name=call.name, response={"output": "sunny"}
            )
        )
        for call in calls
    ]
    turns = [asked, types.Content(role="model", parts=parts)]
    turns.append(types.Content(role="user", parts=results))
    answer = models.generate_content(model=model, contents=turns, config={"tools": TOOLS})
    assert answer.text == "Done. The tool answered: sunny; sunny"

    if model != "gemini-2.5-flash":
        for part in parts:
            part.thought_signature = None
        with pytest.raises(errors.ClientError, match="missing a thought_signature"):
            models.generate_content(model=model, contents=turns, config={"tools": TOOLS})


def test_json_is_answered_and_limits_and_stops_end_an_answer(client: Client):
    models, model = client(), "gemini-3.8-flash"
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

    json = models.generate_content(
        model=model,
        contents="x",
        config={"response_mime_type": "application/json", "response_json_schema": schema},
    )
    cut = models.generate_content(
        model=model, contents="say: a b c d", config={"max_output_tokens": 2}
    )
    stopped = models.generate_content(
        model=model, contents="say: a b c d", config={"stop_sequences": [" c"]}
    )

    assert json.parsed == {"a": 1}
    assert (cut.text, cut.candidates[0].finish_reason.value) == ("a b", "MAX_TOKENS")
    assert (stopped.text, stopped.candidates[0].finish_reason.value) == ("a b", "STOP")


def test_tokens_are_counted_and_models_listed_page_by_page(client: Client):
    models = client()

    assert models.count_tokens(model="gemini-4-argon", contents="Good morning").total_tokens > 3
    names = [model.name for model in models.list(config={"page_size": 5})]
    assert len(set(names)) == len(names) > 10
    assert models.get(model="gemini-4-argon").output_token_limit == 65_536


@pytest.mark.parametrize(
    ("word", "code", "status"),
    [
        ("401", 400, "INVALID_ARGUMENT"),
        ("402", 429, "RESOURCE_EXHAUSTED"),
        ("403", 403, "PERMISSION_DENIED"),
        ("404", 404, "NOT_FOUND"),
        ("429", 429, "RESOURCE_EXHAUSTED"),
        ("529", 503, "UNAVAILABLE"),
    ],
)
def test_the_sdk_reads_each_error(client: Client, word: str, code: int, status: str):
    with pytest.raises(errors.APIError) as error:
        client(word).generate_content(model="gemini-2.5-pro", contents="x")

    assert (error.value.code, error.value.status) == (code, status)


def call(**part: Any) -> dict[str, Any]:
    return {"functionCall": {"name": "f", "args": {}}, **part}


USER = {"role": "user", "parts": [{"text": "x"}]}
RESULT = {"functionResponse": {"name": "f", "response": {"output": ""}}}
DECLARED = {"tools": [{"functionDeclarations": [{"name": "f"}]}]}
REFUSED = {
    "unknown field": ({"contents": [USER], "stream": True}, 'Unknown name "stream"'),
    "no contents": ({"contents": []}, "contents is not specified"),
    "no parts": ({"contents": [{"role": "user", "parts": []}]}, "must not be empty"),
    "empty text": ({"contents": [{"parts": [{"text": ""}]}]}, "required oneof field 'data'"),
    "role": ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role"),
    "call first": ({"contents": [{"role": "model", "parts": [call()]}]}, "after a user turn"),
    "result alone": ({"contents": [{"role": "user", "parts": [RESULT]}]}, "function call turn"),
    "result missing": (
        {"contents": [USER, {"role": "model", "parts": [call(), call()]}, {"parts": [RESULT]}]},
        "number of function response parts is equal",
    ),
    "foreign signature": (
        {
            "contents": [
                USER,
                {"role": "model", "parts": [call(thoughtSignature="AAAA")]},
                {"role": "user", "parts": [RESULT]},
            ]
        },
        "Corrupted thought signature",
    ),
    "function name": (
        {"contents": [USER], "tools": [{"functionDeclarations": [{"name": "1st"}]}]},
        "Invalid function name",
    ),
    "old schema": (
        {
            "contents": [USER],
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": "f", "parameters": {"additionalProperties": False}}
                    ]
                }
            ],
        },
        'Unknown name "additionalProperties"',
    ),
    "config without tools": (
        {"contents": [USER], "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
        "without function_declarations",
    ),
    "undeclared name": (
        {
            "contents": [USER],
            **DECLARED,
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["g"]}},
        },
        "not declared",
    ),
    "output": (
        {"contents": [USER], "generationConfig": {"maxOutputTokens": 70_000}},
        "supported range",
    ),
    "budget on 3": (
        {"contents": [USER], "generationConfig": {"thinkingConfig": {"thinkingBudget": 100}}},
        "budget is not supported",
    ),
    "level it lacks": (
        {"contents": [USER], "generationConfig": {"thinkingConfig": {"thinkingLevel": "MINIMAL"}}},
        "MINIMAL is not supported",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_google_refuses_is_refused(simulator: RunningSimulator, case: str):
    body, words = REFUSED[case]

    answer = requests.post(
        f"{simulator.url('google')}/models/gemini-3.8-flash:generateContent",
        json=body,
        headers={"x-goog-api-key": "AIzasim-ok-x"},
        timeout=9,
    )

    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("model", "config", "words"),
    [
        ("gemini-2.5-pro", {"thinkingConfig": {"thinkingLevel": "LOW"}}, "level LOW"),
        ("gemini-2.5-pro", {"thinkingConfig": {"thinkingBudget": 0}}, "between 128 and 32768"),
        ("gemini-2.5-pro", {"responseMimeType": "application/json"}, "is unsupported"),
        ("gemini-embedding-001", {}, "not supported for generateContent"),
        ("gemini-nope", {}, "models/gemini-nope is not found"),
    ],
)
def test_what_single_models_refuse_is_refused(
    simulator: RunningSimulator, model: str, config: dict[str, Any], words: str
):
    answer = requests.post(
        f"{simulator.url('google')}/models/{model}:generateContent",
        json={"contents": [USER], **DECLARED, "generationConfig": config},
        headers={"x-goog-api-key": "AIzasim-ok-x"},
        timeout=9,
    )

    assert not answer.ok
    assert words in answer.json()["error"]["message"]


def test_a_model_for_paying_projects_is_refused_to_a_free_key(client: Client):
    free = client("ok-free")

    assert free.generate_content(model="gemini-4-hydrogen", contents="say: pong").text == "pong"
    with pytest.raises(errors.ClientError, match="limit: 0, model: gemini-4-neon"):
        free.generate_content(model="gemini-4-neon", contents="say: pong")
