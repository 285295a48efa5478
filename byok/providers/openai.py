"""OpenAI: Chat Completions and Responses."""

from byok.providers.base import Endpoint, Outcome, Probe, Provider, Rule

PROVIDER = Provider(
    id="openai",
    name="OpenAI",
    base_url="https://api.openai.com/v1",
    console_url="https://platform.openai.com/api-keys",
    endpoints={
        Endpoint.CHAT: "/chat/completions",
        Endpoint.RESPONSES: "/responses",
    },
    models_path="/models",
    # A restricted key is refused the list and may still call models.
    list_proves_key=False,
    probes=(
        Probe("gpt-6-luna", {"max_completion_tokens": 16, "reasoning_effort": "none"}),
        # Uncertain: which efforts these two take; another refused option only moves the test on.
        Probe("gpt-5-nano", {"max_completion_tokens": 16, "reasoning_effort": "minimal"}),
        Probe("gpt-4.1-nano", {"max_completion_tokens": 16}),
    ),
    placeholder="sk-…",
    key_pattern=r"^sk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{20,}$",
    key_prefixes=("sk-proj-", "sk-svcacct-", "sk-"),
    unfit_prefixes={
        "sk-admin-": (
            "This is an OpenAI admin key. It manages an organization and cannot call models; "
            "create a project key, which begins with sk-proj-."
        ),
    },
    # Not openai-organization and openai-project: an SDK takes them from the caller's own
    # environment, and the wrong one makes a good key fail for everybody who shares it.
    forwards=(
        "openai-beta",
        "x-openai-*",
        "x-codex-*",
        "originator",
        "session-id",
        "session_id",
        "thread-id",
        "x-client-request-id",
    ),
    returns=("x-request-id", "openai-processing-ms", "retry-after", "retry-after-ms", "x-codex-*"),
    returns_to_key_owner=("x-ratelimit-*",),
    usage_option=True,
    error_rules=(
        Rule(Outcome.REJECTED, 401, code="invalid_api_key"),
        # Seen with 401 and with 403, and with or without the code.
        Rule(Outcome.NO_ACCESS, contains="missing scopes"),
        Rule(Outcome.NO_ACCESS, 401, code="ip_not_authorized"),  # Uncertain: the code's name.
        Rule(Outcome.NO_ACCESS, 403, code="unsupported_country_region_territory"),
        Rule(Outcome.MODEL_MISSING, 404, code="model_not_found"),
        # A reference to something OpenAI did not keep is a fault of the request.
        Rule(Outcome.BAD_REQUEST, code="previous_response_not_found"),
        Rule(Outcome.BAD_REQUEST, 404, contains="item with id"),
        # The same status as a rate limit, and waiting does not help.
        Rule(Outcome.NO_CREDIT, 429, code="insufficient_quota"),
        Rule(Outcome.RATE_LIMITED, 429, code="rate_limit_exceeded"),
        Rule(Outcome.OVERLOADED, 503),
        Rule(Outcome.BAD_REQUEST, 400, code="context_length_exceeded", context_too_long=True),
        Rule(Outcome.BAD_REQUEST, 400, code="unsupported_parameter"),
        Rule(Outcome.BAD_REQUEST, 400, code="unsupported_value"),
    ),
)
