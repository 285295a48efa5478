"""DeepSeek: Chat Completions, and Messages beside them."""

from byok.providers.base import API_KEY, Endpoint, Outcome, Probe, Provider, Rule

PROVIDER = Provider(
    id="deepseek",
    name="DeepSeek",
    base_url="https://api.deepseek.com",
    console_url="https://platform.deepseek.com/api_keys",
    endpoints={
        Endpoint.CHAT: "/chat/completions",
        Endpoint.MESSAGES: "/anthropic/v1/messages",
    },
    models_path="/models",
    probes=(
        Probe("deepseek-flash", {"max_tokens": 1, "thinking": {"type": "disabled"}}),
        Probe("deepseek-chat", {"max_tokens": 1}),
    ),
    placeholder="sk-…",
    key_pattern=r"^sk-[A-Za-z0-9]{20,}$",
    key_prefixes=("sk-",),
    auth_at={Endpoint.MESSAGES: API_KEY},
    returns=("retry-after",),
    usage_option=True,
    error_rules=(
        # Its message repeats the last four characters of the key.
        Rule(Outcome.REJECTED, 401, code="authentication_error"),
        Rule(Outcome.NO_CREDIT, 402, contains="insufficient balance"),
        Rule(Outcome.MODEL_MISSING, 400, contains="supported api model names"),
        Rule(Outcome.BAD_REQUEST, 422),
        Rule(Outcome.RATE_LIMITED, 429),
        Rule(Outcome.OVERLOADED, 503),
        Rule(Outcome.BAD_REQUEST, 400, contains="maximum context length", context_too_long=True),
    ),
)
