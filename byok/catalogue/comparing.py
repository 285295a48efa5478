"""What a source tells, compared with what is known: the changes it would make; pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from byok.catalogue.changes import Change, Kind
from byok.catalogue.known import (
    PARTS,
    Known,
    as_json,
    may_tell,
    price_as_json,
    told_by,
    vendor,
)
from byok.catalogue.spelling import resolve
from byok.models import CatalogModel, Offering, Price, Source
from byok.providers.base import Endpoint, Provider
from byok.providers.listing import POINTER, Listed, ListedRate

LIMITS = ("context", "max_output")
#: The capabilities that a list can take away; the others only come.
TAKEN = frozenset({"tools", "vision", "reasoning"})
#: What these endpoints are for only some models can do.
SPECIAL = frozenset({Endpoint.EMBEDDINGS, Endpoint.FIM})


@dataclass
class Comparison:
    """What a source would change, and what there is to judge it by."""

    known: Known
    source: Source
    now: datetime
    #: For how long an offering may be missing.
    grace: timedelta
    #: The offerings that have answered calls all the same; these are not retired.
    answering: Collection[int] = ()
    changes: list[Change] = field(default_factory=list)
    #: Changes of prices of which the source tells less than is known: nobody but staff knows
    #: whether the rest still holds.
    partial: list[Change] = field(default_factory=list)
    #: The offerings that the list has.
    present: list[Offering] = field(default_factory=list)
    #: How many offerings lists had before, and how many of these this one has.
    had: int = 0
    kept: int = 0
    #: How many limits that were known the source tells.
    limits: int = 0
    #: Ids in a company's list by which other companies' models are known.
    foreign: list[str] = field(default_factory=list)
    _new: set[str] = field(default_factory=set)
    _offered: set[tuple[str, str]] = field(default_factory=set)
    _changed: set[tuple[str, str]] = field(default_factory=set)

    def compare(self, provider: Provider, listed: Sequence[Listed], *, is_its_own: bool) -> None:
        """Add what is told of a provider: by its own list, which is whole, or by somebody else."""
        ours = self.known.of(provider.id)
        if is_its_own:
            self._compare_presence(provider, ours, listed)
        told = _by_name(listed)
        by_model = {each.model: each for each in listed if each.model}
        for row in ours:
            found = told.get(row.upstream_id) or by_model.get(row.model_id)
            if found is not None:
                self._compare_fields(provider, row, found)
                self._compare_prices(row, found.rates)
        taken = {row.upstream_id for row in ours}
        for each in listed:
            if not taken & {each.id, *each.aliases} and each.writes_text is not False:
                self._add(provider, each)

    def _compare_presence(
        self, provider: Provider, ours: Iterable[Offering], listed: Iterable[Listed]
    ) -> None:
        names = {name for each in listed for name in (each.id, *each.aliases)}
        for row in ours:
            is_there = provider.lists(row.upstream_id, names)
            expected = row.first_seen_at is not None and row.missing_since is None
            self.had += expected
            self.kept += expected and is_there
            if is_there:
                self.present.append(row)
            if told_by(row, "retired_at") == Source.STAFF:
                continue
            if is_there:
                if row.missing_since is not None or row.retired_at is not None:
                    self._change(Kind.BACK, row)
            elif expected:
                self._change(Kind.MISSING, row)
            elif row.retired_at is None and self._is_overdue(row):
                self._change(Kind.RETIRED, row)

    def _is_overdue(self, row: Offering) -> bool:
        missing = row.missing_since is not None and row.missing_since + self.grace <= self.now
        return missing and row.pk not in self.answering

    def _compare_fields(self, provider: Provider, row: Offering, told: Listed) -> None:
        model = self.known.models[row.model_id]
        makes_it = provider.makes(row.model_id)
        for name in LIMITS:
            self._compare_limit(row, model, name, getattr(told, name), of_model=makes_it)
        retires = as_json(told.retires_on)
        if retires and retires != as_json(row.retires_on) and self._may(row, "retires_on"):
            before = as_json(row.retires_on)
            self._change(Kind.OFFERING_CHANGED, row, "retires_on", before, retires)
        if not makes_it:
            return
        if told.released_on and model.released_on is None:
            self._change_model(model, "released_on", as_json(told.released_on))
        if told.capabilities is not None:
            able = [
                each
                for each in model.capabilities
                if each in told.capabilities or each not in TAKEN
            ]
            able += sorted(told.capabilities - set(able))
            if set(able) != set(model.capabilities):
                self._change_model(model, "capabilities", able)

    def _compare_limit(
        self, row: Offering, model: CatalogModel, name: str, told: int | None, *, of_model: bool
    ) -> None:
        """A limit that a model's own maker tells is the model's, any other the offering's."""
        known = self.known.limit(row, name)
        if told is None:
            return
        self.limits += known is not None
        inherited = getattr(row, name) is None
        if told == known or (inherited and told_by(model, name) == Source.STAFF):
            return
        if of_model and inherited:
            self._change_model(model, name, told)
        elif self._may(row, name):
            self._change(Kind.OFFERING_CHANGED, row, name, known, told)

    def _compare_prices(self, row: Offering, rates: Sequence[ListedRate]) -> None:
        rates, current = _tiered(rates), self.known.current(row, self.now)
        if not rates or not self._may(row, "prices") or _agree(rates, current):
            return
        if not current and not any(rate.input or rate.output for rate in rates):
            # Nobody says whether it is free or has no price a token.
            return
        tiers = {price.above_tokens: price for price in current if price.hours is None}
        before = [price_as_json(price) for price in current]
        after = [_rate_as_json(rate, tiers.get(rate.above_tokens)) for rate in rates]
        change = self._change(Kind.PRICE_CHANGED, row, "prices", before, after)
        untold = tiers.keys() - {rate.above_tokens for rate in rates}
        hourly = any(price.hours is not None for price in current)
        if untold or hourly or any(_keeps_parts(rate, tiers) for rate in rates):
            self.partial.append(change)

    def _add(self, provider: Provider, told: Listed) -> None:
        """A model that is not known, or that nobody knew this provider to serve."""
        id_ = provider.canonical(told.id)
        if id_ is None or id_ != (told.model or id_):
            return
        served = self.known.by_model.get(id_, ())
        if (provider.id, id_) in self._offered or any(
            row.provider == provider.id and row.retired_at is None and row.missing_since is None
            for row in served
        ):
            return
        if id_ not in self.known.models and id_ not in self._new:
            if not provider.direct and self._is_called(told.id, id_):
                return
            self._add_model(provider, id_, told)
            self._new.add(id_)
        self._offered.add((provider.id, id_))
        model = self.known.models.get(id_)
        prices = [_rate_as_json(rate, None) for rate in _tiered(told.rates)]
        self.changes.append(
            Change(
                Kind.OFFERING_ADDED,
                id_,
                provider.id,
                told.id,
                after={
                    "direct": provider.direct,
                    "endpoints": self._endpoints(provider, id_, told),
                    **{
                        name: getattr(told, name)
                        if model is not None and getattr(told, name) != getattr(model, name)
                        else None
                        for name in LIMITS
                    },
                    "retires_on": as_json(told.retires_on),
                    "prices": prices if any(each["output"] for each in prices) else [],
                },
            )
        )

    def _add_model(self, provider: Provider, id_: str, told: Listed) -> None:
        name = told.name or id_.partition("/")[2]
        # A name by which somebody is asked for already stays his.
        aliases = [
            alias
            for alias in told.aliases
            if not alias.endswith(POINTER) and not resolve(alias, self.known.names)
        ]
        self.changes.append(
            Change(
                Kind.MODEL_ADDED,
                id_,
                after={
                    "name": f"{name} ({provider.name})"[:120] if provider.direct else name,
                    "context": told.context,
                    "max_output": told.max_output,
                    "capabilities": sorted(told.capabilities or ()),
                    "aliases": [] if provider.direct else aliases,
                    "released_on": as_json(told.released_on),
                },
            )
        )

    def _is_called(self, listed: str, id_: str) -> bool:
        """Whether a name of it is one of a model already, and so it is no new one."""
        found = {
            resolve(name, self.known.names) for name in (listed, id_, id_.partition("/")[2])
        } - {None}
        if any(vendor(each or "") != vendor(id_) for each in found):
            self.foreign.append(listed)
        return bool(found)

    def _endpoints(self, provider: Provider, id_: str, told: Listed) -> list[str] | None:
        """As most models of its vendor have them there, but none of what few models can, or what
        this one cannot."""
        alike = self.known.endpoints.get((provider.id, vendor(id_)))
        usual = [str(each) for each in provider.endpoints if each not in SPECIAL]
        able = [
            each for each in usual if provider.speaks(told.id, Endpoint(each), with_tools=False)
        ]
        found = [each for each in alike or able if each in able] or able or usual
        if "fim" in (told.capabilities or ()) and Endpoint.FIM in provider.endpoints:
            found.append(str(Endpoint.FIM))
        return None if len(found) == len(provider.endpoints) else found

    def _may(self, row: CatalogModel | Offering, name: str) -> bool:
        return may_tell(self.source, row, name)

    # Any: JSON, as changes hold it.
    def _change(
        self, kind: Kind, row: Offering, name: str = "", before: Any = None, after: Any = None
    ) -> Change:
        change = Change(kind, row.model_id, row.provider, row.upstream_id, name, before, after)
        self.changes.append(change)
        return change

    def _change_model(self, model: CatalogModel, name: str, after: Any) -> None:
        """One that is offered twice is told of once."""
        if self._may(model, name) and (model.pk, name) not in self._changed:
            self._changed.add((model.pk, name))
            before = as_json(getattr(model, name))
            self.changes.append(
                Change(Kind.MODEL_CHANGED, model.pk, field=name, before=before, after=after)
            )


def _by_name(listed: Iterable[Listed]) -> Mapping[str, Listed]:
    """By id; and by alias, unless that is an id, or two have it."""
    found: dict[str, Listed] = {}
    shared: set[str] = set()
    for each in listed:
        for alias in each.aliases:
            if found.setdefault(alias, each) is not each:
                shared.add(alias)
    kept = {name: each for name, each in found.items() if name not in shared}
    return {**kept, **{each.id: each for each in listed}}


def _tiered(rates: Sequence[ListedRate]) -> Sequence[ListedRate]:
    """The prices, or none where two are told for prompts of the same length."""
    return rates if len({rate.above_tokens for rate in rates}) == len(rates) else ()


def _agree(rates: Iterable[ListedRate], current: Sequence[Price]) -> bool:
    """Whether prices are as they were, as far as they are told. One for all hours may be any of
    those that hold by the hour."""
    return all(
        any(
            rate.above_tokens == price.above_tokens and _same(rate, price)
            for price in current
            if price.hours is None or price.above_tokens == 0
        )
        for rate in rates
    )


def _same(rate: ListedRate, price: Price) -> bool:
    cached = (
        (rate.cache_read, price.cache_read),
        (rate.cache_write, price.cache_write),
    )
    return (rate.input, rate.output) == (price.input, price.output) and all(
        told is None or told == (price.input if known is None else known) for told, known in cached
    )


def _keeps_parts(rate: ListedRate, tiers: Mapping[int, Price]) -> bool:
    """Whether prompts cost something else and what the cache costs, though known, is not told."""
    price = tiers.get(rate.above_tokens)
    if price is None or rate.input == price.input:
        return False
    return any(
        getattr(price, part) is not None and getattr(rate, part, None) is None for part in PARTS
    )


def _rate_as_json(rate: ListedRate, known: Price | None) -> dict[str, Any]:
    """The price, with what is known of it where the source does not tell."""
    parts = {part: getattr(rate, part, None) for part in PARTS}
    for part, told in parts.items():
        if told is None and known is not None:
            parts[part] = getattr(known, part)
    return {"above_tokens": rate.above_tokens, "hours": None, **parts}
