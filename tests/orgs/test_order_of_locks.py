"""Changes that meet on the same rows end one after the other; none dies in a deadlock.

SQLite lets one writer in at a time; on PostgreSQL it takes all of them to lock in one order.
"""

import os
from functools import partial

import pytest
from django.core.cache import cache
from django.db import connection
from django.http import HttpResponse
from django.urls import reverse

from byok.actions import add_key
from byok.key_tests import perform
from byok.models import KeyTest
from byok.vault import Secret
from orgs.actions import (
    close_user,
    create_organization,
    create_token,
    delete_organization,
    rename_user,
    reopen_user,
    revoke_token,
)
from orgs.models import Account, AuditHead, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from tests.byok.conftest import ANTHROPIC_SECRET
from tests.conftest import PASSWORD, signed_in
from tests.together import at_once, held, meanwhile

ROUNDS = int(os.environ.get("MEGABRAIN_RACES", "8"))
ORIGIN = Origin()

pytestmark = pytest.mark.django_db(transaction=True)


def opened(owner: User) -> Account:
    return create_organization(actor=owner, owner=owner, name="Acme", origin=ORIGIN)


def delete(owner: User, account: Account) -> bool:
    delete_organization(actor=owner, account=account, origin=ORIGIN)
    return True


def test_a_token_is_revoked_while_its_organization_is_deleted(owner):
    for _ in range(ROUNDS):
        account = opened(owner)
        token, _ = create_token(actor=owner, account=account, name="ci", origin=ORIGIN)
        _, deleted, _ = at_once(
            held(AuditHead.objects.get(pk=account.pk)),
            partial(delete, owner, account),
            partial(revoke_token, actor=owner, token=token, origin=ORIGIN),
            refusals=(Account.DoesNotExist,),
        )
        assert deleted is True


def test_somebody_is_renamed_while_shut_out(member, staff):
    for number in range(ROUNDS):
        _, _, closed = at_once(
            held(member.account),
            partial(rename_user, actor=member, name=f"M {number}", origin=ORIGIN),
            lambda: close_user(actor=staff, user=member, origin=ORIGIN),
            refusals=(NotPermitted,),
        )
        assert closed is True
        assert reopen_user(actor=staff, user=member, origin=ORIGIN)


@pytest.mark.usefixtures("no_attempts_yet")
def test_somebody_changes_the_password_while_shut_out(member, staff):
    for number in range(ROUNDS):
        cache.clear()
        member.set_password(PASSWORD)
        member.save(update_fields=["password"])
        client, other = signed_in(member), signed_in(member)
        other.get(reverse("dashboard"))
        data = {"oldpassword": PASSWORD, "password1": f"marble-candle-{number}"}
        url = reverse("account_change_password")
        _, answer, closed = at_once(
            held(member),
            partial(client.post, url, data),
            lambda: close_user(actor=staff, user=member, origin=ORIGIN),
        )
        assert closed is True
        assert isinstance(answer, HttpResponse)
        # Either in time, or the session ended under the request.
        assert answer.status_code in {302, 400}
        assert not User.objects.get(pk=member.pk).is_active
        assert reopen_user(actor=staff, user=member, origin=ORIGIN)


@pytest.mark.usefixtures("no_attempts_yet")
def test_a_new_password_lets_nobody_in_who_is_being_shut_out(member, staff):
    """Nor does it bring back any other right that the request still saw."""
    User.objects.filter(pk=member.pk).update(is_staff=True)
    client = signed_in(member)
    data = {"oldpassword": PASSWORD, "password1": "marble-candle-77"}

    def shut_out() -> None:
        close_user(actor=staff, user=member, origin=ORIGIN)
        User.objects.filter(pk=member.pk).update(is_staff=False)

    meanwhile(shut_out, lambda: client.post(reverse("account_change_password"), data))
    now = User.objects.get(pk=member.pk)
    assert (now.is_active, now.is_staff) == (False, False)


def test_the_test_of_a_key_ends_while_its_organization_is_deleted(owner):
    for _ in range(ROUNDS):
        account = opened(owner)
        key = add_key(
            actor=owner,
            account=account,
            provider="anthropic",
            secret=Secret(ANTHROPIC_SECRET),
            origin=ORIGIN,
        )
        # Nothing is called for a key that does not open.
        with connection.cursor() as cursor:
            cursor.execute("UPDATE byok_providerkey SET secret = %s", [b"\x01\x01broken"])
        tests = KeyTest.objects.filter(key=key)
        test = tests.first() or KeyTest.objects.create(key=key, requested_by=owner)
        _, deleted = at_once(partial(perform, test.pk), partial(delete, owner, account))
        assert deleted is True
        assert not tests.exists()
