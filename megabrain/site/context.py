"""What the frame around every page shows: accounts, entries, banners, theme."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property

from byok.models import ProviderKey
from byok.providers import name_of
from orgs.models import Account, User
from orgs.permissions import Permission, permissions_of

THEMES = ("light", "dark")
# Over TLS bound to this very host, as the other cookies are.
THEME_COOKIE = "__Host-theme" if settings.SESSION_COOKIE_SECURE else "theme"


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the sidebar; `permission` is what one needs to open it."""

    label: str
    icon: str
    name: str
    permission: Permission = Permission.USE_ACCOUNT


PLACES = {
    "": [
        Place("Dashboard", "home", "dashboard"),
        Place("API tokens", "token", "orgs:tokens", Permission.OWN_TOKENS),
    ],
    "Account": [
        Place("Bring Your Own Key (BYOK)", "key", "byok:keys", Permission.MANAGE_KEYS),
        Place("Activity", "pulse", "orgs:activity", Permission.READ_AUDIT),
        Place("Profile & security", "shield", "orgs:profile"),
    ],
    "Help": [Place("Docs", "book", "docs")],
}


@dataclass(frozen=True, slots=True)
class Entry:
    label: str
    icon: str
    url: str
    current: bool
    alert: str | None  # What is wrong there, "" for nothing; None where nothing can be.


@dataclass(frozen=True, slots=True)
class Group:
    label: str
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class AccountChoice:
    """An account in the switcher; `url` is empty where it has no page of its own."""

    name: str
    kind: str
    url: str
    current: bool

    @property
    def initial(self) -> str:
        return self.name[:1].upper()


@dataclass(frozen=True, slots=True)
class Banner:
    tone: str
    title: str
    text: str
    href: str = ""
    label: str = ""


def frame(request: HttpRequest) -> dict[str, Any]:  # Any: what context processors return
    """`theme` and `version` for every page, and `frame` for signed-in ones."""
    context: dict[str, Any] = {
        "theme": chosen_theme(request),
        "version": settings.MEGABRAIN_VERSION,
    }
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        context["frame"] = Frame(user, request.path)
    return context


def chosen_theme(request: HttpRequest) -> str:
    """`light`, `dark`, or nothing for whatever the system prefers."""
    theme = request.COOKIES.get(THEME_COOKIE, "")
    return theme if theme in THEMES else ""


class Frame:
    """The signed-in frame. It asks the database only for what a template shows of it."""

    version = settings.MEGABRAIN_VERSION

    def __init__(self, user: User, path: str) -> None:
        self.user = user
        self.path = path

    @property
    def email(self) -> str:
        return self.user.email

    @cached_property
    def accounts(self) -> list[AccountChoice]:
        """Every account the user belongs to, the personal one first."""
        return [self.choice(account) for account in Account.objects.of_member(self.user)]

    @cached_property
    def account(self) -> AccountChoice:
        return self.choice(self.user.account)

    def choice(self, account: Account) -> AccountChoice:
        return AccountChoice(
            name=account.name,
            kind="Personal account" if account.is_personal else "Organization",
            url=reverse("dashboard") if account.is_personal else "",
            current=account.pk == self.user.account.pk,
        )

    @cached_property
    def groups(self) -> list[Group]:
        """The sidebar: only what the user's role may open."""
        held = permissions_of(self.user, self.user.account)
        return [
            Group(label, [self.entry(place) for place in places if place.permission in held])
            for label, places in PLACES.items()
        ]

    def entry(self, place: Place) -> Entry:
        url = reverse(place.name)
        return Entry(
            label=place.label,
            icon=place.icon,
            url=url,
            current=self.path.startswith(url),
            alert=self.alert if place.name == "byok:keys" else None,
        )

    @property
    def alert(self) -> str:
        return "A key is failing" if self.failing else ""

    @cached_property
    def failing(self) -> list[str]:
        """Names of the providers whose enabled key is failing."""
        keys = ProviderKey.objects.for_account(self.user.account).enabled()
        ids = keys.filter(health=ProviderKey.Health.FAILING).values_list("provider", flat=True)
        return sorted(name_of(found) for found in ids)

    @cached_property
    def banners(self) -> list[Banner]:
        return list(self._banners())

    def _banners(self) -> Iterator[Banner]:
        if settings.MEGABRAIN_SIMULATOR:
            yield Banner(
                "info",
                "Simulator mode.",
                "This machine plays every provider: answers are made up and nothing is billed.",
            )
        if not EmailAddress.objects.filter(user=self.user, verified=True).exists():
            yield Banner(
                "warning",
                "Confirm your e-mail address.",
                f"Enter the code we send to {self.user.email}, or a lost password stays lost.",
                reverse("account_email"),
                "Send the code",
            )
        if self.failing:
            alone = len(self.failing) == 1
            yield Banner(
                "danger",
                f"Your {listed(self.failing)} {'key is' if alone else 'keys are'} failing.",
                f"Calls that only {'it' if alone else 'they'} can serve fail until "
                f"{'it is' if alone else 'they are'} fixed.",
                reverse("byok:keys"),
                "See what is wrong",
            )


def listed(names: list[str]) -> str:
    """`A`, `A and B`, `A, B and C`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
