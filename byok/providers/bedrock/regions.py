"""The regions of AWS, and under which id a model is called in each.

A region becomes part of the host that a key is sent to, so only these are ever put there.
Sources: AWS's endpoint data; for the profiles, providers.md § 4.9 and the lists of public clients.
"""

from collections.abc import Mapping
from itertools import chain

REGIONS = frozenset(
    """af-south-1
    ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2
    ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6
    ap-southeast-7
    ca-central-1 ca-west-1
    eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3
    il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1
    us-east-1 us-east-2 us-gov-east-1 us-gov-west-1 us-west-1 us-west-2""".split()  # noqa: SIM905 (one name a line would fill the page)
)

#: Stands in an upstream id for the group of regions whose inference profile is called.
GEO = "{geo}."

#: Groups of single regions. An older model has a profile for all of the Asian ones alone.
_SINGLE: Mapping[str, tuple[str, ...]] = {
    "ap-northeast-1": ("jp", "apac", "global"),
    "ap-northeast-3": ("jp", "apac", "global"),
    "ap-southeast-2": ("au", "apac", "global"),
    "ap-southeast-4": ("au", "apac", "global"),
}
#: By the beginning of a region, the longest first. The nearest group comes first: data stays there.
_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("us-gov-", ("us-gov",)),
    ("us-", ("us", "global")),
    ("ca-", ("ca", "global")),
    ("eu-", ("eu", "global")),
    ("ap-", ("apac", "global")),
    ("sa-", ("sa", "global")),
    ("", ("global",)),
)

_ALL_GROUPS = sorted({*chain(*_SINGLE.values()), *chain(*(groups for _, groups in _GROUPS))})
#: By one of which the id of a profile begins.
GROUPS = frozenset(_ALL_GROUPS)

_EVERYWHERE = ("us", "eu", "jp", "au", "global")
_WEST = ("us", "eu", "global")
_US = ("us", "global")
#: Which profiles a model has. For one that is not listed, the nearest group is assumed to be there.
_PROFILES: Mapping[str, tuple[str, ...]] = {
    "anthropic.claude-fable-5-2": ("us",),
    "anthropic.claude-fable-5-1": _WEST,
    "anthropic.claude-fable-5": _WEST,
    "anthropic.claude-opus-5-5": _WEST,
    "anthropic.claude-opus-5": _EVERYWHERE,
    "anthropic.claude-opus-4-8": _EVERYWHERE,
    "anthropic.claude-sonnet-5-5": _US,
    "anthropic.claude-sonnet-5": _EVERYWHERE,
    "anthropic.claude-sonnet-4-6": _EVERYWHERE,
    "anthropic.claude-haiku-5-5": _EVERYWHERE,
    "anthropic.claude-haiku-4-5-20251001-v1:0": _EVERYWHERE,
    "openai.gpt-6-astra": _US,
    "openai.gpt-6.1-sol": _US,
    "openai.gpt-6.1-terra": _US,
    "openai.gpt-6-luna": _US,
    "openai.gpt-6-sol": _US,
    "openai.gpt-5.6-terra": _US,
    "openai.gpt-5.6-sol": _US,
    "openai.gpt-5.6-luna": _US,
    "amazon.nova-pro-v1:0": ("us", "eu", "apac"),
    "amazon.nova-micro-v1:0": ("us", "eu", "apac"),
    "amazon.nova-2-lite-v1:0": ("us", "eu", "jp", "global"),
    "meta.llama3-3-70b-instruct-v1:0": ("us",),
}


def model_in(region: str, upstream_id: str) -> str:
    """The id to call in a region: the nearest profile that there is, or else the bare model."""
    if not upstream_id.startswith(GEO):
        return upstream_id
    bare = upstream_id.removeprefix(GEO)
    near = _near(region)
    known = _PROFILES.get(bare, near)
    found = next((group for group in near if group in known), None)
    return f"{found}.{bare}" if found else bare


def bare(upstream_id: str) -> str:
    """An id without the group of regions in front, if there is one."""
    group, _, rest = upstream_id.partition(".")
    return rest if group in GROUPS or upstream_id.startswith(GEO) else upstream_id


def in_all_groups(upstream_id: str) -> tuple[str, ...]:
    """The ids by which a caller may mean it: the bare model, and the profile of each group."""
    if not upstream_id.startswith(GEO):
        return (upstream_id,)
    bare = upstream_id.removeprefix(GEO)
    return (bare, *(f"{group}.{bare}" for group in _ALL_GROUPS))


def _near(region: str) -> tuple[str, ...]:
    if region in _SINGLE:
        return _SINGLE[region]
    return next(groups for start, groups in _GROUPS if region.startswith(start))
