"""The list of models, made once for all callers who see the same, and kept until it changes.

An entry is written once for all lists that have it; a list is little more than a choice of entries.
It holds until the catalogue changes, or a price in it does by date or by hour.
"""

import asyncio
import gzip
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from billing.prices import next_change
from byok.catalogue.memory import Catalogue, Model, Offer
from byok.catalogue.own import own_entries
from byok.providers import PROVIDERS
from megabrain.gateway.callers import Caller, Models
from megabrain.gateway.model_entries import Json, Seen, entry
from megabrain.gateway.snapshot import Key
from megabrain.gateway.turns import in_turns

MAX_LISTS = 256
#: Bytes of entries that only one of these lists has. In memory they take about three times that.
MAX_APART = 8 * 1024 * 1024
#: Bytes of answers that are kept, and bytes above which one is not worth keeping.
MAX_KEPT = 32 * 1024 * 1024
LARGEST_KEPT = MAX_KEPT // 2
#: A smaller answer is hardly made smaller.
LEAST_PACKED = 1024
ANTHROPIC_PAGE = 20
ANTHROPIC_MOST = 1000

#: While a list is made, others have their turn after so many entries, for so many seconds.
TURN, BREATH = 16, 0.0002

_ENCODER = msgspec.json.Encoder()


# Whose list it is -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """A key as far as it decides which entries its account sees, and what they say."""

    provider: str
    host: str
    lacking: frozenset[str]
    own: tuple[str, ...]

    def serves(self, offer: Offer) -> bool:
        return (
            offer.provider == self.provider
            and offer.upstream_id not in self.lacking
            and PROVIDERS[offer.provider].serves(offer.upstream_id, self.host)
        )


@dataclass(frozen=True, slots=True)
class Viewer:
    """All on which a list depends. Whoever is alike in this sees the same."""

    held: frozenset[Held]
    allowed: Models

    @classmethod
    def of(cls, keys: Iterable[Key], caller: Caller) -> "Viewer":
        held = (Held(key.provider, key.host, key.lacking, key.own) for key in usable(keys))
        return cls(frozenset(held), caller.allowed_models)

    def may_use(self, model: Model) -> bool:
        return self.allowed is None or model.id in self.allowed

    def sees(self, model: Model, *, known: bool = True) -> Seen:
        own = (offer for offer in model.offers if any(held.serves(offer) for held in self.held))
        return Seen(model, tuple(own), known)


#: Whoever has no keys.
ANYBODY = Viewer(frozenset(), None)


def usable(keys: Iterable[Key]) -> list[Key]:
    return [
        key for key in keys if key.enabled and key.trouble is None and key.provider in PROVIDERS
    ]


# Lists ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it is sent, and until when its prices hold."""

    seen: Seen
    json: bytes
    digest: bytes
    until: datetime | None

    @classmethod
    def of(cls, seen: Seen, now: datetime) -> "Entry":
        json = _ENCODER.encode(entry(seen, now))
        changes = (next_change(offer.prices, now) for offer in seen.model.offers if offer.prices)
        until = min(filter(None, changes), default=None)
        return cls(seen, json, sha256(json).digest()[:16], until)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list in the shape of one reader."""

    entries: Sequence[Entry]
    before: bytes
    after: bytes
    #: Strong, and the same in every process for the same bytes.
    etag: str
    size: int

    @classmethod
    def of(cls, entries: Sequence[Entry], around: Json) -> "Page":
        """`around` are the fields beside the data, which come after it."""
        after = b"]," + _ENCODER.encode(around)[1:]
        mark = sha256(b"".join([*(each.digest for each in entries), after])).hexdigest()[:32]
        size = sum([len(each.json) + 1 for each in entries])
        return cls(entries, b'{"data":[', after, mark, size)

    def written(self) -> bytes:
        return self.before + b",".join([each.json for each in self.entries]) + self.after


@dataclass(frozen=True, slots=True)
class Listing:
    """The models of a caller, in the order of their ids."""

    ids: Sequence[str]
    entries: Sequence[Entry]
    openai: Page
    until: datetime | None
    #: Bytes of those entries that no other list shares.
    apart: int

    def anthropic(self, query: Mapping[str, str]) -> Page | None:
        """One page in Anthropic's shape, or None for a cursor or a limit that makes no sense."""
        ids, limit = self.ids, query.get("limit", str(ANTHROPIC_PAGE))
        # Python refuses to read a number of thousands of digits.
        if not limit.isdecimal() or len(limit) > 9 or not 1 <= int(limit) <= ANTHROPIC_MOST:
            return None
        size, begin, end = int(limit), 0, len(ids)
        if "before_id" in query:
            place = self._place(query["before_id"])
            if place is None:
                return None
            begin, end, more = max(0, place - size), place, place > size
        else:
            if "after_id" in query:
                place = self._place(query["after_id"])
                if place is None:
                    return None
                begin = place + 1
            end, more = min(begin + size, end), begin + size < end
        around = {
            "has_more": more,
            "first_id": ids[begin] if begin < end else None,
            "last_id": ids[end - 1] if begin < end else None,
        }
        return Page.of(self.entries[begin:end], around)

    def _place(self, id_: str) -> int | None:
        at = bisect_left(self.ids, id_)
        return at if at < len(self.ids) and self.ids[at] == id_ else None


class ModelLists:
    """The lists made so far, and the answers made of them. Lives on one event loop."""

    def __init__(self) -> None:
        self._catalogue: Catalogue | None = None
        self._lists: OrderedDict[Viewer, Listing] = OrderedDict()
        #: By id, and by the offers that the viewer's keys can use.
        self._entries: dict[object, Entry] = {}
        self._answers: OrderedDict[str, bytes] = OrderedDict()
        self._kept = 0
        #: Held by whoever makes something: one at a time, so that others need not wait for it all.
        self._making = asyncio.Lock()

    async def listing(self, catalogue: Catalogue, viewer: Viewer) -> Listing:
        found = self._fresh(catalogue, viewer)
        if found is not None:
            return found
        async with self._making:
            found = self._fresh(catalogue, viewer)
            if found is None:
                found = await asyncio.to_thread(self._made, catalogue, viewer)
                if catalogue is self._catalogue:
                    self._remember(viewer, found)
        return found

    async def answer(self, page: Page, *, packed: bool) -> bytes:
        """The page as it is sent: as it is, or compressed with gzip."""
        tag = tagged(page, packed=packed)
        if tag in self._answers:
            self._answers.move_to_end(tag)
            return self._answers[tag]
        async with self._making:
            if tag in self._answers:
                return self._answers[tag]
            found = await in_turns(lambda: _packed(page) if packed else page.written(), page.size)
            if len(found) <= LARGEST_KEPT:
                self._keep(tag, found)
        return found

    def _fresh(self, catalogue: Catalogue, viewer: Viewer) -> Listing | None:
        if catalogue is not self._catalogue:
            # What was made of another one would keep all of it in memory.
            self._catalogue = catalogue
            self._lists.clear()
        found = self._lists.get(viewer)
        if found is None or (found.until is not None and found.until <= datetime.now(UTC)):
            return None
        self._lists.move_to_end(viewer)
        return found

    def _remember(self, viewer: Viewer, listing: Listing) -> None:
        lists = self._lists
        lists[viewer] = listing
        lists.move_to_end(viewer)
        while len(lists) > MAX_LISTS or sum(each.apart for each in lists.values()) > MAX_APART:
            lists.popitem(last=False)

    def _keep(self, tag: str, answer: bytes) -> None:
        self._answers[tag] = answer
        self._kept += len(answer)
        while self._kept > MAX_KEPT:
            self._kept -= len(self._answers.popitem(last=False)[1])

    # In a thread, one at a time --------------------------------------------------------------

    def _made(self, catalogue: Catalogue, viewer: Viewer) -> Listing:
        now = datetime.now(UTC)
        if len(self._entries) > 4 * len(catalogue.models) + MAX_LISTS:
            self._entries.clear()
        entries = []
        for number, model in enumerate(catalogue.by_id):
            if number % TURN == 0:
                time.sleep(BREATH)
            if not viewer.may_use(model):
                continue
            seen = viewer.sees(model)
            # Whoever has no key of that provider cannot choose what it alone offers.
            if seen.own or model.id not in catalogue.direct:
                entries.append(self._entry(seen, now))
        own = [
            Entry.of(viewer.sees(model, known=False), now)
            for model in own_entries(viewer.held, catalogue)
            if viewer.may_use(model)
        ]
        entries += own
        entries.sort(key=lambda each: each.seen.model.id)
        ids = tuple(each.seen.model.id for each in entries)
        page = Page.of(entries, {"object": "list", "total_count": len(entries)})
        until = min((each.until for each in entries if each.until), default=None)
        apart = sum(len(each.json) for each in own)
        return Listing(ids, tuple(entries), page, until, apart)

    def _entry(self, seen: Seen, now: datetime) -> Entry:
        key = (seen.model.id, tuple((offer.provider, offer.upstream_id) for offer in seen.own))
        known = self._entries.get(key)
        if known is None or known.seen != seen or (known.until is not None and known.until <= now):
            known = Entry.of(seen, now)
        elif known.seen.model is not seen.model:
            # Lest it keep a catalogue in memory that is otherwise forgotten.
            known = replace(known, seen=seen)
        self._entries[key] = known
        return known


def tagged(page: Page, *, packed: bool) -> str:
    """The entity tag of the page: another one for other bytes."""
    return f'"{page.etag}-gzip"' if packed else f'"{page.etag}"'


def _packed(page: Page) -> bytes:
    # Without a time in it, the same in every process.
    return gzip.compress(page.written(), 6, mtime=0)
