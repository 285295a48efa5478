"""What AWS lists in a region: its foundation models, and the inference profiles they go by.

A model that is only called through a profile is listed by that, and so once for all groups of
regions: under the id that stands for whichever is called there.
"""

import re
from collections.abc import Container
from typing import Any

from byok.providers.anthropic import named
from byok.providers.bedrock.regions import GEO, GROUPS, bare
from byok.providers.listing import (
    Entry,
    Listed,
    Page,
    below,
    cursor,
    day,
    id_in,
    items,
    read_each,
    strings,
)

#: Asks for the profiles, which come after the models; with a token behind it for more of them.
PROFILES = "profiles:"

#: Those of which it is certain what their vendors call them (providers.md § 16).
_CLAUDE = re.compile(r"anthropic\.(claude-[a-z]+-\d{1,2}(?:-\d{1,2})?)")
_GPT = re.compile(r"openai\.(gpt-(?:5\.6|6(?:\.\d)?)-[a-z]+)")


def read(answer: Any) -> Page:  # Any: JSON.
    """One page, of models or of profiles. Raises UnreadableList."""
    if below(answer, "inferenceProfileSummaries") is None:
        page = read_each(items(answer, "modelSummaries"), _model)
        return Page(page.models, PROFILES)
    profiles = items(answer, "inferenceProfileSummaries")
    called: dict[str, list[str]] = {}
    for entry in profiles:
        id_ = id_in(entry, "inferenceProfileId")
        # Profiles of a customer's own have ids without a group.
        if id_.partition(".")[0] in GROUPS and entry.get("status", "ACTIVE") == "ACTIVE":
            called.setdefault(GEO + bare(id_), []).append(id_)
    token = cursor(below(answer, "nextToken"))
    return Page(
        tuple(Listed(id_, aliases=tuple(dict.fromkeys(ids))) for id_, ids in called.items()),
        PROFILES + token if token else None,
    )


def _model(entry: Entry) -> Listed | None:
    """A foundation model, where it can be called by its own id."""
    id_, ways = id_in(entry, "modelId"), strings(entry.get("inferenceTypesSupported"))
    if ways is not None and "ON_DEMAND" not in ways:
        return None
    writes = strings(entry.get("outputModalities"))
    return Listed(
        id_,
        writes_text=None if writes is None else "TEXT" in writes,
        retires_on=day(below(entry, "modelLifecycle", "endOfLifeTime")),
    )


def canonical(upstream_id: str) -> str | None:
    """Our id of a model, where its vendor certainly calls it so, too."""
    model = bare(upstream_id)
    if found := _CLAUDE.fullmatch(model):
        return named(found[1])
    if found := _GPT.fullmatch(model):
        return f"openai/{found[1]}"
    return None


def have(upstream_id: str, listed: Container[str]) -> bool:
    """Whether a list has what an upstream id stands for: itself, or a profile of any group."""
    model = bare(upstream_id)
    if upstream_id in listed:
        return True
    return model != upstream_id and (
        GEO + model in listed
        or (upstream_id.startswith(GEO) and any(f"{each}.{model}" in listed for each in GROUPS))
    )
