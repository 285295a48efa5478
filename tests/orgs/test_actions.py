"""People and their personal accounts."""

import threading

import pytest
from allauth.account.models import EmailAddress
from django.db import connection

from orgs.actions import EmailTaken, create_user, open_personal_account
from orgs.audit import Event
from orgs.models import Account, AuditEvent, Membership, User
from orgs.origin import Origin


def ann(
    email: str = "ann@example.com",
    name: str = "",
    email_verified: bool = False,
    origin: Origin = Origin(),  # noqa: B008 -- it is frozen.
) -> User:
    return create_user(
        email=email,
        password="tulip-lantern-42",
        name=name,
        email_verified=email_verified,
        origin=origin,
    )


@pytest.mark.django_db
def test_a_new_user_owns_a_personal_account():
    user = ann(name="Ann")
    account = user.account
    assert account.kind == Account.Kind.PERSONAL
    assert account.name == "Ann"
    assert Membership.objects.get(account=account).role == Membership.Role.OWNER
    assert user.check_password("tulip-lantern-42")
    assert not user.is_staff


@pytest.mark.django_db
def test_the_first_event_of_an_account_is_its_opening():
    account = ann(origin=Origin.command("create_user")).account
    event = AuditEvent.objects.get(account_id=account.pk)
    assert event.event == Event.ACCOUNT_OPENED
    assert event.sequence == 1
    assert event.actor_id is None, "an operator opened it, not the person"
    assert event.user_agent == "manage.py create_user"


@pytest.mark.django_db
def test_whoever_signs_up_opened_the_account_themselves():
    user = User(email="new@example.com")
    user.save()
    account = open_personal_account(user, Origin(address="192.0.2.7"))
    event = AuditEvent.objects.get(account_id=account.pk)
    assert event.actor_id == user.pk
    assert event.address == "192.0.2.7"


@pytest.mark.django_db
@pytest.mark.parametrize("verified", [True, False])
def test_the_address_is_verified_only_if_the_caller_says_so(verified):
    user = ann(email_verified=verified)
    address = EmailAddress.objects.get(user=user)
    assert address.primary
    assert address.verified is verified


@pytest.mark.django_db
def test_an_address_is_taken_whatever_its_case():
    ann()
    with pytest.raises(EmailTaken):
        ann(email="Ann@Example.com")
    assert User.objects.count() == 1
    assert Account.objects.filter(kind="personal").count() == 1


@pytest.mark.django_db
def test_a_slug_tells_nothing_of_the_person():
    account = ann(name="Ann").account
    assert "ann" not in account.slug.removeprefix("personal-")


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_gets_the_address():
    outcomes: list[str] = []

    def run():
        try:
            ann()
            outcomes.append("made")
        except EmailTaken:
            outcomes.append("taken")
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made", "taken", "taken", "taken"]
    assert Account.objects.filter(kind="personal").count() == 1
