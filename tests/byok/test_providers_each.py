"""What is particular to one provider, and to reading waits and keys."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
import pytest

from byok.providers import PROVIDERS, provider
from byok.providers.base import Endpoint, Outcome, UnusableSecret
from byok.providers.credentials import MAX_LENGTH
from byok.providers.errors import LONGEST_WAIT, retry_after
from byok.vault import Secret

KEY = "sk-test-0123456789abcdefghijABCDEF"

CLIENT_HEADERS = {
    "anthropic-version": "2026-10-21",
    "anthropic-beta": "a,b",
    "anthropic-workspace-id": "wrkspc_1",
    "x-claude-code-session-id": "s",
    "openai-beta": "responses=v1",
    "openai-organization": "org-mine",
    "openai-project": "proj-mine",
    "x-openai-internal-codex-responses-lite": "true",
    "x-codex-turn-metadata": "{}",
    "x-codex-window-id": "w",
    "originator": "codex_exec",
    "session-id": "s",
    "thread-id": "t",
    "x-client-request-id": "c",
    "x-session-affinity": "f",
    "x-grok-conv-id": "g",
    "x-forwarded-for": "10.0.0.1",
    "x-megabrain-organization": "acme",
    "x-stainless-retry-count": "1",
    "user-agent": "codex",
    "cookie": "a=b",
}

GOES_TO = {
    "anthropic": {"anthropic-version", "anthropic-beta", "x-claude-code-session-id"},
    "openai": {
        "openai-beta",
        "x-openai-internal-codex-responses-lite",
        "x-codex-turn-metadata",
        "x-codex-window-id",
        "originator",
        "session-id",
        "thread-id",
        "x-client-request-id",
    },
    "deepseek": set(),
    "fireworks": {"x-session-affinity"},
    "novita": set(),
    "xai": {"x-grok-conv-id"},
    "google": set(),
}


@pytest.mark.parametrize(("id_", "expected"), GOES_TO.items())
def test_a_family_of_headers_goes_to_its_company_and_to_no_other(id_, expected):
    assert set(provider(id_).forwarded(CLIENT_HEADERS)) == expected


def test_anthropic_gets_the_callers_version_or_the_first():
    anthropic = provider("anthropic")
    messages = Endpoint.MESSAGES

    own = anthropic.request(Secret(KEY), messages, b"", {"anthropic-version": "2026-10-21"})
    default = anthropic.request(Secret(KEY), messages, b"", {})

    assert own.headers["anthropic-version"] == "2026-10-21"
    assert default.headers["anthropic-version"] == "2023-06-01"
    assert own.headers["x-api-key"] == KEY
    assert "authorization" not in own.headers


def test_deepseek_takes_its_key_differently_at_its_two_endpoints(settings):
    settings.MEGABRAIN_UPSTREAM_URLS = {}
    deepseek = provider("deepseek")

    chat = deepseek.request(Secret(KEY), Endpoint.CHAT, b"", {})
    messages = deepseek.request(Secret(KEY), Endpoint.MESSAGES, b"", {})

    assert chat.headers["authorization"] == f"Bearer {KEY}"
    assert messages.headers["x-api-key"] == KEY
    assert "authorization" not in messages.headers
    assert messages.url == "https://api.deepseek.com/anthropic/v1/messages"


def test_google_is_told_the_model_and_streaming_by_the_path_alone(settings):
    settings.MEGABRAIN_UPSTREAM_URLS = {}
    google, asked = provider("google"), Endpoint.GENERATE_CONTENT
    body = {name: msgspec.Raw(b"[]") for name in ("model", "stream", "contents")}

    whole = google.request(Secret(KEY), asked, b"", {}, model="gemini-4/../x?y#z")
    streamed = google.request(Secret(KEY), asked, b"", {}, model="gemini-4-neon", stream=True)

    base = "https://generativelanguage.googleapis.com/v1beta/models"
    assert whole.url == f"{base}/gemini-4%2F..%2Fx%3Fy%23z:generateContent"
    assert streamed.url == f"{base}/gemini-4-neon:streamGenerateContent?alt=sse"
    assert set(google.adapt(asked, "x", body, None)) == {"contents"}


def test_google_takes_embeddings_in_openais_form_with_a_bearer_token():
    google = provider("google")

    request = google.request(Secret(KEY), Endpoint.EMBEDDINGS, b"{}", {})

    assert request.url.endswith("/openai/embeddings")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert google.speaks("gemini-embedding-001", Endpoint.EMBEDDINGS, with_tools=False)
    assert not google.speaks("gemini-4-neon", Endpoint.EMBEDDINGS, with_tools=False)


@pytest.mark.parametrize(
    ("delay", "headers", "seconds"),
    [
        ("34.5s", {}, 34.5),
        ("34s", {"retry-after": "3"}, 3),
        ("99999999s", {}, LONGEST_WAIT),
        ("soon", {}, None),
        ({"seconds": 3}, {}, None),
    ],
)
def test_google_says_in_the_body_how_long_to_wait(delay, headers, seconds):
    details = [7, {"violations": []}, {"retryDelay": delay}]
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}

    failure = provider("google").classify(429, headers, json.dumps({"error": error}).encode())

    assert failure.outcome is Outcome.RATE_LIMITED
    assert failure.retry_after == seconds


def test_xiaomi_takes_a_plans_key_to_the_plans_hosts(settings):
    settings.MEGABRAIN_UPSTREAM_URLS = {}
    xiaomi, plan = provider("xiaomi"), Secret("tp-" + "a1" * 20)
    sgp, ams, cn = xiaomi.hosts

    assert xiaomi.test_hosts(Secret("sk-" + "a1" * 20)) == ("",)
    assert xiaomi.test_hosts(plan) == (sgp, ams, cn)
    untested = xiaomi.request(plan, Endpoint.CHAT, b"", {})
    found = xiaomi.request(plan, Endpoint.MESSAGES, b"", {}, host=ams)
    paid = xiaomi.request(Secret(KEY), Endpoint.MESSAGES, b"", {})
    assert untested.url == "https://token-plan-sgp.xiaomimimo.com/v1/chat/completions"
    assert found.url == "https://token-plan-ams.xiaomimimo.com/anthropic/v1/messages"
    assert paid.url == "https://api.xiaomimimo.com/anthropic/v1/messages"
    assert paid.headers["api-key"] == KEY
    assert xiaomi.serves("mimo-v2.6-pro-ultraspeed", "")
    assert not xiaomi.serves("mimo-v2.6-pro-ultraspeed", ams)

    # No key goes round an address that the operator has put in Xiaomi's place.
    settings.MEGABRAIN_UPSTREAM_URLS = {"xiaomi": "http://127.0.0.1:9001/mimo"}
    assert xiaomi.test_hosts(plan) == ("",)
    proxied = xiaomi.request(plan, Endpoint.CHAT, b"", {})
    assert proxied.url == "http://127.0.0.1:9001/mimo/chat/completions"


def test_limits_of_a_key_are_shown_to_its_owner_only():
    limits = {
        "anthropic-ratelimit-tokens-remaining": "7",
        "anthropic-organization-id": "org",
        "request-id": "req_1",
        "retry-after": "3",
    }
    anthropic = provider("anthropic")

    assert set(anthropic.returned(limits, own_key=False)) == {"request-id", "retry-after"}
    assert set(anthropic.returned(limits, own_key=True)) == {
        "anthropic-ratelimit-tokens-remaining",
        "request-id",
        "retry-after",
    }
    openai = {"x-ratelimit-remaining-tokens": "7", "openai-organization": "org"}
    assert provider("openai").returned(openai, own_key=False) == {}
    assert set(provider("openai").returned(openai, own_key=True)) == {
        "x-ratelimit-remaining-tokens"
    }


def classified(id_: str, status: int, message: str, headers=None, **error) -> Outcome:
    body = json.dumps({"error": {"message": message, **error}}).encode()
    return provider(id_).classify(status, headers or {}, body).outcome


def test_a_reference_that_openai_did_not_keep_is_the_requests_fault():
    kept = "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false."

    assert classified("openai", 404, kept) is Outcome.BAD_REQUEST
    assert classified("openai", 404, "The model `x` does not exist") is Outcome.MODEL_MISSING


def test_missing_scopes_are_no_access_with_either_status():
    words = "You have insufficient permissions. Missing scopes: model.request."

    assert classified("openai", 401, words) is Outcome.NO_ACCESS
    assert classified("openai", 403, words) is Outcome.NO_ACCESS


def test_a_fireworks_key_refused_with_403_is_rejected():
    assert classified("fireworks", 403, "no", code="UNAUTHORIZED") is Outcome.REJECTED
    assert classified("fireworks", 403, "no", code="FORBIDDEN") is Outcome.NO_ACCESS


def test_a_code_counts_before_a_status():
    assert classified("fireworks", 429, "no", code="insufficient_quota") is Outcome.NO_CREDIT
    assert classified("fireworks", 429, "no", code="quota") is Outcome.RATE_LIMITED
    assert classified("novita", 403, "no", code="invalid_api_key") is Outcome.REJECTED


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after-ms": "1200", "retry-after": "9"}, 1.2),
        ({"retry-after": "99999999"}, LONGEST_WAIT),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Mon, 99 Foo 2026 99:99:99 GMT"}, None),
        (
            {
                "retry-after": "Mon, 23 Nov 2026 10:00:30 GMT",
                "date": "Mon, 23 Nov 2026 10:00:00 GMT",
            },
            30,
        ),
        ({"retry-after": "Mon, 23 Nov 2020 10:00:30 GMT"}, 0),
    ],
)
def test_a_wait_is_read_in_each_of_its_forms(headers, seconds):
    assert retry_after(headers) == seconds


def test_a_wait_until_a_date_without_the_answers_own_is_counted_from_now():
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)

    seconds = retry_after({"retry-after": until})

    assert seconds is not None
    assert 55 <= seconds <= 60


@pytest.mark.parametrize(
    "pasted",
    [KEY, f"  {KEY}\n", f'"{KEY}"', f"'{KEY}'", f" “{KEY}” ", f"\ufeff{KEY}\u200b", f"`{KEY}`"],
)
def test_a_key_is_freed_of_what_came_along_when_copying(pasted):
    assert provider("openai").clean(pasted) == KEY


@pytest.mark.parametrize(
    ("pasted", "says"),
    [
        ("", "Paste the key"),
        ('""', "Paste the key"),
        (f"Bearer {KEY}", "Leave out the word “Bearer”"),
        (f"bearer{chr(9)}{KEY}", "Leave out the word “Bearer”"),
        (f"Authorization: Bearer {KEY}", "name of the header"),
        (f"x-api-key: {KEY}", "name of the header"),
        (f"export OPENAI_API_KEY={KEY}", "in front of the equals sign"),
        (f"OPENAI_API_KEY={KEY}", "in front of the equals sign"),
        (f"{KEY[:12]} {KEY[12:]}", "contains a space"),
        (f"{KEY[:12]}\n{KEY[12:]}", "line break"),
        (f"{KEY[:12]}\x00{KEY[12:]}", "invisible character"),
        (f"{KEY[:12]}\u200b{KEY[12:]}", "no key has"),
        (f"{KEY[:12]}é{KEY[12:]}", "no key has"),
        ("sk-ant-…wxyz", "shortened display"),
        ("sk-proj-***wxyz", "shortened display"),
        ("sk-" + "a" * MAX_LENGTH, "longer than 4,096"),
    ],
)
def test_what_cannot_be_a_key_is_refused_with_a_reason_that_repeats_none_of_it(pasted, says):
    with pytest.raises(UnusableSecret, match=says) as refusal:
        provider("openai").clean(pasted)

    assert "0123456789" not in str(refusal.value)
    assert "wxyz" not in str(refusal.value)


TAIL = "a1" * 40
GOOD = {
    "bedrock": json.dumps({"apiKey": f"ABSK{TAIL * 2}", "region": "us-east-1"}),
    "anthropic": f"sk-ant-api03-{TAIL}",
    "openai": f"sk-proj-{TAIL}",
    "deepseek": f"sk-{TAIL}",
    "fireworks": f"fw_{TAIL}",
    "novita": f"sk_{TAIL}",
    "google": f"AIza{TAIL[:35]}",
    "mistral": TAIL[:32],
    "xai": f"xai-{TAIL}",
    "minimax": f"sk-cp-{TAIL}",
    "moonshotai": f"sk-{TAIL}",
    "perplexity": f"pplx-{TAIL}",
    "inception": f"sk_{TAIL}",
    "xiaomi": f"tp-{TAIL}",
    "zai": f"{TAIL[:32]}.{TAIL[:16]}",
    "kimi-coding": f"sk-kimi-{TAIL}",
    "nvidia": f"nvapi-{TAIL}",
    "xiaomi-token-plan-sgp": f"tp-{TAIL}",
    "xiaomi-token-plan-ams": f"tp-{TAIL}",
    "zai-coding": f"{TAIL[:32]}.{TAIL[:16]}",
}


@pytest.mark.parametrize("id_", PROVIDERS)
def test_a_key_of_the_usual_shape_raises_no_doubt(id_):
    # Of most that are called directly no shape is known.
    assert provider(id_).warnings(GOOD.get(id_, TAIL)) == []


@pytest.mark.parametrize(
    ("id_", "pasted", "says"),
    [
        ("anthropic", f"sk-or-v1-{TAIL}", "an OpenRouter key, not an Anthropic one"),
        ("anthropic", f"sk-proj-{TAIL}", "an OpenAI key, not an Anthropic one"),
        ("openai", GOOD["anthropic"], "an Anthropic key, not an OpenAI one"),
        ("deepseek", GOOD["openai"], "an OpenAI key, not a DeepSeek one"),
        ("novita", f"fw_{TAIL}", "a Fireworks key, not a Novita one"),
        ("openai", f"gsk_{TAIL}", "a Groq key, not an OpenAI one"),
        ("openai", f"xai-{TAIL}", "an xAI key"),
        ("openai", f"nvapi-{TAIL}", "an NVIDIA key"),
        ("openai", f"mb-{TAIL}", "a MegaBrain API token"),
        ("anthropic", f"sk-ant-admin01-{TAIL}", "admin key"),
        ("anthropic", f"sk-ant-oat01-{TAIL}", "subscription"),
        ("openai", f"sk-admin-{TAIL}", "admin key"),
        ("novita", f"sk-{TAIL}", "does not look like a Novita key"),
        ("fireworks", "short", "does not look like a Fireworks key"),
        ("mistral", f"sk-{TAIL}", "does not look like a Mistral AI key: those are 32 letters"),
        ("xai", f"sk-{TAIL}", "does not look like an xAI key"),
        ("google", f"sk-{TAIL}", "does not look like a Google AI Studio key"),
        ("openai", GOOD["google"], "a Google AI Studio key, not an OpenAI one"),
        ("deepseek", GOOD["minimax"], "a MiniMax key, not a DeepSeek one"),
        ("moonshotai", f"sk-kimi-{TAIL}", "a Kimi Code plan"),
    ],
)
def test_a_doubtful_key_gets_one_warning_that_repeats_none_of_it(id_, pasted, says):
    (warning,) = provider(id_).warnings(pasted)

    assert says in warning
    assert TAIL not in warning
