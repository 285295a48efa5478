"""The headers of a request: of those that turn something on, the ones that cost nothing apart."""

import re
from collections.abc import Mapping

#: Beginnings of headers by which Anthropic and OpenAI are asked for more than is in the body.
_TURN_ON = ("anthropic-", "openai-", "x-openai-")
_HARMLESS = frozenset(
    {
        "anthropic-version",
        "anthropic-dangerous-direct-browser-access",
        # Codex says by it, with every call, that its tools are among the input.
        "x-openai-internal-codex-responses-lite",
    }
)
_BETAS = "anthropic-beta"
#: What agents ask for by themselves, and what is billed as tokens, at the same price. Not a longer
#: context and quick answers, which are dearer, nor what keeps something or runs at the provider.
_SOLD = frozenset(
    """claude-code claude-code-side-query
    interleaved-thinking adaptive-thinking redact-thinking thinking-token-count
    thinking-display-updates thinking-binding-controls effort per-turn-control task-budgets
    fine-grained-tool-streaming token-efficient-tools tool-examples advanced-tool-use
    tool-search-tool dangerous-tool-use structured-outputs
    prompt-caching prompt-caching-scope extended-cache-ttl context-management token-counting
    mid-conversation-system mid-conversation-system-clear-at mid-conversation-output-config
    mid-conversation-tool-changes pdfs output-128k computer-use""".split()  # noqa: SIM905 (one name a line would fill the page)
)
_DATED = re.compile(r"-\d{4}-?\d{2}-?\d{2}")


def sold_headers(headers: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The headers as they go along with MegaBrain's own keys, and the names of what was left out.

    `headers` have lower-case names.
    """
    kept, left_out = dict(headers), []
    for name in headers:
        if name.startswith(_TURN_ON) and name not in (*_HARMLESS, _BETAS):
            del kept[name]
            left_out.append(name)
    asked = [beta.strip() for beta in kept.pop(_BETAS, "").split(",") if beta.strip()]
    left_out += [beta for beta in asked if not _is_sold(beta)]
    if betas := ",".join(filter(_is_sold, asked)):
        kept[_BETAS] = betas
    return kept, left_out


def _is_sold(beta: str) -> bool:
    return _DATED.sub("", beta) in _SOLD
