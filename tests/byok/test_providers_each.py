"""What is particular to one provider, and to reading waits and keys."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

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
    "anthropic": f"sk-ant-api03-{TAIL}",
    "openai": f"sk-proj-{TAIL}",
    "deepseek": f"sk-{TAIL}",
    "fireworks": f"fw_{TAIL}",
    "novita": f"sk_{TAIL}",
}


@pytest.mark.parametrize("id_", PROVIDERS)
def test_a_key_of_the_usual_shape_raises_no_doubt(id_):
    assert provider(id_).warnings(GOOD[id_]) == []


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
    ],
)
def test_a_doubtful_key_gets_one_warning_that_repeats_none_of_it(id_, pasted, says):
    (warning,) = provider(id_).warnings(pasted)

    assert says in warning
    assert TAIL not in warning
