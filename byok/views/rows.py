"""A provider key as the pages tell it: its name, how it is doing, its models and its addresses."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from byok.actions import NOT_QUEUED
from byok.attention import Attention, attention_in
from byok.health import UNREADABLE
from byok.key_tests import EXPIRED, HEALTH, REPLACED, UNSUPPORTED, VAULT_CLOSED
from byok.managed import Manager, managers_of
from byok.models import KeyTest, ProviderKey
from byok.providers import PROVIDERS, name_of
from byok.providers.base import Outcome
from byok.sending import NOT_PUBLIC, TIMED_OUT, UNREACHABLE
from byok.vault import Reason, Secret
from byok.views.covered import NOT_ASKED, Covered, covered
from orgs.access import account_url
from orgs.models import Account, Membership

#: A page asks this long for the result of a test; after that a person has to.
PATIENCE = timedelta(seconds=25)
TESTS_SHOWN = 5

Health = ProviderKey.Health

#: Why a key fails, or why a test of it did, in a few words.
REASONS = {
    Outcome.REJECTED: "Rejected by the provider",
    Outcome.NO_ACCESS: "No access to the model",
    Outcome.NO_CREDIT: "Out of credit",
    Outcome.RATE_LIMITED: "Rate limited",
    Outcome.MODEL_MISSING: "None of the test's models offered",
    Outcome.OVERLOADED: "Provider overloaded",
    Outcome.BAD_REQUEST: "Test call refused",
    Outcome.UNAVAILABLE: "Fault at the provider",
    UNREACHABLE: "Provider unreachable",
    NOT_PUBLIC: "Not a public address",
    TIMED_OUT: "Timed out",
    UNREADABLE: "Enter it again",
    VAULT_CLOSED: "Vault out of reach",
    UNSUPPORTED: "Provider no longer supported",
    REPLACED: "Replaced meanwhile",
    EXPIRED: "No result in time",
    NOT_QUEUED: "Could not be started",
}


@dataclass(frozen=True, slots=True)
class Pages:
    """Where the key pages of an account are, and whom they speak of."""

    account: Account

    @property
    def payer(self) -> str:
        """Whom a provider bills for calls with the account's keys."""
        return self.account.name if self.account.is_organization else "you"

    def to(self, name: str, **values: object) -> str:
        return account_url(f"byok:{name}", self.account, **values)

    @property
    def keys(self) -> str:
        return self.to("keys")

    @property
    def add(self) -> str:
        return self.to("add")

    @property
    def route(self) -> str:
        return self.to("route")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a key is doing: a word, its tone, and in a few more words why."""

    word: str
    tone: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key on a page, with its latest tests, the last one first, and the models it covers."""

    key: ProviderKey
    pages: Pages
    tests: Sequence[KeyTest]
    readable: bool
    covers: Covered = NOT_ASKED
    fresh: bool = False
    adder_left: bool = False
    attention: Sequence[Attention] = ()
    #: What provisioned the key and bills for it, if it is not simply the account's own.
    manager: Manager | None = None

    @property
    def id(self) -> str:
        return str(self.key.pk)

    @property
    def name(self) -> str:
        return name_of(self.key.provider)

    @property
    def supported(self) -> bool:
        """Whether the provider is still one MegaBrain knows how to call."""
        return self.key.provider in PROVIDERS

    @property
    def test(self) -> KeyTest | None:
        """The last test, if it was one of the secret that is stored now."""
        test = next(iter(self.tests), None)
        return test if test is not None and test.created_at >= self.key.secret_changed_at else None

    @property
    def testing(self) -> bool:
        return self.test is not None and not self.test.is_finished

    @property
    def waiting(self) -> bool:
        """Whether the page should keep asking for the test's result."""
        test = self.test
        return self.testing and test is not None and timezone.now() - test.created_at < PATIENCE

    @property
    def standing(self) -> Standing:
        key = self.key
        if not self.supported:
            return Standing("Not supported", "danger", REASONS[UNSUPPORTED])
        if not self.readable:
            return Standing("Unreadable", "danger", REASONS[UNREADABLE])
        health = key.health_now
        if health == Health.WORKS:
            return Standing("Works", "success")
        if health == Health.FAILING:
            return Standing("Failing", "danger", REASONS.get(key.health_code, ""))
        if health == Health.COOLING:
            return Standing("Cooling down", "warning", REASONS.get(key.health_code, ""))
        return Standing("Not tested" if key.last_used_at else "Never used", "neutral")

    @property
    def trouble(self) -> str:
        """What is wrong with the key just now, in full."""
        return "" if self.key.health_now == Health.WORKS else self.key.health_message

    @property
    def failed_test(self) -> str:
        """Why the latest test failed, where that says nothing of the key's health."""
        test = self.test
        if test is None or test.state != KeyTest.State.FAILED:
            return ""
        if test.code == self.key.health_code and self.key.health_now != Health.WORKS:
            return ""
        return REASONS.get(test.code, "Failed")

    @property
    def switch_id(self) -> str:
        return f"enabled-{self.id}"

    @property
    def labels(self) -> dict[str, str]:
        """What its buttons do, for those who cannot see in which row they are."""
        return {
            "enabled": f"Use the {self.name} key",
            "test": f"Test the {self.name} key",
            "update": f"Update the {self.name} key",
            "delete": f"Delete the {self.name} key",
            "details": f"Details of the {self.name} key",
        }

    @property
    def models_url(self) -> str:
        return self.pages.to("models", provider=self.key.provider)

    @property
    def row_url(self) -> str:
        url = self.pages.to("row", key_id=self.key.pk)
        return f"{url}?test={self.test.pk}" if self.test else url

    @property
    def details_url(self) -> str:
        return self.pages.to("details", key_id=self.key.pk)

    @property
    def update_url(self) -> str:
        return self.pages.to("update", key_id=self.key.pk)

    @property
    def enabled_url(self) -> str:
        return self.pages.to("enabled", key_id=self.key.pk)

    @property
    def reminder_url(self) -> str:
        return self.pages.to("reminder", key_id=self.key.pk)

    @property
    def failure_url(self) -> str:
        return self.pages.to("failure", key_id=self.key.pk)

    @property
    def disable_url(self) -> str:
        """Where switching it off is explained first."""
        return self.pages.to("disable", key_id=self.key.pk)

    @property
    def delete_url(self) -> str:
        return self.pages.to("delete", key_id=self.key.pk)

    @property
    def test_url(self) -> str:
        return self.pages.to("test", key_id=self.key.pk)


def key_rows(account: Account, fresh: str = "") -> list[KeyRow]:
    """The account's keys by name of provider, in as many queries however many there are.

    `fresh` is the id of the key that was saved just now.
    """
    keys = ProviderKey.objects.for_account(account).with_coverage().select_related("created_by")
    newest = KeyTest.objects.filter(key=OuterRef("pk")).order_by("-created_at").values("pk")[:1]
    tests = KeyTest.objects.filter(pk__in=keys.values_list(Subquery(newest)))
    latest: dict[UUID, list[KeyTest]] = defaultdict(list)
    # Read before the keys, which so know of what these found out.
    for test in tests:
        latest[test.key_id].append(test)
    covers = covered(keys)
    left = _adders_who_left(account, keys)
    attention = attention_in(account, keys, timezone.now())
    managers = managers_of(account, keys)
    pages = Pages(account)
    rows = [
        KeyRow(
            key,
            pages,
            latest[key.pk],
            _readable(key),
            covers[key.pk],
            fresh=str(key.pk) == fresh,
            adder_left=key.created_by_id in left,
            attention=attention[key.pk],
            manager=managers.get(key.managed_by),
        )
        for key in keys
    ]
    return sorted(rows, key=lambda row: row.name.lower())


def key_row(key: ProviderKey) -> KeyRow:
    """One key with the latest tests of its secret, without its models."""
    of_this_secret = key.tests.filter(created_at__gte=key.secret_changed_at)
    latest = of_this_secret.select_related("requested_by").order_by("-created_at")
    tests = list(latest[:TESTS_SHOWN])
    if tests and _says_more(tests[0], key):
        # It ended after the key was read.
        known = ProviderKey.objects.for_account(key.account).with_coverage()
        known = known.select_related("account", "created_by")
        key = known.filter(pk=key.pk).first() or key
    return KeyRow(
        key,
        Pages(key.account),
        tests,
        _readable(key),
        adder_left=bool(_adders_who_left(key.account, [key])),
        attention=attention_in(key.account, [key], timezone.now())[key.pk],
        manager=managers_of(key.account, [key]).get(key.managed_by),
    )


def bare_row(key: ProviderKey) -> KeyRow:
    """One key as the dialogs about it name it, without its tests and what needs attention."""
    return KeyRow(
        key,
        Pages(key.account),
        (),
        _readable(key),
        manager=managers_of(key.account, [key]).get(key.managed_by),
    )


def _says_more(test: KeyTest, key: ProviderKey) -> bool:
    """Whether the test found something out that this key does not know of."""
    if test.finished_at is None or test.code not in HEALTH:
        return False
    return key.health_at is None or key.health_at < test.finished_at


def still_billed(manager: Manager) -> str:
    """What a change of a managed key leaves as it is."""
    if manager.ends_at:
        return f"{manager.name} is cancelled and ends on {manager.ends_at:%-d %B %Y}."
    return f"{manager.name} is billed until it is cancelled in the Subscription Center."


@dataclass(frozen=True, slots=True)
class ConfiguredProvider:
    """All that a member learns of a key: its provider, and which models it covers."""

    name: str
    enabled: bool
    covers: Covered

    @property
    def note(self) -> str:
        return self.covers.in_words if self.enabled else "Switched off"


def configured_providers(account: Account) -> list[ConfiguredProvider]:
    """The providers that the account has a key of, by name, with the models that it then serves.

    Of a key that is switched off these are none, else those that the account allows. Of the rest
    of a key nothing is even read.
    """
    keys = (
        ProviderKey.objects.for_account(account)
        .with_coverage()
        .only(
            "provider",
            "host",
            "enabled",
            "secret_changed_at",
            "coverage__listed_at",
            "coverage__lacking",
        )
    )
    covers = covered(key for key in keys if key.enabled)
    found = [
        ConfiguredProvider(
            name_of(key.provider),
            key.enabled,
            covers.get(key.pk, NOT_ASKED).among(account.allowed_models),
        )
        for key in keys
    ]
    return sorted(found, key=lambda provider: provider.name.lower())


def _adders_who_left(account: Account, keys: Iterable[ProviderKey]) -> set[UUID]:
    """Who added one of these keys and is no member of the organization any more."""
    if not account.is_organization:
        return set()
    adders = {key.created_by_id for key in keys if key.created_by_id is not None}
    members = Membership.objects.for_account(account).filter(user__in=adders)
    return adders.difference(members.values_list("user_id", flat=True))


def _readable(key: ProviderKey) -> bool:
    """Whether the secret can be opened; a key service that is away just now does not count."""
    secret = key.secret
    away = (None, Reason.UNAVAILABLE, Reason.REFUSED)
    return isinstance(secret, Secret) or secret.trouble() in away
