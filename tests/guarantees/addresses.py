"""Every address of the site, from its URL table, and a world in which each leads somewhere."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import connection
from django.db.models import Model
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from billing.models import UsageRecord
from byok.actions import add_key
from byok.models import CatalogModel, KeyTest, Offering, Price, ProviderKey
from byok.vault import Secret
from orgs.actions import change_role, close_user, create_token, invite
from orgs.models import (
    Account,
    ApiToken,
    AuditEvent,
    AuditHead,
    Invitation,
    Membership,
    User,
)
from orgs.models.invitations import VALID_FOR
from orgs.origin import Origin
from orgs.tokens import digest
from tests.conftest import person, signed_in

INVITED = "a-link-that-was-sent-to-invited-at-example-com"
SECRET = "sk-ant-api03-sim-ok-0123456789abcdefghij"


@dataclass(frozen=True)
class Address:
    """A line of the URL table: where it is, and what it is called."""

    route: str
    name: str
    parameters: tuple[str, ...]


def addresses() -> list[Address]:
    return list(_addresses(get_resolver()))


def _addresses(resolver: URLResolver, namespace: str = "", prefix: str = "") -> Iterator[Address]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            inner = f"{pattern.namespace}:" if pattern.namespace else ""
            yield from _addresses(pattern, namespace + inner, route)
        else:
            assert isinstance(pattern, URLPattern)
            own = pattern.pattern.converters or pattern.pattern.regex.groupindex
            parameters = (*_converters(prefix), *own)
            yield Address(route, f"{namespace}{pattern.name}" if pattern.name else "", parameters)


def registered() -> dict[type[Model], Any]:  # Any: ModelAdmin takes no type at run time.
    """The models that staff find in the admin."""
    return dict(admin.site._registry)


def _converters(prefix: str) -> list[str]:
    return ["slug"] if "<slug:slug>" in prefix else []


class World:
    """The owner's personal account and Acme, each with one of everything that has an address."""

    def __init__(self, owner: User, organization: Account, member: User, staff: User) -> None:
        self.owner = owner
        self.organization = organization
        self.member = member
        self.staff = staff
        #: Who may open the letter with INVITED.
        self.invited = person("invited")

    def key(self, account: Account) -> ProviderKey:
        return add_key(
            actor=self.owner,
            account=account,
            provider="anthropic",
            secret=Secret(SECRET),
            origin=Origin(),
        )

    def token(self, account: Account, user: User | None = None) -> ApiToken:
        return create_token(actor=user or self.owner, account=account, name="ci", origin=Origin())[
            0
        ]

    def invitation(self) -> Invitation:
        return invite(
            actor=self.owner,
            account=self.organization,
            email="new@example.com",
            role=Membership.Role.MEMBER,
            origin=Origin(),
        )

    def letter(self) -> str:
        """The token of an invitation that has arrived."""
        Invitation.objects.create(
            account=self.organization,
            email=self.invited.email,
            role=Membership.Role.MEMBER,
            digest=digest(INVITED),
            invited_by=self.owner,
            expires_at=timezone.now() + VALID_FOR,
        )
        return INVITED

    def close_member(self) -> None:
        close_user(actor=self.staff, user=self.member, origin=Origin())

    def promote_member(self) -> None:
        change_role(
            actor=self.owner,
            membership=self.membership(),
            role=Membership.Role.BILLING_MANAGER,
            origin=Origin(),
        )

    def row(self, model: str) -> object:
        """The id of a row of a model, as the admin's addresses have it."""
        rows: dict[str, Callable[[], object]] = {
            "account": lambda: self.organization.pk,
            "apitoken": lambda: self.token(self.organization).pk,
            "auditevent": lambda: AuditEvent.objects.values_list("pk", flat=True)[0],
            "audithead": lambda: self.organization.pk,
            "catalogmodel": lambda: quote(CatalogModel.objects.values_list("pk", flat=True)[0]),
            "invitation": lambda: self.invitation().pk,
            "keytest": lambda: KeyTest.objects.create(key=self.key(self.organization)).pk,
            "membership": lambda: self.membership().pk,
            "offering": lambda: Offering.objects.values_list("pk", flat=True)[0],
            "price": lambda: Price.objects.values_list("pk", flat=True)[0],
            "providerkey": lambda: self.key(self.organization).pk,
            "usagerecord": self.usage,
            "user": lambda: self.member.pk,
        }
        return rows[model]()

    def usage(self) -> object:
        return UsageRecord.objects.create(
            account_id=self.organization.pk,
            endpoint="messages",
            status=200,
            outcome="ok",
            latency_ms=1,
            created_at=timezone.now(),
        ).pk

    def membership(self) -> Membership:
        return Membership.objects.get(account=self.organization, user=self.member)

    def session(self) -> UserSession:
        """Another browser in which the owner is signed in."""
        signed_in(self.owner).get(reverse("dashboard"))
        return UserSession.objects.latest("pk")

    def passkey(self) -> Authenticator:
        return Authenticator.objects.create(
            user=self.owner,
            type=Authenticator.Type.WEBAUTHN,
            data={"name": "Laptop", "credential": {}},
        )

    def url(self, address: Address) -> str:
        """The address with the ids of things that exist."""
        values = {name: self._value(name, address) for name in address.parameters}
        return reverse(address.name, kwargs=values)

    def _value(self, parameter: str, address: Address) -> Any:  # Any: whatever the route takes.
        if parameter in {"uidb36", "key"}:
            return "1"  # Of nobody's letter.
        if parameter == "app_label":
            return "orgs"
        in_organization = address.route.startswith("orgs/")
        account = self.organization if in_organization else self.owner.account
        parts = address.route.split("/")
        here = next(place for place, part in enumerate(parts) if part.endswith(f":{parameter}>"))
        place = next(part for part in reversed(parts[:here]) if "<" not in part)
        if parameter == "object_id":
            return self.row(place)
        things: dict[tuple[str, str], Callable[[], object]] = {
            ("orgs", "slug"): lambda: self.organization.slug,
            ("docs", "slug"): lambda: "byok",
            ("models", "provider"): lambda: "anthropic",
            ("activity", "sequence"): lambda: 1,
            ("audit", "sequence"): lambda: 1,
            ("byok", "key_id"): lambda: self.key(account).pk,
            ("passkeys", "pk"): lambda: self.passkey().pk,
            ("tokens", "id"): lambda: self.token(account).pk,
            ("tokens", "token"): lambda: self.token(account, self.member).pk,
            ("sessions", "id"): lambda: self.session().pk,
            ("members", "id"): lambda: self.membership().pk,
            ("invitations", "id"): lambda: self.invitation().pk,
            ("invitations", "token"): self.letter,
        }
        return things[place, parameter]()


KEPT: tuple[type[Model], ...] = (
    Account,
    ApiToken,
    AuditEvent,
    AuditHead,
    Authenticator,
    Invitation,
    KeyTest,
    Membership,
)


def everything() -> dict[str, list[object]]:
    """All that belongs to an account, and who is signed in where."""
    rows: dict[str, list[object]] = {
        model.__name__: list(model._default_manager.order_by("pk").values()) for model in KEPT
    }
    # Raw, as a sealed secret differs from itself; without what a mere visit changes.
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM byok_providerkey ORDER BY id")
        rows["ProviderKey"] = list(cursor.fetchall())
        cursor.execute("SELECT * FROM account_emailaddress ORDER BY id")
        rows["EmailAddress"] = list(cursor.fetchall())
    rows["User"] = list(
        User.objects.order_by("pk").values("pk", "email", "name", "password", "is_active")
    )
    rows["UserSession"] = list(UserSession.objects.order_by("pk").values_list("pk", flat=True))
    return rows
