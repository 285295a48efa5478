"""How the name that a caller sends finds a model."""

import difflib
import heapq
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping

from byok.models import CatalogModel, Offering
from byok.providers import PROVIDERS
from byok.providers.bedrock.regions import GEO, in_all_groups

LONGEST_NAME = 120
#: Nothing is called by a longer name: a vendor, a slash and what some provider calls it.
LONGEST_SPELLING = 500
#: So many of the names that share most with a misspelt one are compared with it letter by letter.
CLOSER_LOOKS = 32

_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])[.-](?=[0-9])")


class Spellings(dict[str, str]):
    """Every spelling by which a model may be asked for, in small letters, with the id it means."""

    def __init__(self, exact: Mapping[str, str], loose: Mapping[str, str]) -> None:
        super().__init__(exact)
        #: Asked when nothing is spelt exactly so: with a dash for each dot between digits.
        self.loose = loose
        #: The ids in whose names these three letters follow each other. Gathered at once, for
        #: whoever asks for them has no time for it.
        self.by_letters: Mapping[str, list[str]] = _by_letters(dict.fromkeys(self.values()))


def direct_entries() -> set[str]:
    """Ids of the models that are offered only directly.

    Their keys are never spent by accident: no shorter name means such an entry, and what a provider
    offers directly serves no other model.
    """
    return set(CatalogModel.objects.offered_only_directly().values_list("pk", flat=True))


def all_spellings() -> Spellings:
    """Those of all models in the database, whether or not somebody serves them."""
    names = {pk: list(aliases) for pk, aliases in CatalogModel.objects.values_list("pk", "aliases")}
    indirect = Offering.objects.filter(direct=False)
    for model_id, upstream_id in indirect.values_list("model_id", "upstream_id"):
        names[model_id].append(upstream_id)
    return spellings(names.items(), direct_entries())


def spellings(
    models: Iterable[tuple[str, Iterable[str]]], direct: Container[str] = ()
) -> Spellings:
    """How models may be asked for.

    `models` are pairs of an id and the model's other names: aliases, and what the providers that
    serve it call it. Each may have the vendor's prefix before it, and the id may lack it. An id
    means its own model, always; a name that two models share means neither, and one without its
    vendor does not even if the two differ in dots and dashes. So a model that is added takes no
    name from another. What begins with the prefix of one vendor, or of a direct provider, never
    means another's model. A model of `direct` is known by its id alone.
    """
    models = list(models)
    ids = {_folded(model_id): model_id for model_id, _ in models}
    vendors = {*map(_vendor, ids), *(each.id for each in PROVIDERS.values() if each.direct)}
    # By name, whose it is, or None where several claim it.
    told: dict[str, str | None] = {}
    loose: dict[str, str | None] = {}
    # Of names that tell no vendor, whose models they are.
    vendor_of: dict[str, str | None] = {}
    for model_id, names in models:
        if model_id in direct:
            continue
        vendor = _vendor(model_id)
        for name in _names(model_id, names):
            prefix, dashed = _vendor(name), _dashed(name)
            foreign = prefix not in ("", vendor) and prefix in vendors
            for claims, spelling in ((told, name), (loose, dashed)):
                _claim(claims, spelling, None if foreign else model_id)
            if not prefix or prefix not in vendors:
                _claim(vendor_of, dashed, vendor)
    sure = {
        name: model_id
        for name, model_id in told.items()
        if model_id and vendor_of.get(_dashed(name), "") is not None
    }
    perhaps = {name: model_id for name, model_id in loose.items() if model_id}
    return Spellings({**sure, **ids}, perhaps)


def resolve(name: str, known: Spellings) -> str | None:
    """The id of the model a caller means, or None."""
    if len(name) > LONGEST_SPELLING:
        return None  # To fold and dash millions of letters would hold up everybody else.
    name = _folded(name)
    return known.get(name) or known.loose.get(_dashed(name))


def near_matches(
    name: str, known: Spellings, direct: Container[str] = (), limit: int = 3
) -> list[str]:
    """Ids that a misspelt name may have meant, most likely first, for an error message.

    Only names without their vendor are compared, and only those that share letters with it, to stay
    quick with thousands. A model of `direct` is suggested only to who typed its prefix: it takes a
    key that others do not.
    """
    name = _folded(name)[:LONGEST_NAME]
    prefix, asked = _vendor(name), _short(name)
    letters = _letters(asked)
    shared: Counter[str] = Counter()
    for three in letters:
        shared.update(known.by_letters.get(three, ()))

    def likeness(model_id: str) -> tuple[float, bool]:
        length = len(letters) + len(_short(model_id))
        return shared[model_id] / length, _vendor(model_id) == prefix

    likely = heapq.nlargest(
        CLOSER_LOOKS,
        (found for found in shared if found not in direct or _vendor(found) == prefix),
        key=likeness,
    )
    # Of two vendors' models of one name, that of the prefix comes first and stays.
    names: dict[str, str] = {}
    for model_id in likely:
        names.setdefault(_short(model_id), model_id)
    close = difflib.get_close_matches(asked, names, n=limit, cutoff=0.6)
    return [names[near] for near in close]


def _names(model_id: str, others: Iterable[str]) -> Iterator[str]:
    """All that a model may be called, its id included."""
    vendor, _, short = _folded(model_id).rpartition("/")
    for name in (short, *map(_folded, others)):
        if name.startswith(GEO):
            yield from in_all_groups(name)
            continue
        yield name
        if vendor and "/" not in name:
            yield f"{vendor}/{name}"


def _claim(claims: dict[str, str | None], name: str, owner: str | None) -> None:
    if claims.setdefault(name, owner) != owner:
        claims[name] = None


def _folded(name: str) -> str:
    return name.strip().lower()


def _vendor(name: str) -> str:
    """What stands before the first slash, if there is one."""
    return name.lower().partition("/")[0] if "/" in name else ""


def _short(name: str) -> str:
    return name.lower().rpartition("/")[2]


def _dashed(name: str) -> str:
    """With a dash for each dot between digits, but as it is in the vendor's prefix."""
    vendor, slash, short = name.rpartition("/")
    return f"{vendor}{slash}{_BETWEEN_DIGITS.sub('-', short)}"


def _by_letters(ids: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for model_id in ids:
        for letters in _letters(_short(model_id)):
            found.setdefault(letters, []).append(model_id)
    return found


def _letters(name: str) -> set[str]:
    """All that stands in three letters in a row, with an edge before and after the name."""
    edged = f" {name} "
    return {edged[at : at + 3] for at in range(len(edged) - 2)}
