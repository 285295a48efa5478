"""S32, walked: each address of the site for each kind of visitor.

An address that is new fails here until it is listed with those it is for. Strangers, staff among
them, cannot tell what belongs to others from what is not there; members without the right are
refused openly; whoever is refused has changed nothing.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from orgs.models import Account, User
from tests.conftest import signed_in
from tests.fake_stripe import FakeStripe
from tests.guarantees.addresses import Address, World, addresses, everything

pytestmark = pytest.mark.django_db

OK, ABSENT, REFUSED, SIGN_IN = "let in", "404", "403", "asked to sign in"
NO_SUCH_METHOD = "405"
VISITORS = ("owner", "billing_manager", "member", "stranger", "staff", "nobody")


def for_(owner: str, manager: str, member: str, stranger: str, nobody: str) -> Mapping[str, str]:
    return dict(zip(VISITORS, (owner, manager, member, stranger, stranger, nobody), strict=True))


ANYBODY = for_(OK, OK, OK, OK, OK)
PEOPLE = for_(OK, OK, OK, OK, SIGN_IN)
#: What is of the owner alone, there or in the organization.
ITS_OWNER = for_(OK, ABSENT, ABSENT, ABSENT, SIGN_IN)
#: What is of the owner, and for those who see everybody's.
ITS_OWNER_AND_MANAGERS = for_(OK, OK, ABSENT, ABSENT, SIGN_IN)
MEMBERS = for_(OK, OK, OK, ABSENT, SIGN_IN)
MANAGERS = for_(OK, OK, REFUSED, ABSENT, SIGN_IN)
OWNERS = for_(OK, REFUSED, REFUSED, ABSENT, SIGN_IN)
STAFF = {**dict.fromkeys(VISITORS, ABSENT), "staff": OK, "nobody": SIGN_IN}

TABLE: dict[str, Mapping[str, str]] = {
    # Everybody's.
    "": ANYBODY,
    "models/": ANYBODY,
    "models/<path:id>": ANYBODY,
    "docs/": ANYBODY,
    "docs/<slug:slug>/": ANYBODY,
    "status/": ANYBODY,
    "theme/": ANYBODY,
    "healthz": ANYBODY,
    "readyz": ANYBODY,
    # It asks for a signature, of whoever comes.
    "webhooks/stripe/": ANYBODY,
    # Whoever has the link sees what it is; only the invited can accept.
    "invitations/<str:token>/": ANYBODY,
    # One's own.
    "dashboard/": PEOPLE,
    "account/tokens/": PEOPLE,
    "account/tokens/create/": PEOPLE,
    "account/tokens/<uuid:id>/spending/": ITS_OWNER,
    "account/tokens/<uuid:id>/revoke/": ITS_OWNER,
    "account/billing/": PEOPLE,
    "account/billing/alert/": PEOPLE,
    "account/billing/export/": PEOPLE,
    "account/activity/": PEOPLE,
    "account/activity/<int:sequence>/": PEOPLE,
    "account/activity/export/": PEOPLE,
    "account/profile/": PEOPLE,
    "account/profile/name/": PEOPLE,
    "account/profile/sessions/end/": PEOPLE,
    "account/profile/sessions/<int:id>/end/": ITS_OWNER,
    "account/usage/": PEOPLE,
    "account/usage/export/": PEOPLE,
    "account/usage/<uuid:request_id>/": ITS_OWNER,
    "account/byok/": PEOPLE,
    "account/byok/add/": PEOPLE,
    "account/byok/models/<slug:provider>/": PEOPLE,
    "account/byok/<uuid:key_id>/row/": ITS_OWNER,
    "account/byok/<uuid:key_id>/details/": ITS_OWNER,
    "account/byok/<uuid:key_id>/update/": ITS_OWNER,
    "account/byok/<uuid:key_id>/enabled/": ITS_OWNER,
    "account/byok/<uuid:key_id>/disable/": ITS_OWNER,
    "account/byok/<uuid:key_id>/reminder/": ITS_OWNER,
    "account/byok/route/": PEOPLE,
    "account/byok/<uuid:key_id>/failure/": ITS_OWNER,
    "account/byok/<uuid:key_id>/delete/": ITS_OWNER,
    "account/byok/<uuid:key_id>/test/": ITS_OWNER,
    "account/subscriptions/": PEOPLE,
    "account/subscriptions/<slug:plan>/subscribe/": PEOPLE,
    "account/subscriptions/<uuid:id>/cancel/": ITS_OWNER,
    "account/subscriptions/<uuid:id>/resume/": ITS_OWNER,
    "account/subscriptions/<uuid:id>/pay/": ITS_OWNER,
    "account/billing/credits/": PEOPLE,
    "account/billing/payments/": PEOPLE,
    "account/billing/payments/<uuid:id>/": ITS_OWNER,
    "account/billing/payments/<uuid:id>/checkout/": ITS_OWNER,
    "account/billing/auto-top-up/": PEOPLE,
    "account/billing/auto-top-up/off/": PEOPLE,
    "account/billing/auto-top-up/card/remove/": PEOPLE,
    "orgs/new/": PEOPLE,
    # An organization's.
    "orgs/<slug:slug>/": MEMBERS,
    "orgs/<slug:slug>/tokens/": MEMBERS,
    "orgs/<slug:slug>/tokens/create/": MEMBERS,
    "orgs/<slug:slug>/tokens/<uuid:id>/spending/": ITS_OWNER,
    "orgs/<slug:slug>/tokens/<uuid:id>/revoke/": ITS_OWNER,
    "orgs/<slug:slug>/billing/": MANAGERS,
    "orgs/<slug:slug>/billing/alert/": MANAGERS,
    "orgs/<slug:slug>/billing/export/": MANAGERS,
    "orgs/<slug:slug>/members/": MEMBERS,
    "orgs/<slug:slug>/leave/": MEMBERS,
    "orgs/<slug:slug>/usage/": MEMBERS,
    "orgs/<slug:slug>/usage/export/": MEMBERS,
    "orgs/<slug:slug>/usage/<uuid:request_id>/": ITS_OWNER_AND_MANAGERS,
    "orgs/<slug:slug>/byok/": MEMBERS,
    "orgs/<slug:slug>/byok/add/": MANAGERS,
    "orgs/<slug:slug>/byok/models/<slug:provider>/": MANAGERS,
    "orgs/<slug:slug>/byok/<uuid:key_id>/row/": MANAGERS,
    "orgs/<slug:slug>/byok/<uuid:key_id>/details/": MANAGERS,
    "orgs/<slug:slug>/byok/<uuid:key_id>/update/": MANAGERS,
    "orgs/<slug:slug>/byok/<uuid:key_id>/enabled/": MANAGERS,
    "orgs/<slug:slug>/byok/<uuid:key_id>/disable/": MANAGERS,
    "orgs/<slug:slug>/byok/<uuid:key_id>/reminder/": MANAGERS,
    "orgs/<slug:slug>/byok/route/": MANAGERS,
    "orgs/<slug:slug>/byok/<uuid:key_id>/failure/": MANAGERS,
    "orgs/<slug:slug>/byok/<uuid:key_id>/delete/": MANAGERS,
    "orgs/<slug:slug>/byok/<uuid:key_id>/test/": MANAGERS,
    "orgs/<slug:slug>/subscriptions/": MANAGERS,
    "orgs/<slug:slug>/subscriptions/<slug:plan>/subscribe/": MANAGERS,
    "orgs/<slug:slug>/subscriptions/<uuid:id>/cancel/": MANAGERS,
    "orgs/<slug:slug>/subscriptions/<uuid:id>/resume/": MANAGERS,
    "orgs/<slug:slug>/subscriptions/<uuid:id>/pay/": MANAGERS,
    "orgs/<slug:slug>/billing/credits/": MANAGERS,
    "orgs/<slug:slug>/billing/payments/": MANAGERS,
    "orgs/<slug:slug>/billing/payments/<uuid:id>/": MANAGERS,
    "orgs/<slug:slug>/billing/payments/<uuid:id>/checkout/": MANAGERS,
    "orgs/<slug:slug>/billing/auto-top-up/": MANAGERS,
    "orgs/<slug:slug>/billing/auto-top-up/off/": MANAGERS,
    "orgs/<slug:slug>/billing/auto-top-up/card/remove/": MANAGERS,
    "orgs/<slug:slug>/audit/": MANAGERS,
    "orgs/<slug:slug>/audit/<int:sequence>/": MANAGERS,
    "orgs/<slug:slug>/audit/export/": MANAGERS,
    "orgs/<slug:slug>/members/spending/": MANAGERS,
    "orgs/<slug:slug>/members/<uuid:id>/spending/": MANAGERS,
    "orgs/<slug:slug>/members/invite/": OWNERS,
    "orgs/<slug:slug>/members/<uuid:id>/": OWNERS,
    "orgs/<slug:slug>/members/<uuid:id>/role/": OWNERS,
    "orgs/<slug:slug>/members/<uuid:id>/limit/": OWNERS,
    "orgs/<slug:slug>/members/<uuid:id>/remove/": OWNERS,
    "orgs/<slug:slug>/members/<uuid:id>/tokens/<uuid:token>/revoke/": OWNERS,
    "orgs/<slug:slug>/members/invitations/<uuid:id>/resend/": OWNERS,
    "orgs/<slug:slug>/members/invitations/<uuid:id>/revoke/": OWNERS,
    "orgs/<slug:slug>/settings/": OWNERS,
    "orgs/<slug:slug>/settings/limits/": OWNERS,
    "orgs/<slug:slug>/settings/delete/": OWNERS,
    # Of the platform's keys staff replace the secret; this one is Acme's.
    "admin/byok/providerkey/<path:object_id>/secret/": {**STAFF, "staff": REFUSED},
}

# Signing in and its security settings; each page is about the visitor, whoever that is.
TABLE |= {
    f"accounts/{route}": ANYBODY
    for route in (
        "login/",
        "logout/",
        "signup/",
        "inactive/",
        "password/reset/",
        "password/reset/sent/",
        "^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        "password/reset/done/",
        # They lead to the profile, which asks.
        "2fa/",
        "passkeys/",
        "sessions/",
    )
}
TABLE |= {
    f"accounts/{route}": PEOPLE
    for route in (
        "reauthenticate/",
        "email/",
        "password/change/",
        "2fa/reauthenticate/",
        "2fa/app/activate/",
        "2fa/recovery-codes/generate/",
        "passkeys/reauthenticate/",
        "passkeys/add/",
        # For nobody they are a step in the middle of signing in.
        "confirm-email/",
        "2fa/authenticate/",
        "passkeys/login/",
    )
}
#: There for who has a second factor, which none of these visitors does.
TABLE |= {
    f"accounts/{route}": for_(ABSENT, ABSENT, ABSENT, ABSENT, SIGN_IN)
    for route in (
        "2fa/app/deactivate/",
        "2fa/recovery-codes/",
        "2fa/recovery-codes/download/",
    )
}
TABLE |= {f"accounts/passkeys/<int:pk>/{verb}/": ITS_OWNER for verb in ("rename", "remove")}

#: Where looking is for more people than changing.
BY_POST = {"invitations/<str:token>/": for_(OK, OK, OK, REFUSED, OK)}

ADDRESSES = addresses()
#: What a form has to name before it is more than a page that is not there.
SENT = {"byok:add": {"provider": "anthropic"}, "orgs:activity_export": {"format": "csv"}}


def admitted(address: Address) -> Mapping[str, str]:
    """Whom it is for. All of the admin is for staff; to others it is not there."""
    in_admin = address.route.startswith("admin/")
    return TABLE.get(address.route, STAFF) if in_admin else TABLE[address.route]


def test_every_address_is_listed_once():
    routes = {address.route for address in ADDRESSES}
    assert {route for route in routes if not route.startswith("admin/")} <= set(TABLE) <= routes
    assert all(address.name or address.route.startswith("admin/") for address in ADDRESSES)


@pytest.fixture
def world(
    owner: User, organization: Account, member: User, staff: User, stripe: FakeStripe
) -> World:
    return World(owner, organization, member, staff)


@pytest.fixture
def visitors(
    owner: User, billing_manager: User, member: User, stranger: User, staff: User
) -> dict[str, Client]:
    people = (owner, billing_manager, member, stranger, staff)
    clients = [*(signed_in(person) for person in people), Client()]
    return dict(zip(VISITORS, map(arrived, clients), strict=True))


def arrived(client: Client) -> Client:
    client.raise_request_exception = False
    # The first answer of a session also notes that there is one.
    client.get(reverse("healthz"))
    return client


# Any: django-stubs' own type of a test answer is private.
def outcome(answer: Any, no_such_method: set[int]) -> str:
    if answer.status_code in no_such_method:
        return NO_SUCH_METHOD
    place = urlsplit(answer.get("Location", "")).path
    if answer.status_code == 302 and place == reverse("account_login"):
        return SIGN_IN
    assert answer.status_code < 500, answer
    return {403: REFUSED, 404: ABSENT}.get(answer.status_code, OK)


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address.route)
def test_it_is_there_for_those_it_is_for(address, world, visitors):
    url, looking = world.url(address), admitted(address)
    changing = BY_POST.get(address.route, looking)
    # Most of what staff see is not for changing.
    none_or_refused = {405, 403} if looking is STAFF else {405}

    def looks(name: str) -> str:
        return outcome(visitors[name].get(url), {405})

    def changes(name: str) -> str:
        answer = visitors[name].post(url, SENT.get(address.name))
        return outcome(answer, none_or_refused)

    before = everything()
    for name in VISITORS:
        if looking[name] != OK:
            assert looks(name) in {looking[name], NO_SUCH_METHOD}, name
        if changing[name] != OK:
            assert changes(name) in {changing[name], NO_SUCH_METHOD}, name
    assert everything() == before, "somebody who was refused has changed something"
    for name in VISITORS:
        with transaction.atomic():
            if looking[name] == OK:
                assert looks(name) in {OK, NO_SUCH_METHOD}, name
            if changing[name] == OK:
                assert changes(name) in {OK, NO_SUCH_METHOD}, name
            transaction.set_rollback(True)


def test_the_role_is_asked_for_before_the_password(world, member, stranger):
    """Those who would be refused are not asked who they are first, however long ago they said."""
    old = {"member": signed_in(member, ago=86_400), "stranger": signed_in(stranger, ago=86_400)}
    organization = [each for each in ADDRESSES if each.route.startswith("orgs/<slug:slug>/")]
    for address in organization:
        with transaction.atomic():
            url = world.url(address)
            for name, client in old.items():
                expected = admitted(address)[name]
                if expected != OK:
                    for answer in (client.get(url), client.post(url, SENT.get(address.name))):
                        assert outcome(answer, {405}) in {expected, NO_SUCH_METHOD}, (name, url)
            transaction.set_rollback(True)


OURS = [each for each in ADDRESSES if not each.route.startswith(("admin/", "accounts/"))]


@pytest.mark.parametrize("address", OURS, ids=lambda address: address.route)
def test_who_asks_for_the_head_of_a_page_is_answered_as_if_for_the_page(address, world, owner):
    url, client = world.url(address), arrived(signed_in(owner))
    before = everything()
    page, head = client.get(url), client.head(url)
    assert head.status_code == page.status_code < 500
    assert head.get("Location") == page.get("Location")
    assert head.content == b""
    assert everything() == before
