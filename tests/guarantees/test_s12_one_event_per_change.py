"""S12: one audit event per change, in the same transaction, free of secrets."""

import pytest
from django.db import DatabaseError, transaction

from orgs.actions import create_token, create_user, revoke_token
from orgs.audit import Event, NotInTransaction, record
from orgs.models import Account, ApiToken, AuditEvent, AuditHead, User
from orgs.origin import Origin


def everything() -> dict[str, list[object]]:
    """Every row that an action here could have changed."""
    return {
        model.__name__: list(model.objects.order_by("pk").values())
        for model in (User, Account, ApiToken, AuditEvent, AuditHead)
    }


def test_without_its_event_no_user_is_made(broken_audit_log):
    before = everything()
    with pytest.raises(DatabaseError):
        create_user(email="ann@example.com", password="tulip-lantern-42", origin=Origin())
    assert everything() == before


def test_without_its_event_no_token_is_made(broken_audit_log, owner):
    before = everything()
    with pytest.raises(DatabaseError):
        create_token(actor=owner, account=owner.account, name="ci", origin=Origin())
    assert everything() == before


@pytest.mark.django_db
def test_without_its_event_no_token_is_revoked(owner, request):
    token, _ = create_token(actor=owner, account=owner.account, name="ci", origin=Origin())
    request.getfixturevalue("broken_audit_log")
    before = everything()
    with pytest.raises(DatabaseError):
        revoke_token(actor=owner, token=token, origin=Origin())
    assert everything() == before


@pytest.mark.django_db(transaction=True)
def test_an_event_is_not_recorded_outside_the_transaction_of_its_change(owner):
    before = AuditEvent.objects.count()
    with pytest.raises(NotInTransaction):
        record(
            event=Event.SIGNED_IN,
            account=owner.account,
            actor=owner,
            target=owner,
            origin=Origin(),
        )
    assert AuditEvent.objects.count() == before


@pytest.mark.django_db
def test_an_event_goes_when_its_change_does(owner):
    before = everything()
    with transaction.atomic():
        create_token(actor=owner, account=owner.account, name="ci", origin=Origin())
        transaction.set_rollback(True)
    assert everything() == before


@pytest.mark.django_db
def test_every_token_change_is_told_once(owner):
    token, _ = create_token(actor=owner, account=owner.account, name="ci", origin=Origin())
    revoke_token(actor=owner, token=token, origin=Origin())
    revoke_token(actor=owner, token=token, origin=Origin())
    told = AuditEvent.objects.for_account(owner.account.pk).order_by("sequence")
    assert [event.event for event in told] == ["account.opened", "token.created", "token.revoked"]


@pytest.mark.django_db
def test_no_part_of_a_token_but_its_prefix_is_told(owner):
    token, text = create_token(actor=owner, account=owner.account, name="ci", origin=Origin())
    told = repr(list(AuditEvent.objects.values()))
    secret = text[len(token.prefix) :]
    for start in range(len(secret) - 7):
        assert secret[start : start + 8] not in told
    assert token.digest not in told
