"""Which provider keys need attention, though calls with them may well succeed, and why."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Value

from byok.models import KeyNotice, Offering, ProviderKey
from byok.providers import name_of
from byok.served import served_lately
from orgs.models import Account

#: A model counts as used for so long after a call, and its end is told of so long ahead.
MONTH = timedelta(days=30)


class Kind(StrEnum):
    REMINDER = "reminder"
    OLD = "old"
    UNUSED = "unused"
    RETIRING = "retiring"
    RETIRED = "retired"


#: What a badge says, with its tone and its icon.
BADGES = {
    Kind.REMINDER: ("Due for replacement", "warning", "calendar"),
    Kind.OLD: ("Old", "neutral", "clock"),
    Kind.UNUSED: ("Unused", "neutral", "clock"),
    Kind.RETIRING: ("Model retires", "warning", "calendar"),
    Kind.RETIRED: ("Model retired", "warning", "warning"),
}

CHOOSE_ANOTHER = (
    "This key served it in the last 30 days. "
    "Where no other key serves it, choose another model in your agents."
)


@dataclass(frozen=True, slots=True)
class Attention:
    """A reason why a key needs attention: a sentence that says what is so, one what to do about it.

    `about` is its occasion; another one is another reason.
    """

    kind: Kind
    about: str
    sentence: str
    advice: str

    @property
    def word(self) -> str:
        return BADGES[self.kind][0]

    @property
    def tone(self) -> str:
        return BADGES[self.kind][1]

    @property
    def icon(self) -> str:
        return BADGES[self.kind][2]


@dataclass(frozen=True, slots=True)
class Ending:
    """A model ends at a provider: that has retired it on that day, or said that it will."""

    provider: str
    model: str
    day: date
    over: bool

    @property
    def kind(self) -> Kind:
        return Kind.RETIRED if self.over else Kind.RETIRING

    @property
    def about(self) -> str:
        return f"{self.model} {self.day}"


def judge(key: ProviderKey, endings: Sequence[Ending], at: datetime) -> list[Attention]:
    """Why the key needs attention at that moment; `endings` are those of models it served lately.

    A key that is switched off needs none, unless its owner wanted to be reminded of it. One that a
    plan manages is the plan's to replace, and there is no account at its provider to delete it in.
    """
    return list(_judge(key, endings, at))


def attention_in(
    account: Account, keys: Collection[ProviderKey], at: datetime
) -> Mapping[UUID, list[Attention]]:
    """By key: why these keys of the account need attention, in one query however many they are."""
    ending = _endings_in(account, at) if any(key.enabled for key in keys) else {}
    return {key.pk: judge(key, ending.get(key.pk, ()), at) for key in keys}


def without_notice(at: datetime) -> QuerySet[ProviderKey]:
    """The keys of all accounts that are due, old or unused, and nobody has taken note of it."""
    noted = KeyNotice.objects.filter(key=OuterRef("pk"))
    reminded = noted.filter(kind=Kind.REMINDER, found_at__date__gte=F("key__remind_on"))
    found = Q(~Exists(reminded), remind_on__lte=at.date())
    # Whoever took note of it did so after the secret was saved, and used last.
    noted = noted.filter(found_at__gte=F("key__secret_changed_at"))
    if since := _before(settings.MEGABRAIN_KEY_OLD_DAYS, at):
        old = Q(~Exists(noted.filter(kind=Kind.OLD)), secret_changed_at__lte=since)
        found |= Q(old, enabled=True, managed_by="")
    if since := _before(settings.MEGABRAIN_KEY_UNUSED_DAYS, at):
        noted = noted.filter(
            Q(key__last_used_at=None) | Q(found_at__gte=F("key__last_used_at")), kind=Kind.UNUSED
        )
        unused = Q(Q(last_used_at=None) | Q(last_used_at__lte=since), secret_changed_at__lte=since)
        found |= Q(unused, ~Exists(noted), enabled=True, managed_by="")
    return ProviderKey.objects.filter(found)


def endings(at: datetime) -> list[Ending]:
    """Every model that ends at a provider about that moment."""
    return _endings(_offerings(at))


def served_without_notice(ending: Ending, at: datetime) -> QuerySet[ProviderKey]:
    """The keys of all accounts that served this model lately, and nobody has taken note of it."""
    noted = KeyNotice.objects.filter(key=OuterRef("pk"), kind=ending.kind, about=ending.about)
    return ProviderKey.objects.enabled().filter(
        ~Exists(noted),
        served_lately(OuterRef("pk"), Value(ending.model), at - MONTH),
        provider=ending.provider,
    )


def _judge(key: ProviderKey, endings: Sequence[Ending], at: datetime) -> Iterator[Attention]:
    name = name_of(key.provider)
    replace = f"Create a new key at {name} and save it with Update."
    if key.remind_on is not None and key.remind_on <= at.date():
        sentence = f"It was to be replaced on {key.remind_on}."
        yield Attention(Kind.REMINDER, str(key.remind_on), sentence, replace)
    if not key.enabled:
        return
    if not key.managed_by:
        yield from _judge_age(key, replace, at)
    for ending in endings:
        sentence = f"{name} {_ends(ending, at.date())}."
        yield Attention(ending.kind, ending.about, sentence, CHOOSE_ANOTHER)


def _judge_age(key: ProviderKey, replace: str, at: datetime) -> Iterator[Attention]:
    saved = key.secret_changed_at
    since = _before(settings.MEGABRAIN_KEY_OLD_DAYS, at)
    if since and saved <= since:
        sentence = f"It was saved {(at - saved).days} days ago."
        yield Attention(Kind.OLD, str(saved.date()), sentence, replace)
    used = max(key.last_used_at or saved, saved)
    since = _before(settings.MEGABRAIN_KEY_UNUSED_DAYS, at)
    if since and used <= since:
        sentence = f"No call has used it for {(at - used).days} days."
        delete = f"If nobody needs it, delete it here and at {name_of(key.provider)}."
        yield Attention(Kind.UNUSED, str(used.date()), sentence, delete)


def _ends(ending: Ending, today: date) -> str:
    if ending.over:
        return f"has retired {ending.model}"
    retires = "retires" if ending.day > today else "was to retire"
    return f"{retires} {ending.model} on {ending.day}"


def _endings_in(account: Account, at: datetime) -> Mapping[UUID, list[Ending]]:
    """By key of the account: the endings of models that it served lately, the first one first."""
    keys = ProviderKey.objects.for_account(account).enabled().filter(provider=OuterRef("provider"))
    rows = _offerings(at).annotate(key_id=Subquery(keys.values("pk")[:1]))
    found: dict[UUID, list[Offering]] = defaultdict(list)
    for row in rows.filter(served_lately(OuterRef("key_id"), OuterRef("model_id"), at - MONTH)):
        found[row.key_id].append(row)
    return {key_id: _endings(of_key) for key_id, of_key in found.items()}


def _offerings(at: datetime) -> QuerySet[Offering]:
    """Those that were retired or are about to be, in that order, while no other one takes over.

    What was retired earlier than that cannot have served a call lately.
    """
    soon = at.date() + MONTH
    others = Offering.objects.serving().filter(
        Q(retires_on=None) | Q(retires_on__gt=soon),
        model=OuterRef("model_id"),
        provider=OuterRef("provider"),
    )
    return Offering.objects.filter(
        Q(retired_at__gt=at - MONTH) | Q(retired_at=None, retires_on__lte=soon),
        ~Exists(others),
        enabled=True,
    ).order_by(F("retired_at").asc(nulls_last=True), "retires_on", "model_id")


def _endings(offerings: Iterable[Offering]) -> list[Ending]:
    """Of several offerings of a model at a provider, it is the last one that ends it."""
    found: dict[tuple[str, str], Ending] = {}
    for row in offerings:
        day = row.retired_at.date() if row.retired_at else row.retires_on
        if day is not None:
            ending = Ending(row.provider, row.model_id, day, over=row.retired_at is not None)
            found[row.provider, row.model_id] = ending
    return list(found.values())


def _before(days: int, at: datetime) -> datetime | None:
    """So many days before; never, if there are none."""
    return at - timedelta(days=days) if days else None
