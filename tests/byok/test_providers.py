"""The contract every provider keeps. A new provider file is tested here without being named."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byok.providers import PROVIDERS, provider
from byok.providers.base import Endpoint, Outcome, Provider, UnusableSecret
from byok.providers.openai_compatible import OpenAICompatible
from byok.vault import Secret

KEY = "sk-test-0123456789abcdefghijABCDEF"
CASES = {
    file.stem: json.loads(file.read_text())
    for file in (Path(__file__).parent / "provider_cases").glob("*.json")
}
#: These speak OpenAI's API and are judged by what that says, whoever they are.
SHARED = CASES.pop("openai-compatible")
ALIKE = [each for each in PROVIDERS.values() if isinstance(each, OpenAICompatible)]
#: A plan of a company whose errors are told apart.
PLANS = {"zai-coding": "zai", "xiaomi-token-plan-sgp": "xiaomi", "xiaomi-token-plan-ams": "xiaomi"}
CASES |= {each.id: SHARED for each in ALIKE} | {id_: CASES[of] for id_, of in PLANS.items()}
AUTH_HEADERS = {"authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "host"}

every_provider = pytest.mark.parametrize("each", PROVIDERS.values(), ids=PROVIDERS)
every_endpoint = pytest.mark.parametrize(
    ("each", "endpoint"),
    [(each, endpoint) for each in PROVIDERS.values() for endpoint in each.endpoints],
    ids=lambda value: value.id if isinstance(value, Provider) else value.name,
)


@pytest.fixture(autouse=True)
def _real_addresses(settings):
    settings.MEGABRAIN_UPSTREAM_URLS = {}


PING = [{"role": "user", "content": "ping"}]
LIMITS = ["max_tokens", "max_completion_tokens", "max_output_tokens"]
LIMITS += ["maxOutputTokens", "maxTokens"]
#: What holds the question where there are no messages.
ASKED = ("input", "suffix", "contents", "inferenceConfig")


def secret_of(each: Provider, key: str = KEY) -> Secret:
    """The key as a credential of this provider's holds it."""
    return Secret(json.dumps({"apiKey": key, "region": "us-east-1"}) if each.kind == "aws" else key)


def calls_of_a_test(each: Provider, host: str):
    return each.test_calls(secret_of(each), host)


def call(each: Provider, endpoint: Endpoint, headers: dict[str, str] | None = None):
    return each.request(secret_of(each), endpoint, b"{}", headers or {}, model="m")


def test_providers_are_found_by_their_files():
    assert {"anthropic", "openai", "mistral", "xai", "minimax", "moonshotai"} <= set(PROVIDERS)
    names = [each.name.lower() for each in PROVIDERS.values()]
    assert names == sorted(names)


def test_an_unknown_provider_is_a_key_error():
    with pytest.raises(KeyError):
        provider("nobody")


@every_provider
def test_a_provider_says_everything_the_pages_and_the_gateway_ask(each):
    assert re.fullmatch(r"[a-z][a-z0-9-]{1,38}", each.id)
    assert each.name
    assert each.kind in {"secret", "aws"}
    for address in (each.base_url, each.console_url, *each.hosts.values()):
        assert urlsplit(address).scheme == "https"
        assert not address.endswith("/")
    assert each.endpoints
    assert all(path.startswith("/") for path in (each.models_path, *each.endpoints.values()))
    assert each.placeholder
    shown = [prefix[:3] in each.placeholder for prefix in each.key_prefixes]
    assert any(shown) or not each.key_prefixes
    re.compile(each.key_pattern)
    # Of a company that is called directly, one model may be all that is known.
    assert (1 if each.direct else 2) <= len(each.probes) <= 3
    assert each.error_rules


@every_provider
def test_every_header_rule_is_lower_case_and_no_family_reaches_a_credential(each):
    for pattern in (*each.forwards, *each.withholds, *each.returns, *each.returns_to_key_owner):
        assert pattern == pattern.lower()
    sent = dict.fromkeys(AUTH_HEADERS, "mine")
    assert each.forwarded(sent) == {}
    assert each.returned({**sent, "set-cookie": "a=b", "server": "x"}, own_key=True) == {}


@every_endpoint
def test_a_request_carries_the_credential_in_one_header_and_the_body_untouched(each, endpoint):
    request = each.request(secret_of(each), endpoint, b'{"model":"m"}', {}, model="m")

    assert request.method == "POST"
    path = each.path(endpoint, "m", stream=False)
    address = (each.base_url + path).replace("/v1/..", "")
    assert request.url == address.replace("{region}", "us-east-1").replace("{model}", "m")
    assert request.body == b'{"model":"m"}'
    assert request.headers["content-type"] == "application/json"
    holding = [name for name, value in request.headers.items() if KEY in value]
    assert holding == [each.auth_at.get(endpoint, each.auth).header]
    assert KEY not in request.url
    assert all(name == name.lower() for name in request.headers)


@every_endpoint
def test_a_request_shows_no_credential_when_printed(each, endpoint):
    assert KEY not in repr(call(each, endpoint))


@every_endpoint
def test_no_header_of_the_caller_replaces_the_credential_or_the_framing(each, endpoint):
    mine = dict.fromkeys(
        (*AUTH_HEADERS, "content-type", "content-length", "transfer-encoding", "connection"),
        "attacker",
    )

    request = call(each, endpoint, mine)

    assert "attacker" not in request.headers.values()
    assert request.headers == call(each, endpoint).headers


HOSTILE = [
    "a\r\nx-api-key: attacker",
    "a\nb",
    "a\rb",
    "a\x00b",
    "ä",
    "\u2028",
    "a\x7f",
]


@every_provider
def test_a_header_that_could_become_two_is_dropped(each):
    names = [pattern.replace("*", "test") for pattern in each.forwards]

    for value in HOSTILE:
        assert each.forwarded(dict.fromkeys(names, value)) == {}, value
    assert each.forwarded({f"{name}\r\nx": "y" for name in names}) == {}


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=30), st.text(max_size=30), max_size=5))
def test_whatever_a_caller_sends_no_header_holds_a_line_break(sent):
    for each in PROVIDERS.values():
        families = [pattern.replace("*", "x") for pattern in each.forwards]
        headers = {**sent, **dict(zip(families, sent.values(), strict=False))}

        request = call(each, next(iter(each.endpoints)), headers)

        for name, value in request.headers.items():
            assert re.fullmatch(r"[a-z0-9_-]+", name), each.id
            assert re.fullmatch(r"[\t\x20-\x7e]*", value), each.id


@every_provider
def test_a_credential_no_header_can_carry_is_refused_without_repeating_it(each):
    for secret in ("", "a b", "a\r\nb", "a\nb", "kéy", "k" * 5000):
        with pytest.raises(UnusableSecret) as refusal:
            each.request(secret_of(each, secret), next(iter(each.endpoints)), b"", {})

        assert not secret or secret not in str(refusal.value)


@every_provider
def test_an_endpoint_it_does_not_have_is_a_key_error(each):
    for endpoint in set(Endpoint) - set(each.endpoints):
        with pytest.raises(KeyError):
            call(each, endpoint)


@every_provider
@pytest.mark.parametrize("base", ["http://127.0.0.1:9001/a/b", "http://127.0.0.1:9001/a/b/"])
def test_the_operator_can_replace_its_address_path_included(each, base, settings):
    replaced = {each.id: base, **dict.fromkeys(each.hosts, base)}
    settings.MEGABRAIN_UPSTREAM_URLS = {**replaced, "other": "http://127.0.0.1:1"}

    requests = [
        each.list_models(secret_of(each)),
        *(call(each, endpoint) for endpoint in each.endpoints),
        *(request for host in ("", *each.hosts) for _, request in calls_of_a_test(each, host)),
    ]

    assert all(request.url.startswith("http://127.0.0.1:9001/a/b/") for request in requests)
    assert all("//" not in urlsplit(request.url).path for request in requests)


@every_provider
def test_a_key_is_not_tried_round_the_operators_address(each, settings):
    assert set(each.test_hosts(secret_of(each))) <= {"", *each.hosts}

    settings.MEGABRAIN_UPSTREAM_URLS = {each.id: "http://127.0.0.1:9001"}
    assert set(each.test_hosts(secret_of(each))) == {""}


def test_one_name_stands_for_one_address():
    addresses = [(each.id, each.base_url) for each in PROVIDERS.values()]
    addresses += [pair for each in PROVIDERS.values() for pair in each.hosts.items()]

    assert len(dict(addresses)) == len(set(addresses))


@every_provider
def test_listing_models_is_a_get_with_the_credential(each):
    request = each.list_models(secret_of(each))

    assert request.method == "GET"
    assert request.body is None
    assert KEY in request.headers[each.auth.header]


@every_provider
def test_a_test_call_is_a_small_real_call(each):
    for host in ("", *each.hosts):
        calls = calls_of_a_test(each, host)
        assert len({model for model, _ in calls}) == len(calls) >= (1 if each.direct else 2)
        for model, request in calls:
            body = json.loads(request.body)
            named = quote(model.removeprefix("{geo}."), safe="")
            assert body.get("model") == model or named in urlsplit(request.url).path
            assert each.serves(model, host)
            assert body.get("messages") == PING or any(asked in body for asked in ASKED)
            body |= body.get("generationConfig", {}) | body.get("inferenceConfig", {})
            assert 1 <= next(body[limit] for limit in LIMITS if limit in body) <= 16
            assert not body.get("stream")


@every_provider
def test_an_answer_is_told_from_an_error_in_disguise(each):
    assert each.answered(b'{"choices":[{"message":{"content":""},"finish_reason":"length"}]}')
    assert each.answered(b'{"type":"message","content":[]}')
    for other in (b"", b"null", b"[]", b'"choices"', b"<html>", b"{}", b"\xff", b"[" * 100_000):
        assert not each.answered(other)
    assert not each.answered(b'{"error":{"message":"no"},"choices":[]}')
    assert not each.answered(b'{"base_resp":{"status_code":1008},"choices":[]}')
    assert each.answered(b'{"base_resp":{"status_code":0,"status_msg":""},"choices":[]}')


@every_provider
def test_an_error_seen_in_practice_means_what_it_meant(each):
    for case in CASES[each.id]:
        failure = each.classify(case["status"], case["headers"], json.dumps(case["body"]).encode())

        assert failure.outcome == case["outcome"], case["case"]
        assert failure.context_too_long == case["too_long"], case["case"]


def test_every_provider_has_error_cases():
    assert set(CASES) == set(PROVIDERS)


STRANGE_BODIES = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"7",
    b'"text"',
    b"<html><body>502 Bad Gateway</body></html>",
    b"upstream connect error",
    b"\xff\xfe\x00",
    b'{"error":',
    b'{"error":null}',
    b'{"error":"text"}',
    b'{"error":{"message":["a",{"msg":"b"}],"code":7,"type":null}}',
    b'{"error":{"message":{"detail":"x"},"code":{"a":1},"type":[]}}',
    b'[{"error":{"message":"wrapped"}}]',
    b'{"detail":[{"loc":["body"],"msg":"field required"}]}',
    b'{"response":{"error":7}}',
    b"[" * 100_000,
    b'{"error":{"message":"' + b"x" * 10_000_000 + b'"}}',
]


JUDGED = {
    301: Outcome.UNAVAILABLE,
    400: Outcome.BAD_REQUEST,
    401: Outcome.REJECTED,
    402: Outcome.NO_CREDIT,
    403: Outcome.NO_ACCESS,
    404: Outcome.MODEL_MISSING,
    408: Outcome.UNAVAILABLE,
    413: Outcome.BAD_REQUEST,
    422: Outcome.BAD_REQUEST,
    429: Outcome.RATE_LIMITED,
    500: Outcome.UNAVAILABLE,
    502: Outcome.UNAVAILABLE,
    503: Outcome.OVERLOADED,
    504: Outcome.UNAVAILABLE,
    529: Outcome.OVERLOADED,
}


@every_provider
def test_a_body_that_says_nothing_is_judged_by_its_status(each):
    for status, outcome in JUDGED.items():
        for body in STRANGE_BODIES:
            failure = each.classify(status, {}, body)
            assert failure.outcome is outcome, (status, body[:60])
            assert len(failure.message) <= 4096
            assert len(failure.code) <= 64
            assert "<" not in failure.message


JSON_OF_ERRORS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "type", "detail", "response", "reason"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.integers(100, 599), st.binary(max_size=200), JSON_OF_ERRORS)
def test_no_answer_makes_classifying_fail(status, raw, parsed):
    for body in (raw, json.dumps(parsed).encode()):
        for each in PROVIDERS.values():
            assert isinstance(each.classify(status, {}, body).outcome, Outcome), each.id


EVENTS = [
    ('{"type":"error","error":{"type":"overloaded_error","message":"x"}}', Outcome.OVERLOADED),
    ('{"type":"error","error":{"type":"rate_limit_error","message":"x"}}', Outcome.RATE_LIMITED),
    ('{"type":"error","error":{"type":"api_error","message":"x"}}', Outcome.UNAVAILABLE),
    (
        '{"type":"error","error":{"type":"invalid_request_error","message":"x"}}',
        Outcome.BAD_REQUEST,
    ),
    ('{"error":{"message":"x","code":"insufficient_quota"}}', Outcome.NO_CREDIT),
    (
        '{"type":"response.failed","response":{"error":{"code":"server_error","message":"x"}}}',
        Outcome.UNAVAILABLE,
    ),
    (
        '{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded"}}}',
        Outcome.RATE_LIMITED,
    ),
    ('{"type":"error","code":"context_length_exceeded","message":"x"}', Outcome.BAD_REQUEST),
    ("not json", Outcome.UNAVAILABLE),
]


@every_provider
def test_an_error_event_after_a_200_is_judged_by_its_code(each):
    for event, outcome in EVENTS:
        assert each.classify(200, {}, event.encode()).outcome is outcome, event


def test_adding_a_provider_is_adding_one_file(tmp_path):
    """The package finds a new file by itself: here one on a second path of the package."""
    (tmp_path / "newcomer.py").write_text(
        "from dataclasses import replace\n"
        "from byok.providers.openai import PROVIDER as OPENAI\n"
        "PROVIDER = replace(OPENAI, id='newcomer', name='A Newcomer')\n"
    )
    code = (
        "import django; django.setup()\n"
        "import byok\n"
        "from pkgutil import extend_path\n"
        "import importlib.util, importlib.machinery, sys\n"
        "spec = importlib.util.find_spec('byok.providers')\n"
        f"spec.submodule_search_locations.append({str(tmp_path)!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['byok.providers'] = module\n"
        "spec.loader.exec_module(module)\n"
        "print(list(module.PROVIDERS)[0], module.provider('newcomer').endpoints)\n"
    )

    found = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert found.stdout.startswith("newcomer ")
