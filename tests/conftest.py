"""The cast: the people that every test of who-may-do-what is about."""

import gc
import time
from collections.abc import Generator

import pytest
from allauth.account.internal.userkit import user_id_to_str
from django.test import Client

from orgs.actions import create_organization, create_user
from orgs.models import Account, Membership, User
from orgs.origin import Origin

pytest_plugins = [
    "tests.simulator_fixture",
    "tests.gateway_fixture",
    "tests.stripe_fixture",
    "tests.balance_fixture",
    "tests.visitor",
    "tests.chromium",
]

PASSWORD = "correct horse battery staple"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collecting makes is there to stay: to look for garbage takes a fifth of the time.

    Afterwards it is looked for less often, which saves a tenth of the suite's time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(20_000, 20, 50)


def person(name: str, *, is_staff: bool = False) -> User:
    return create_user(
        email=f"{name}@example.com",
        password=PASSWORD,
        name=name.title(),
        is_staff=is_staff,
        email_verified=True,
        origin=Origin(),
    )


def signed_in(user: User, *, ago: float = 0) -> Client:
    """A browser in which `user` signed in just now, or `ago` seconds, with the password."""
    client = Client()
    client.force_login(user)
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time() - ago}]
    session["account_authentication_methods_user"] = user_id_to_str(user)
    session.save()
    return client


@pytest.fixture
def owner(db: None) -> User:
    return person("owner")


@pytest.fixture
def stranger(db: None) -> User:
    return person("stranger")


@pytest.fixture
def staff(db: None) -> User:
    return person("staff", is_staff=True)


@pytest.fixture
def billing_manager(db: None) -> User:
    return person("billing_manager")


@pytest.fixture
def member(db: None) -> User:
    return person("member")


@pytest.fixture
def organization(owner: User, billing_manager: User, member: User) -> Account:
    """Acme, with one person of each role."""
    acme = create_organization(actor=owner, owner=owner, name="Acme", slug="acme", origin=Origin())
    for user, role in (
        (billing_manager, Membership.Role.BILLING_MANAGER),
        (member, Membership.Role.MEMBER),
    ):
        Membership.objects.create(account=acme, user=user, role=role)
    return acme


@pytest.fixture
def account(owner: User) -> Account:
    """The owner's personal account."""
    return owner.account


@pytest.fixture
def owner_client(owner: User) -> Client:
    return signed_in(owner)


@pytest.fixture
def billing_manager_client(billing_manager: User) -> Client:
    return signed_in(billing_manager)


@pytest.fixture
def member_client(member: User) -> Client:
    return signed_in(member)


@pytest.fixture
def stranger_client(stranger: User) -> Client:
    return signed_in(stranger)


@pytest.fixture
def staff_client(staff: User) -> Client:
    return signed_in(staff)
