"""Catalogues that others publish: models.dev's `api.json`, and lists as OpenRouter has them.

A feed tells of providers by names of its own. Those of these tables are ours, each for certain;
what it tells of anybody else is left out. It says what a model is and costs, never that a provider
does not have it.
"""

from collections.abc import Mapping
from typing import Any

from byok.providers.bedrock.regions import GEO, bare
from byok.providers.listing import (
    DOLLARS_A_MILLION,
    DOLLARS_A_TOKEN,
    Entry,
    Listed,
    ListedRate,
    UnreadableList,
    below,
    day,
    decoded,
    flag,
    flags_as,
    id_in,
    items,
    priced,
    rate,
    rates,
    strings,
    text,
    tokens,
    written,
)

#: What models.dev calls our providers.
MODELS_DEV: Mapping[str, str] = {
    "alibaba-token-plan": "alibaba-token-plan",
    "amazon-bedrock": "bedrock",
    "anthropic": "anthropic",
    "chutes": "chutes",
    "deepseek": "deepseek",
    "fireworks-ai": "fireworks",
    "google": "google",
    "inception": "inception",
    "inceptron": "inceptron",
    "kimi-for-coding": "kimi-coding",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshotai": "moonshotai",
    "morph": "morph",
    "novita-ai": "novita",
    "nvidia": "nvidia",
    "ollama-cloud": "ollama-cloud",
    "openai": "openai",
    "opencode-go": "opencode-go",
    "perplexity-agent": "perplexity",
    "synthetic": "synthetic",
    "xai": "xai",
    "xiaomi": "xiaomi",
    "xiaomi-token-plan-ams": "xiaomi-token-plan-ams",
    "xiaomi-token-plan-sgp": "xiaomi-token-plan-sgp",
    "zai": "zai",
    "zai-coding-plan": "zai-coding",
}
#: Which of our providers makes the models that OpenRouter lists under a prefix. It uses ours.
OPENROUTER: Mapping[str, str] = {
    "anthropic": "anthropic",
    "deepseek": "deepseek",
    "google": "google",
    "inception": "inception",
    "minimax": "minimax",
    "mistralai": "mistral",
    "moonshotai": "moonshotai",
    "openai": "openai",
    "perplexity": "perplexity",
    "x-ai": "xai",
    "xiaomi": "xiaomi",
    "z-ai": "zai",
}
#: Models of these are sold by others too, or at several prices: what OpenRouter asks for them is
#: not what their maker does.
_OPEN = frozenset({"deepseek", "minimax", "mistralai", "moonshotai", "xiaomi", "z-ai"})
_OPEN_WEIGHTS = ("google/gemma", "openai/gpt-oss")

Told = dict[str, tuple[Listed, ...]]


def read(body: bytes) -> Told:
    """By our provider's id, what the feed tells of its models. Raises UnreadableList."""
    answer = decoded(body)
    if isinstance(answer, dict) and isinstance(answer.get("data"), list):
        told = _openrouter(answer)
    else:
        told = _models_dev(answer)
    if not any(told.values()):
        raise UnreadableList("The answer tells of none of the providers that are known here.")
    return told


# Any: JSON of others.


def _models_dev(answer: Any) -> Told:
    if not isinstance(answer, dict) or not any(
        isinstance(below(answer, name, "models"), dict) for name in MODELS_DEV
    ):
        raise UnreadableList("The answer has neither the form of models.dev nor of OpenRouter.")
    told: Told = {}
    for name, ours in MODELS_DEV.items():
        found: dict[str, Listed] = {}
        models = below(answer, name, "models") or {}
        if not isinstance(models, dict):
            raise UnreadableList(f"What it tells of {ours} is no object.")
        for key, entry in models.items():
            if not isinstance(entry, dict):
                raise UnreadableList(f"What it tells of a model of {ours} is no object.")
            model = _model(ours, id_in({"id": entry.get("id", key)}), entry)
            if model is not None:
                found.setdefault(model.id, model)
        told[ours] = tuple(found.values())
    return told


def _model(provider: str, id_: str, entry: Entry) -> Listed | None:
    """None for what its maker has given up, and for what is told of one region."""
    if entry.get("status") == "deprecated":
        return None
    aliases: tuple[str, ...] = ()
    found = rates(*_tiers(entry.get("cost")))
    if provider == "bedrock":
        if bare(id_) != id_:
            return None
        # The price of a region is not that of all.
        id_, aliases, found = GEO + id_, (id_,), ()
    reads = strings(below(entry, "modalities", "input"))
    calls = entry.get("tool_call")
    return Listed(
        id_,
        name=text(entry.get("name")),
        context=tokens(below(entry, "limit", "context")),
        max_output=tokens(below(entry, "limit", "output")),
        capabilities=flags_as(
            {
                "tools": flag(below(calls, "supported") if isinstance(calls, dict) else calls),
                "vision": None if reads is None else "image" in reads,
                "reasoning": flag(entry.get("reasoning")),
            }
        ),
        writes_text=written(id_, below(entry, "modalities", "output")),
        rates=found,
        released_on=day(entry.get("release_date")),
        aliases=aliases,
    )


def _tiers(cost: Any) -> list[ListedRate | None]:
    """The price for all prompts, and those for long ones."""
    if not isinstance(cost, dict):
        return []
    found = [_cost(cost)]
    if cost.get("context_over_200k") is not None and not cost.get("tiers"):
        found.append(_cost(cost["context_over_200k"], 200_000))
    for tier in cost.get("tiers") or ():
        size = tokens(below(tier, "tier", "size"))
        found.append(_cost(tier, size) if size else None)
    return found


def _cost(cost: Any, above_tokens: int = 0) -> ListedRate | None:
    return rate(
        DOLLARS_A_MILLION,
        input=below(cost, "input"),
        output=below(cost, "output"),
        cache_read=below(cost, "cache_read"),
        cache_write=below(cost, "cache_write"),
        above_tokens=above_tokens,
    )


def _openrouter(answer: Any) -> Told:
    told: dict[str, dict[str, Listed]] = {}
    for entry in items(answer):
        id_ = id_in(entry)
        prefix, _, name = id_.lower().partition("/")
        # What is behind a colon is the same model on other terms.
        if prefix not in OPENROUTER or not name or ":" in name:
            continue
        model = _routed(id_, prefix, entry)
        known = told.setdefault(OPENROUTER[prefix], {}).setdefault(id_, model)
        if known != model:
            raise UnreadableList("The answer tells two things of one model.")
    return {provider: tuple(models.values()) for provider, models in told.items()}


def _routed(id_: str, prefix: str, entry: Entry) -> Listed:
    """What is told of a model is known by our id of it: its maker's own is not."""
    reads = strings(below(entry, "architecture", "input_modalities"))
    takes = strings(entry.get("supported_parameters"))
    served_by_maker = prefix not in _OPEN and not id_.lower().startswith(_OPEN_WEIGHTS)
    return Listed(
        id_,
        context=tokens(entry.get("context_length")),
        max_output=tokens(below(entry, "top_provider", "max_completion_tokens"))
        if served_by_maker
        else None,
        capabilities=flags_as(
            {
                "tools": None if takes is None else "tools" in takes,
                "vision": None if reads is None else "image" in reads,
                "reasoning": None if takes is None else "reasoning" in takes,
            }
        ),
        writes_text=written(id_, below(entry, "architecture", "output_modalities")),
        rates=priced(entry.get("pricing"), DOLLARS_A_TOKEN) if served_by_maker else (),
        retires_on=day(entry.get("expiration_date")) if served_by_maker else None,
        model=id_.lower(),
    )
