"""Moonshot AI: Kimi over Chat Completions, and Messages beside them, on two hosts.

The company has one host for China and one for the rest of the world, with accounts and keys of
their own that look alike. A test finds out which of them a key belongs to.
"""

from byok.providers import chat_fields, quirks
from byok.providers.base import Endpoint, Fields, Outcome, Probe, Provider, Rule
from byok.providers.listing import Entry, Listed, flag, flags_as, id_in, tokens
from byok.vault import Secret

CHINA = "moonshotai-cn"

#: Older models, whose sampling a caller may choose, and which do not want their reasoning back.
_FREE = ("moonshot-v1", "kimi-k2-")
FIXED = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
UNKNOWN = ("seed", "top_k")
#: What clients of OpenRouter add to a Chat request.
_OPENROUTERS = chat_fields.EXTRAS - {"reasoning", "thinking"}
#: The ones that let a caller choose whether they think.
_SWITCHES = "kimi-k2.6"
#: The ones that let a caller choose how much.
_WITH_EFFORT = "kimi-k3"
_EFFORTS = ("low", "high", "max")
#: The ones that cannot be told that they must call a tool. Uncertain: whether they can be told
#: which one.
_NEVER_FORCED = ("kimi-k2.6", "kimi-k2.7")
_DISABLED = {"type": "disabled"}


class MoonshotAI(Provider):
    def read_entry(self, entry: Entry) -> Listed:
        return Listed(
            id_in(entry),
            context=tokens(entry.get("context_length")),
            # All of its models call tools, and no entry says so.
            capabilities=flags_as(
                {
                    "tools": True,
                    "vision": flag(entry.get("supports_image_in")),
                    "reasoning": flag(entry.get("supports_reasoning")),
                }
            ),
            writes_text=True,
        )

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        if not model.startswith(_FREE):
            fields = quirks.without(fields, *FIXED)
        fields = quirks.without(fields, *UNKNOWN)
        fields = chat_fields.limit_as(fields, "max_tokens", max_output)
        if model.startswith(_NEVER_FORCED):
            fields = _unforced(fields, endpoint)
        if endpoint is Endpoint.MESSAGES:
            return fields
        fields = _thinking(quirks.without(fields, *_OPENROUTERS), model)
        if not model.startswith(_FREE):
            fields = with_reasoning(fields)
        return quirks.no_developer(fields)

    def remark(self, secret: Secret, host: str) -> str:
        return "It is a key of the host for China, api.moonshot.cn." if host == CHINA else ""


def _unforced(fields: Fields, endpoint: Endpoint) -> Fields:
    """The fields with an instruction in place of the demand that a tool be called."""
    if endpoint is Endpoint.CHAT:
        return chat_fields.call_as_instruction(fields, "auto")
    words, choice = chat_fields.call_wanted(fields), quirks.value(fields, "tool_choice")
    if not words or not isinstance(choice, dict):
        return fields
    if "name" in choice:
        fields = chat_fields.only_chosen_tool(fields)
    kept = {name: each for name, each in choice.items() if name != "name"}
    return _with_system(quirks.put(fields, "tool_choice", {**kept, "type": "auto"}), words)


def _with_system(fields: Fields, words: str) -> Fields:
    """A Messages body with a sentence of ours at the end of its system prompt."""
    said = quirks.value(fields, "system")
    if not isinstance(said, list):
        said = [{"type": "text", "text": said}] if said else []
    return quirks.put(fields, "system", [*said, {"type": "text", "text": words}])


def _thinking(fields: Fields, model: str) -> Fields:
    if model.startswith(_WITH_EFFORT):
        return chat_fields.effort_as(fields, _EFFORTS)
    if model.startswith(_SWITCHES):
        return chat_fields.thinking_as_switch(fields, kept=("type", "keep"))
    return quirks.without(fields, "reasoning_effort", "reasoning", "thinking")


def with_reasoning(fields: Fields) -> Fields:
    """The fields with a place for the reasoning of every message that called tools.

    A model that thinks refuses a history without it, and most callers do not keep it.
    """
    thinks = quirks.value(fields, "thinking") != _DISABLED
    if not thinks or not chat_fields.reasoning_is_lost(fields):
        return fields
    return quirks.each(fields, "messages", _reasoned)


def _reasoned(message: Fields) -> Fields:
    called = quirks.value(message, "tool_calls")
    kept = isinstance(quirks.value(message, "reasoning_content"), str)
    return message if kept or not called else quirks.put(message, "reasoning_content", "")


PROVIDER = MoonshotAI(
    id="moonshotai",
    name="Moonshot AI",
    base_url="https://api.moonshot.ai/v1",
    hosts={CHINA: "https://api.moonshot.cn/v1"},
    console_url="https://platform.kimi.ai/console/api-keys",
    endpoints={
        Endpoint.CHAT: "/chat/completions",
        Endpoint.MESSAGES: "/../anthropic/v1/messages",
    },
    models_path="/models",
    vendor="moonshotai",
    probes=(
        Probe("kimi-k2.6", {"max_tokens": 1, "thinking": _DISABLED}),
        Probe("kimi-k2.7-code", {"max_tokens": 1}),
        Probe("kimi-k3.1-pro", {"max_tokens": 1}),
    ),
    placeholder="sk-…",
    key_pattern=r"^sk-[A-Za-z0-9_-]{20,}$",
    key_prefixes=("sk-",),
    key_note=(
        "Keys of api.moonshot.ai and of api.moonshot.cn both work; the test of the key finds out "
        "which kind it is. Keys of a Kimi Code plan do not."
    ),
    # Uncertain: how the keys of that plan begin.
    unfit_prefixes={
        "sk-kimi-": (
            "This looks like a key of a Kimi Code plan, which Moonshot AI's own API does not take. "
            "Add it for Kimi Code instead."
        )
    },
    returns=("retry-after",),
    returns_to_key_owner=("x-ratelimit-*",),
    usage_option=True,
    wants_reasoning=True,
    error_rules=(
        Rule(Outcome.REJECTED, 401, code="invalid_authentication_error"),
        Rule(Outcome.REJECTED, 401, code="incorrect_api_key_error"),
        Rule(Outcome.NO_ACCESS, 403, code="permission_denied_error"),
        Rule(Outcome.MODEL_MISSING, 404, code="resource_not_found_error"),
        # A 429 has three meanings, told apart by its type alone. Uncertain: whether an empty
        # balance may also come with 403.
        Rule(Outcome.NO_CREDIT, code="exceeded_current_quota_error"),
        Rule(Outcome.RATE_LIMITED, code="rate_limit_reached_error"),
        Rule(Outcome.OVERLOADED, code="engine_overloaded_error"),
        Rule(Outcome.BAD_REQUEST, 400, contains="token limit", context_too_long=True),
    ),
)
