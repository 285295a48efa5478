"""What the frame around every page shows: accounts, entries, banners, theme."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from allauth.account.models import EmailAddress
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property

from byok.models import ProviderKey
from byok.providers import name_of
from megabrain.site.templatetags.ui import listed
from orgs.access import account_url, enter_last
from orgs.models import Account
from orgs.permissions import Permission, assists
from orgs.requests import SignedInRequest

MANY_ACCOUNTS = 10
THEMES = ("light", "dark")
# Over TLS bound to this very host, as the other cookies are.
THEME_COOKIE = "__Host-theme" if settings.SESSION_COOKIE_SECURE else "theme"


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the sidebar; `permission` is what one needs to open it.

    Every account has a page of that name of its own, unless it is `shared`.
    """

    label: str
    icon: str
    name: str
    permission: Permission = Permission.USE_ACCOUNT
    shared: bool = False


USE = [
    Place("Dashboard", "home", "dashboard"),
    Place("Models", "cube", "models", shared=True),
    Place("Usage", "chart", "usage"),
    Place("API tokens", "token", "orgs:tokens", Permission.OWN_TOKENS),
]
KEYS = Place("Bring Your Own Key (BYOK)", "key", "byok:keys", Permission.SEE_PROVIDERS)
BILLING = Place("Billing", "card", "billing:balance", Permission.MANAGE_BILLING)
SUBSCRIPTIONS = Place(
    "Subscription Center", "calendar", "billing:subscriptions", Permission.MANAGE_BILLING
)
HELP = [Place("Docs", "book", "docs", shared=True)]
PERSONAL = {
    "": USE,
    "Account": [
        KEYS,
        BILLING,
        SUBSCRIPTIONS,
        Place("Activity", "pulse", "orgs:activity", Permission.READ_AUDIT),
        Place("Profile & security", "shield", "orgs:profile", shared=True),
    ],
    "Help": HELP,
}
ORGANIZATION = {
    "": USE,
    "Organization": [
        Place("Members", "users", "orgs:members"),
        KEYS,
        BILLING,
        SUBSCRIPTIONS,
        Place("Audit log", "pulse", "orgs:activity", Permission.READ_AUDIT),
        Place("Settings", "settings", "orgs:settings", Permission.MANAGE_ORGANIZATION),
    ],
    "Help": HELP,
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
    """An account in the switcher; `url` is its dashboard."""

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
        context["frame"] = Frame(cast("SignedInRequest", request))
    return context


def chosen_theme(request: HttpRequest) -> str:
    """`light`, `dark`, or nothing for whatever the system prefers."""
    theme = request.COOKIES.get(THEME_COOKIE, "")
    return theme if theme in THEMES else ""


class Frame:
    """The signed-in frame. It asks the database only for what a template shows of it."""

    version = settings.MEGABRAIN_VERSION

    def __init__(self, request: SignedInRequest) -> None:
        if not hasattr(request, "account"):
            enter_last(request)
        self.user = request.user
        self.path = request.path
        self.current = request.account
        self.permissions = request.permissions

    @property
    def email(self) -> str:
        return self.user.email

    @property
    def assists(self) -> bool:
        """Whether the admin is there for them."""
        return assists(self.user)

    @cached_property
    def accounts(self) -> list[AccountChoice]:
        """Every account the user belongs to, the personal one first."""
        return [self.choice(account) for account in Account.objects.of_member(self.user)]

    @property
    def many(self) -> bool:
        """Whether there are so many accounts that one looks for one by name."""
        return len(self.accounts) > MANY_ACCOUNTS

    @cached_property
    def account(self) -> AccountChoice:
        return self.choice(self.current)

    def choice(self, account: Account) -> AccountChoice:
        return AccountChoice(
            name=account.name,
            # Two organizations may have the same name.
            kind="Personal account" if account.is_personal else f"Organization · {account.slug}",
            url=account_url("dashboard", account),
            current=account.pk == self.current.pk,
        )

    @cached_property
    def groups(self) -> list[Group]:
        """The sidebar: only what the user's role may open."""
        places = PERSONAL if self.current.is_personal else ORGANIZATION
        return [
            Group(label, [self.entry(place) for place in group if self.may_open(place)])
            for label, group in places.items()
        ]

    def may_open(self, place: Place) -> bool:
        return place.permission in self.permissions

    def entry(self, place: Place) -> Entry:
        url = reverse(place.name) if place.shared else account_url(place.name, self.current)
        return Entry(
            label=place.label,
            icon=place.icon,
            url=url,
            # An organization's dashboard is above all of its pages.
            current=self.path == url if place.name == "dashboard" else self.path.startswith(url),
            alert=self.alert if place is KEYS else None,
        )

    @property
    def whose(self) -> str:
        return "Your" if self.current.is_personal else f"The organization {self.current}'s"

    @property
    def alert(self) -> str:
        return "A key is failing" if self.failing else ""

    @cached_property
    def failing(self) -> list[str]:
        """Names of the providers whose enabled key is failing, for those who can do about it."""
        if Permission.MANAGE_KEYS not in self.permissions:
            return []
        keys = ProviderKey.objects.for_account(self.current).enabled()
        ids = keys.filter(health=ProviderKey.Health.FAILING).values_list("provider", flat=True)
        return sorted(map(name_of, ids), key=str.lower)

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
                f"{self.whose} {listed(self.failing)} {'key is' if alone else 'keys are'} failing.",
                f"Calls that only {'it' if alone else 'they'} can serve fail until "
                f"{'it is' if alone else 'they are'} fixed.",
                account_url("byok:keys", self.current),
                "See what is wrong",
            )
