"""Anthropic: the Messages API."""

import re

from byok.providers.base import API_KEY, Endpoint, Fields, Outcome, Probe, Provider, Rule
from byok.providers.listing import (
    Entry,
    Listed,
    Page,
    UnreadableList,
    below,
    cursor,
    day,
    decoded,
    flag,
    flags_as,
    id_in,
    items,
    read_each,
    text,
    tokens,
)
from byok.providers.quirks import within

#: Ids say the version with a hyphen where ours have a point. One with a date behind is a model of
#: its own, under that very name.
_VERSIONED = re.compile(r"(claude-[a-z]+)-(\d{1,2})-(\d{1,2})")


def named(name: str) -> str:
    """Our id for a model of Anthropic's, from its name there or in a list of a cloud's."""
    found = _VERSIONED.fullmatch(name)
    return f"anthropic/{found[1]}-{found[2]}.{found[3]}" if found else f"anthropic/{name}"


class Anthropic(Provider):
    def read_list(self, body: bytes) -> Page:
        answer = decoded(body)
        page = read_each(items(answer), self.read_entry)
        if below(answer, "has_more") is not True:
            return page
        after = cursor(below(answer, "last_id"))
        if after is None:
            raise UnreadableList("The answer says there are more models and not behind which.")
        return Page(page.models, after)

    def read_entry(self, entry: Entry) -> Listed:
        can = entry.get("capabilities")
        return Listed(
            id_in(entry),
            name=text(entry.get("display_name")),
            context=tokens(entry.get("max_input_tokens")),
            max_output=tokens(entry.get("max_tokens")),
            # All of its models call tools, and no entry says so.
            capabilities=flags_as(
                {
                    "tools": True,
                    "vision": flag(below(can, "image_input", "supported")),
                    "reasoning": flag(below(can, "thinking", "supported")),
                }
            ),
            writes_text=True,
            released_on=day(entry.get("created_at")),
        )

    def canonical(self, upstream_id: str) -> str | None:
        return named(upstream_id) if super().canonical(upstream_id) else None

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        # Clients that do not know a model ask it for as much as the largest ones give.
        return within(fields, "max_tokens", None, max_output)


PROVIDER = Anthropic(
    id="anthropic",
    name="Anthropic",
    base_url="https://api.anthropic.com",
    console_url="https://platform.claude.com/settings/keys",
    endpoints={
        Endpoint.MESSAGES: "/v1/messages",
        Endpoint.COUNT_TOKENS: "/v1/messages/count_tokens",
    },
    models_path="/v1/models?limit=1000",
    after_parameter="after_id",
    vendor="anthropic",
    probes=(
        Probe("claude-haiku-5-5", {"max_tokens": 1}, Endpoint.MESSAGES),
        Probe("claude-haiku-4-5-20251001", {"max_tokens": 1}, Endpoint.MESSAGES),
        Probe("claude-sonnet-5", {"max_tokens": 1}, Endpoint.MESSAGES),
    ),
    placeholder="sk-ant-…",
    key_pattern=r"^sk-ant-api03-[A-Za-z0-9_-]{20,}$",
    key_prefixes=("sk-ant-api03-", "sk-ant-"),
    unfit_prefixes={
        "sk-ant-admin": (
            "This is an Anthropic admin key. It manages an organization and cannot call models; "
            "create an API key, which begins with sk-ant-api03-."
        ),
        "sk-ant-api01-": (
            "This is an Anthropic enterprise admin key, which cannot call models; create an API "
            "key, which begins with sk-ant-api03-."
        ),
        "sk-ant-oat": (
            "This is a token of a Claude subscription, which works only in Anthropic's own "
            "clients; create an API key, which begins with sk-ant-api03-."
        ),
    },
    auth=API_KEY,
    # Anthropic's newer SDKs send a later version, under which other rules hold: theirs goes on.
    default_headers={"anthropic-version": "2023-06-01"},
    forwards=("anthropic-*", "x-claude-code-*", "x-app"),
    takes_attribution=True,
    # Whose workspace is used is a matter of the key; another one's would make a good key fail.
    withholds=("anthropic-workspace-id",),
    returns=("request-id", "retry-after"),
    returns_to_key_owner=("anthropic-ratelimit-*",),
    error_rules=(
        Rule(Outcome.REJECTED, 401, code="authentication_error"),
        Rule(Outcome.NO_ACCESS, 403, code="permission_error"),
        Rule(Outcome.MODEL_MISSING, 404, code="not_found_error"),
        # Only its message tells an empty balance from a malformed request.
        Rule(Outcome.NO_CREDIT, 400, "invalid_request_error", "credit balance is too low"),
        Rule(Outcome.NO_CREDIT, 400, "invalid_request_error", "usage limits"),
        Rule(Outcome.NO_CREDIT, 402, code="billing_error"),
        # The monthly cap of a tier comes without a time to come back, unlike a rate limit.
        Rule(Outcome.NO_CREDIT, 429, code="rate_limit_error", without_header="retry-after"),
        Rule(Outcome.RATE_LIMITED, 429, code="rate_limit_error"),
        Rule(Outcome.OVERLOADED, 529, code="overloaded_error"),
        Rule(
            Outcome.BAD_REQUEST,
            400,
            "invalid_request_error",
            "prompt is too long",
            context_too_long=True,
        ),
        Rule(Outcome.BAD_REQUEST, 413, code="request_too_large", context_too_long=True),
    ),
)
