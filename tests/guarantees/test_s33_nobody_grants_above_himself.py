"""S33: no form takes a field it does not show, and no role can raise itself or another.

Everybody posts every field of every model that has to do with accounts to every address of an
organization. Who is what, where, comes out of it as it was, or less.
"""

from typing import Any

import pytest
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from orgs.actions import create_organization, invite
from orgs.models import Account, ApiToken, Invitation, Membership, User
from orgs.origin import Origin
from tests.conftest import person, signed_in
from tests.fake_stripe import FakeStripe
from tests.guarantees.addresses import Address, World, addresses

pytestmark = pytest.mark.django_db

MODELS: tuple[type[Model], ...] = (User, Account, Membership, Invitation, ApiToken)
ORGANIZATION = [each for each in addresses() if each.route.startswith("orgs/<slug:slug>/")]
RANK = {"member": 0, "billing_manager": 1, "owner": 2}


@pytest.fixture
def elsewhere(stranger: User) -> Account:
    return create_organization(
        actor=stranger, owner=stranger, name="Other", slug="other", origin=Origin()
    )


@pytest.fixture
def world(
    owner: User, organization: Account, member: User, staff: User, stripe: FakeStripe
) -> World:
    return World(owner, organization, member, staff)


def every_field(user: User, elsewhere: Account) -> dict[str, Any]:  # Any: form data of all kinds.
    """The most that somebody could wish for, under every name that a model has for it."""
    wishes = {
        "account": str(elsewhere.pk),
        "user": str(user.pk),
        "role": "owner",
        "kind": "platform",
        "email": "someone@example.com",
        "emails": "someone@example.com",
        "requests_per_minute": "999999",
        "monthly_limit": "999999",
        "accepted_at": "2020-01-01 00:00",
        "revoked_at": "",
        "expires_at": "2099-01-01 00:00",
        "digest": "0" * 64,
        "password": "tulip-lantern-42",
    }
    posted = {}
    for model in MODELS:
        for field in model._meta.get_fields():
            for name in {field.name, getattr(field, "attname", field.name)}:
                posted[name] = wishes.get(name.removesuffix("_id"), "true")
    return posted | wishes | {"is_staff": "on", "is_superuser": "on"}


def standing() -> dict[tuple[str, str], int]:
    """Who ranks how where."""
    rows = Membership.objects.values_list("user__email", "account__slug", "role")
    return {(email, slug): RANK[role] for email, slug, role in rows}


def powers() -> list[Any]:  # Any: rows of several columns.
    return list(
        User.objects.order_by("pk").values_list(
            "pk", "email", "is_staff", "is_superuser", "is_active", "password"
        )
    )


def others(elsewhere: Account) -> list[Any]:  # Any: as above.
    """All that belongs to the other organization."""
    return [
        list(model._default_manager.filter(account=elsewhere).order_by("pk").values())
        for model in (Membership, Invitation, ApiToken)
    ] + list(Account.objects.filter(pk=elsewhere.pk).values())


@pytest.mark.parametrize("role", ["billing_manager", "member", "stranger"])
def test_nobody_without_the_right_raises_anybody(role, world, elsewhere, request):
    user = request.getfixturevalue(role)
    client = signed_in(user)
    posted = every_field(user, elsewhere)
    for address in ORGANIZATION:
        with transaction.atomic():
            url = world.url(address)
            before, people, other = standing(), powers(), others(elsewhere)
            sent = set(Invitation.objects.values_list("pk", "role", "accepted_at"))
            for headers in ({}, {"HX-Request": "true"}):
                client.post(url, posted, headers=headers)
            # One may leave, which takes something away, and from oneself alone.
            assert standing().items() <= before.items(), url
            gone = {email for email, _ in before.keys() - standing().keys()}
            assert gone <= {user.email}, url
            assert powers() == people, url
            assert others(elsewhere) == other, url
            assert set(Invitation.objects.values_list("pk", "role", "accepted_at")) == sent, url
            assert not ApiToken.objects.exclude(user__in=[world.owner, world.member, user]).exists()
            transaction.set_rollback(True)


def post(client: Client, name: str, membership: Membership, data: dict[str, Any]) -> None:
    url = reverse(f"orgs:{name}", kwargs={"slug": "acme", "id": membership.pk})
    assert client.post(url, data).status_code == 302


def test_an_owner_changes_what_the_form_is_for_and_no_more(
    owner, owner_client, member, organization, elsewhere
):
    posted = every_field(owner, elsewhere)
    membership = Membership.objects.get(user=member, account=organization)
    before, people, other = standing(), powers(), others(elsewhere)

    post(owner_client, "member_limit", membership, posted)
    changed = Membership.objects.get(pk=membership.pk)
    assert changed.requests_per_minute == 999999
    changed.requests_per_minute = None
    assert vars(changed) | {"_state": None} == vars(membership) | {"_state": None}

    post(owner_client, "member_role", membership, posted | {"role": "billing_manager"})
    changed = Membership.objects.get(pk=membership.pk)
    assert changed.role == "billing_manager"
    assert changed.requests_per_minute == 999999
    assert (changed.user, changed.account) == (member, organization)

    owner_client.post(reverse("orgs:invite", args=["acme"]), {**posted, "role": "member"})
    invitation = Invitation.objects.get()
    assert (invitation.account, invitation.role) == (organization, "member")
    assert (invitation.invited_by, invitation.accepted_at) == (owner, None)
    assert invitation.digest != "0" * 64
    assert invitation.expires_at.year < 2099

    assert standing() == before | {("member@example.com", "acme"): RANK["billing_manager"]}
    assert powers() == people
    assert others(elsewhere) == other


def test_accepting_takes_nothing_but_what_was_offered(
    owner, organization, elsewhere, django_capture_on_commit_callbacks, mailoutbox
):
    with django_capture_on_commit_callbacks(execute=True):
        invite(
            actor=owner,
            account=organization,
            email="new@example.com",
            role="member",
            origin=Origin(),
        )
    new = person("new")
    link = str(mailoutbox[-1].body).split("/invitations/")[1].split("/")[0]
    posted = every_field(new, elsewhere)
    answer = signed_in(new).post(reverse("orgs:invitation", args=[link]), posted)
    assert answer.status_code == 302
    membership = Membership.objects.get(user=new, account=organization)
    assert (membership.role, membership.requests_per_minute) == ("member", None)
    assert not Membership.objects.filter(user=new, account=elsewhere).exists()
    assert not User.objects.get(pk=new.pk).is_staff


def test_every_address_of_an_organization_was_tried():
    """The walk above has something to walk."""
    assert len(ORGANIZATION) > 20
    assert all(isinstance(each, Address) for each in ORGANIZATION)
