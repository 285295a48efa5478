"""What the frame around every page shows: accounts, entries, banners, theme."""

from dataclasses import dataclass, field
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property

from byok.models import ProviderKey
from byok.providers import PROVIDERS
from orgs.models import Account, Membership, User
from orgs.permissions import Permission, permissions_of

THEMES = ("light", "dark")
THEME_COOKIE = "theme"


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
class Entry:
    label: str
    icon: str
    url: str
    current: bool
    alert: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    label: str
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class Banner:
    tone: str
    title: str
    text: str
    href: str = ""
    label: str = ""


@dataclass(slots=True)
class Place:
    """An entry of the sidebar before it is known who looks at it."""

    label: str
    icon: str
    name: str
    permission: Permission | None = None
    alert: str = field(default="")


class Frame:
    """Computed when a template asks, so that fragments and signed-out pages cost nothing."""

    def __init__(self, request: HttpRequest, user: User) -> None:
        self.request = request
        self.user = user
        self.version = settings.MEGABRAIN_VERSION

    @property
    def email(self) -> str:
        return self.user.email

    @cached_property
    def owner(self) -> Account:
        return self.user.account

    @cached_property
    def accounts(self) -> list[AccountChoice]:
        memberships = Membership.objects.filter(user=self.user).select_related("account")
        return [
            self.choice(membership.account)
            for membership in memberships.order_by("account__kind", "account__name")
        ][::-1]

    @property
    def account(self) -> AccountChoice:
        return self.choice(self.owner)

    def choice(self, account: Account) -> AccountChoice:
        personal = account.is_personal
        return AccountChoice(
            name=(self.user.name or account.name) if personal else account.name,
            kind="Personal account" if personal else "Organization",
            url=reverse("dashboard") if personal else "",
            current=account.pk == self.owner.pk,
        )

    @cached_property
    def failing(self) -> list[str]:
        """Names of the providers whose key of this account fails."""
        found = ProviderKey.objects.for_account(self.owner).enabled()
        ids = found.filter(health=ProviderKey.Health.FAILING).values_list("provider", flat=True)
        return sorted(PROVIDERS[id].name if id in PROVIDERS else id for id in ids)  # noqa: A001

    @cached_property
    def navigation(self) -> list[Group]:
        alert = "A key is failing" if self.failing else ""
        groups = [
            ("", [Place("Dashboard", "home", "dashboard"), Place("API tokens", "token", "orgs:tokens", Permission.OWN_TOKENS)]),
            (
                "Account",
                [
                    Place("Bring Your Own Key (BYOK)", "key", "byok:keys", Permission.SEE_PROVIDERS, alert),
                    Place("Activity", "pulse", "orgs:activity", Permission.READ_AUDIT),
                    Place("Profile & security", "shield", "orgs:profile"),
                ],
            ),
            ("Help", [Place("Docs", "book", "docs")]),
        ]
        held = permissions_of(self.user, self.owner)
        return [
            Group(label, [self.entry(place) for place in places if place.permission is None or place.permission in held])
            for label, places in groups
        ]

    def entry(self, place: Place) -> Entry:
        url = reverse(place.name)
        return Entry(
            place.label, place.icon, url, current=self.request.path.startswith(url), alert=place.alert
        )

    @cached_property
    def banners(self) -> list[Banner]:
        banners = []
        if settings.MEGABRAIN_SIMULATOR:
            banners.append(
                Banner(
                    "info",
                    "Simulator mode.",
                    "Providers are played by this machine: answers are made up and nothing is billed.",
                )
            )
        if not EmailAddress.objects.filter(user=self.user, verified=True).exists():
            banners.append(
                Banner(
                    "warning",
                    "Confirm your e-mail address.",
                    f"We sent a link to {self.user.email}; until you open it you cannot reset a forgotten password.",
                    reverse("account_email"),
                    "Send it again",
                )
            )
        if self.failing:
            names = " and ".join(self.failing)
            banners.append(
                Banner(
                    "danger",
                    f"Your {names} key is failing." if len(self.failing) == 1 else f"Your {names} keys are failing.",
                    "Requests that need it return an error until it is fixed.",
                    reverse("byok:keys"),
                    "See what is wrong",
                )
            )
        return banners


def frame(request: HttpRequest) -> dict[str, Any]:  # Any: what Django's context processors return
    """`theme` for every page and `frame` for signed-in ones."""
    theme = request.COOKIES.get(THEME_COOKIE, "")
    context: dict[str, Any] = {
        "theme": theme if theme in THEMES else "",
        "version": settings.MEGABRAIN_VERSION,
        "simulator": settings.MEGABRAIN_SIMULATOR,
    }
    user = getattr(request, "user", None)
    if isinstance(user, User) or getattr(user, "is_authenticated", False):
        context["frame"] = Frame(request, user)
    return context
