"""Whether a model may be called by a name: none may come to mean another model, or no model."""

from collections.abc import Iterable, Iterator

from byok.catalogue.spelling import Spellings, direct_entries, resolve, spellings
from byok.models import CatalogModel, Offering
from byok.providers import PROVIDERS


class NameTaken(Exception):
    """A name is another model's, or would find none; says so in a sentence."""


def is_of_a_plan(model_id: str) -> bool:
    """Whether the id is one of a direct entry: its vendor's prefix is that of the provider."""
    provider = PROVIDERS.get(model_id.partition("/")[0])
    return provider is not None and provider.direct


def refuse_taken(
    model_id: str, *, aliases: Iterable[str] | None = None, upstream_id: str = ""
) -> None:
    """Raise `NameTaken` if the model, new or known, cannot have these aliases in place of its own,
    or be called so by another provider: every name of another model must go on to mean that one,
    and every alias must mean this one.
    """
    names, served = _names()
    direct = direct_entries()
    before = spellings(_both(names, served), direct)
    own, is_new = set(names.get(model_id, ())), model_id not in names
    if is_new:
        _refuse_meant(model_id, model_id, before)
    if aliases is not None:
        names[model_id] = list(aliases)
    if upstream_id:
        served.setdefault(model_id, []).append(upstream_id)
    added = [alias for alias in names.setdefault(model_id, []) if alias not in own]
    if added and (model_id in direct or is_of_a_plan(model_id)):
        raise NameTaken(f"{model_id} is offered only directly, and is called by its id alone.")
    for name in [*added, upstream_id] if upstream_id else added:
        _refuse_meant(name, model_id, before)
    after = spellings(_both(names, served), direct)
    for name in {**before, **before.loose}:
        owner = resolve(name, before)
        if owner not in (None, model_id) and resolve(name, after) != owner:
            raise NameTaken(f"Then “{name}” would not mean {owner} any more.")
    for name in added:
        if resolve(name, after) != model_id:
            raise NameTaken(
                f"“{name}” would mean no model: others are called so, or its prefix is of another "
                "vendor."
            )


def _refuse_meant(name: str, model_id: str, known: Spellings) -> None:
    owner = resolve(name, known)
    if owner not in (None, model_id):
        raise NameTaken(f"“{name}” means {owner} already.")


def _names() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """By model its aliases, and what providers call it."""
    names = {pk: list(aliases) for pk, aliases in CatalogModel.objects.values_list("pk", "aliases")}
    served: dict[str, list[str]] = {}
    indirect = Offering.objects.filter(direct=False)
    for model_id, upstream_id in indirect.values_list("model_id", "upstream_id"):
        served.setdefault(model_id, []).append(upstream_id)
    return names, served


def _both(
    names: dict[str, list[str]], served: dict[str, list[str]]
) -> Iterator[tuple[str, list[str]]]:
    for model_id, aliases in names.items():
        yield model_id, [*aliases, *served.get(model_id, ())]
