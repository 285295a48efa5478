"""Every address of the site, from its URL table, and a world in which each leads somewhere."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import connection
from django.db.models import F, Model
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from billing.actions import freeze
from billing.models import (
    AutoTopUp,
    Hold,
    LedgerEntry,
    Payment,
    PlanKey,
    Spending,
    Subscription,
    SubscriptionTerm,
    UsageRecord,
    Wallet,
)
from billing.subscriptions.actions import cancel
from billing.subscriptions.renewing import renew_due
from billing.subscriptions.stock import withdraw_plan_key
from byok.actions import add_key
from byok.models import (
    CatalogModel,
    CatalogueSource,
    ChangeSet,
    KeyTest,
    Offering,
    Price,
    ProviderKey,
)
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
from tests.billing.subscribing import fund, plan_plus, stock, subscribed
from tests.billing.wallets import Payer
from tests.conftest import person, signed_in
from tests.stripe_fixture import begun

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
        #: What has become of the subscription, and of the key in stock, that there are.
        self.standing = "active"

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

    def plan(self, account: Account) -> str:
        """The slug of a plan that the account can subscribe to."""
        fund(account, 60)
        stock(self.staff, 1)
        return plan_plus().slug

    def plan_key(self) -> PlanKey:
        [key] = stock(self.staff, 1)
        if self.standing == "withdrawn":
            withdraw_plan_key(actor=self.staff, key=key, origin=Origin(), now=timezone.now())
        return key

    def subscription(self, account: Account) -> Subscription:
        self.plan(account)
        now = timezone.now()
        subscription = subscribed(self.owner, account, now)
        if self.standing == "cancelled":
            cancel(actor=self.owner, subscription=subscription, origin=Origin(), now=now)
        if self.standing == "past due":
            wallet = Wallet.objects.filter(pk=account.pk)
            wallet.update(held_micros=F("posted_micros"))
            renew_due(subscription.renews_at)
            wallet.update(held_micros=0)
        return subscription

    def cancelled(self) -> None:
        self.standing = "cancelled"

    def past_due(self) -> None:
        self.standing = "past due"

    def withdrawn(self) -> None:
        self.standing = "withdrawn"

    def keep_cards(self, *, enabled: bool = False) -> None:
        """Of both accounts, to be charged by itself if that is on."""
        for account in (self.owner.account, self.organization):
            AutoTopUp.objects.create(
                account_id=account.pk,
                customer="cus_1",
                card="pm_good",
                card_label="Visa ···· 4242",
                enabled=enabled,
                below_micros=5_000_000,
                amount_micros=20_000_000,
                monthly_cap_micros=100_000_000,
                agreed_by=self.owner.pk,
                agreed_at=timezone.now(),
            )

    def top_up_by_itself(self) -> None:
        self.keep_cards(enabled=True)

    def autotopup(self) -> object:
        self.keep_cards(enabled=self.standing == "topping up")
        return self.organization.pk

    def topping_up(self) -> None:
        self.standing = "topping up"

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
            "cataloguesource": lambda: CatalogueSource.objects.values_list("pk", flat=True)[0],
            "changeset": lambda: (
                ChangeSet.objects.create(
                    source="novita", state=ChangeSet.State.WAITING, changes=[]
                ).pk
            ),
            "autotopup": self.autotopup,
            "catalogmodel": lambda: quote(CatalogModel.objects.values_list("pk", flat=True)[0]),
            "invitation": lambda: self.invitation().pk,
            "hold": lambda: self.call(Hold),
            "keytest": lambda: KeyTest.objects.create(key=self.key(self.organization)).pk,
            "ledgerentry": lambda: self.call(LedgerEntry),
            "membership": lambda: self.membership().pk,
            "offering": lambda: Offering.objects.values_list("pk", flat=True)[0],
            "payment": lambda: begun(self.owner, self.organization).pk,
            "plan": lambda: plan_plus().pk,
            "plankey": lambda: self.plan_key().pk,
            "price": lambda: Price.objects.values_list("pk", flat=True)[0],
            "providerkey": lambda: self.key(self.organization).pk,
            "spending": lambda: self.call(Spending),
            "subscription": lambda: self.subscription(self.organization).pk,
            "usagerecord": self.usage,
            "user": lambda: self.member.pk,
            "wallet": self.wallet,
        }
        return rows[model]()

    def usage(self) -> object:
        return UsageRecord.objects.get(request_id=self.request(self.organization)).pk

    def request(self, account: Account) -> UUID:
        """A call of the owner's, whom it concerns alone."""
        return UsageRecord.objects.create(
            account_id=account.pk,
            user_id=self.owner.pk,
            endpoint="messages",
            status=200,
            outcome="ok",
            latency_ms=1,
            created_at=timezone.now(),
        ).request_id

    def wallet(self) -> object:
        fund(self.organization, 5)
        if self.standing == "frozen":
            freeze(actor=self.staff, account_id=self.organization.pk, why="Drift.", origin=Origin())
        return self.organization.pk

    def frozen(self) -> None:
        self.standing = "frozen"

    def call(self, kept: type[Model]) -> object:
        """What is kept of a call that the balance paid: the id of one such row."""
        self.wallet()
        Payer(self.organization.pk, self.owner.pk).call(100, 60)
        return kept._default_manager.values_list("pk", flat=True)[0]

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
            ("models", "id"): lambda: "openai/gpt-6-luna",
            ("activity", "sequence"): lambda: 1,
            ("audit", "sequence"): lambda: 1,
            ("usage", "request_id"): lambda: self.request(account),
            ("byok", "key_id"): lambda: self.key(account).pk,
            ("payments", "id"): lambda: begun(self.owner, account).pk,
            ("passkeys", "pk"): lambda: self.passkey().pk,
            ("subscriptions", "id"): lambda: self.subscription(account).pk,
            ("subscriptions", "plan"): lambda: self.plan(account),
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
    AutoTopUp,
    Invitation,
    KeyTest,
    LedgerEntry,
    Membership,
    Payment,
    Subscription,
    SubscriptionTerm,
    Wallet,
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
        cursor.execute("SELECT * FROM billing_plankey ORDER BY id")
        rows["PlanKey"] = list(cursor.fetchall())
        cursor.execute("SELECT * FROM billing_plan ORDER BY id")
        rows["Plan"] = list(cursor.fetchall())
        cursor.execute("SELECT * FROM account_emailaddress ORDER BY id")
        rows["EmailAddress"] = list(cursor.fetchall())
    rows["User"] = list(
        User.objects.order_by("pk").values("pk", "email", "name", "password", "is_active")
    )
    rows["UserSession"] = list(UserSession.objects.order_by("pk").values_list("pk", flat=True))
    return rows
