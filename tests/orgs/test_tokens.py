"""API tokens as text, and the rules of making and revoking them."""

import secrets
import threading
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from orgs.actions import (
    MAX_TOKENS,
    TokenExists,
    TooManyTokens,
    UnknownModels,
    create_token,
    revoke_token,
)
from orgs.catalogue import known_models
from orgs.models import Account, ApiToken, AuditEvent, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from orgs.tokens import DIGITS, digest, looks_like_token, new_token


def make(owner: User, **kwargs) -> tuple[ApiToken, str]:
    return create_token(actor=owner, account=owner.account, name="ci", origin=Origin(), **kwargs)


def test_a_token_has_a_prefix_256_random_bits_and_a_checksum():
    text = new_token()
    assert text.startswith("mb-")
    assert len(text) == 3 + 43 + 6
    assert set(text[3:]) <= set(DIGITS)
    assert looks_like_token(text)


def test_no_two_tokens_are_alike():
    assert len({new_token() for _ in range(1000)}) == 1000


def test_a_mistyped_token_is_told_apart():
    text = new_token()
    for place in range(len(text)):
        wrong = "x" if text[place] != "x" else "y"
        assert not looks_like_token(text[:place] + wrong + text[place + 1 :])


@pytest.mark.parametrize(
    "text",
    ["", "mb-", "sk-ant-api03-sim-ok-0123456789abcdef", "mb-" + "0" * 48, "mb-" + "é" * 49, "\x00"],
)
def test_what_is_no_token_does_not_look_like_one(text):
    assert not looks_like_token(text)


def test_surrounding_space_is_not_part_of_a_token():
    text = new_token()
    assert not looks_like_token(text + "\n")
    assert not looks_like_token(" " + text)


@pytest.mark.django_db
def test_only_the_digest_and_the_first_characters_are_kept(owner):
    token, text = make(owner)
    kept = ApiToken.objects.get(pk=token.pk)
    assert kept.digest == digest(text)
    assert text.startswith(kept.prefix)
    assert len(kept.prefix) == 8
    row = repr(ApiToken.objects.filter(pk=token.pk).values().get())
    assert text not in row
    assert text[8:20] not in row


@pytest.mark.django_db
def test_allowed_models_must_be_in_the_catalogue(owner):
    model = known_models()[0][0]
    token, _ = make(owner, allowed_models=[model, model])
    assert token.allowed_models == [model]
    with pytest.raises(UnknownModels) as error:
        make(owner, allowed_models=[model, "acme/none"])
    assert error.value.ids == ["acme/none"]


@pytest.mark.django_db
def test_a_token_that_may_call_nothing_is_refused(owner):
    with pytest.raises(UnknownModels):
        make(owner, allowed_models=[])


@pytest.mark.django_db
def test_the_same_form_makes_one_token(owner):
    chosen = uuid.uuid4()
    first, _ = make(owner, id=chosen)
    with pytest.raises(TokenExists) as error:
        make(owner, id=chosen)
    assert error.value.token == first
    assert ApiToken.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_form_sent_at_once_makes_one_token(owner):
    chosen, outcomes = uuid.uuid4(), []

    def run():
        try:
            make(owner, id=chosen)
            outcomes.append("made")
        except TokenExists:
            outcomes.append("exists")
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["exists", "exists", "exists", "made"]


@pytest.mark.django_db
def test_as_many_tokens_as_one_may_have(owner, stranger):
    ApiToken.objects.bulk_create(
        ApiToken(
            user=owner,
            account=owner.account,
            name="ci",
            prefix="mb-",
            digest=secrets.token_hex(32),
        )
        for _ in range(MAX_TOKENS)
    )
    with pytest.raises(TooManyTokens):
        make(owner)
    make(stranger)
    revoke_token(actor=owner, token=ApiToken.objects.filter(user=owner)[0], origin=Origin())
    make(owner)


@pytest.mark.django_db
def test_an_expired_token_leaves_room_and_is_not_usable(owner):
    token, _ = make(owner, expires_at=timezone.now() - timedelta(seconds=1))
    assert token.is_expired
    assert not ApiToken.objects.usable().filter(pk=token.pk).exists()
    assert ApiToken.objects.ended().filter(pk=token.pk).exists()


@pytest.mark.django_db
def test_a_stranger_makes_and_revokes_no_token_here(owner, stranger):
    token, _ = make(owner)
    with pytest.raises(NotPermitted):
        create_token(actor=stranger, account=owner.account, name="ci", origin=Origin())
    with pytest.raises(NotPermitted):
        revoke_token(actor=stranger, token=token, origin=Origin())
    token.refresh_from_db()
    assert token.revoked_at is None


def of_acme(organization: Account, user: User, **kwargs) -> ApiToken:
    return create_token(actor=user, account=organization, name="ci", origin=Origin(), **kwargs)[0]


def test_an_organization_owner_may_revoke_a_members_token(organization, owner, member):
    token = of_acme(organization, member)
    revoke_token(actor=owner, token=token, origin=Origin())
    event = AuditEvent.objects.for_account(organization.pk).newest_first()[0]
    assert event.actor_id == owner.pk
    assert event.event == "token.revoked"


@pytest.mark.parametrize("who", ["member", "billing_manager", "stranger"])
def test_nobody_else_may_revoke_an_owners_token(organization, owner, request, who):
    token = of_acme(organization, owner)
    with pytest.raises(NotPermitted):
        revoke_token(actor=request.getfixturevalue(who), token=token, origin=Origin())
    assert ApiToken.objects.usable().get() == token


def test_staff_may_revoke_a_leaked_token(organization, member, staff):
    token = of_acme(organization, member)
    revoke_token(actor=staff, token=token, origin=Origin())
    assert not ApiToken.objects.usable().exists()


def test_who_left_may_not_revoke_the_token_they_had(organization, member):
    token = of_acme(organization, member)
    Membership.objects.filter(user=member, account=organization).delete()
    with pytest.raises(NotPermitted):
        revoke_token(actor=member, token=token, origin=Origin())


def test_who_left_can_use_their_token_no_more(organization, member):
    of_acme(organization, member)
    Membership.objects.filter(user=member, account=organization).delete()
    assert not ApiToken.objects.usable().exists()


def test_what_one_has_in_one_account_takes_no_place_in_another(organization, owner):
    ApiToken.objects.bulk_create(
        ApiToken(
            user=owner, account=owner.account, name="ci", prefix="mb-", digest=secrets.token_hex(32)
        )
        for _ in range(MAX_TOKENS)
    )
    of_acme(organization, owner)
    with pytest.raises(TooManyTokens):
        make(owner)


def test_the_id_of_another_persons_token_makes_a_token_of_its_own(organization, owner, member):
    theirs = of_acme(organization, member)
    mine = of_acme(organization, owner, id=theirs.pk)
    assert mine.pk != theirs.pk
    assert ApiToken.objects.get(pk=theirs.pk).user == member


@pytest.mark.django_db
def test_a_revoked_token_stays_revoked_at_its_first_time(owner):
    token, _ = make(owner)
    revoke_token(actor=owner, token=token, origin=Origin())
    first = ApiToken.objects.get(pk=token.pk).revoked_at
    revoke_token(actor=owner, token=token, origin=Origin())
    assert ApiToken.objects.get(pk=token.pk).revoked_at == first


@pytest.mark.django_db
def test_the_event_tells_what_the_token_may_do(owner):
    make(owner, monthly_limit=5_000_000)
    event = AuditEvent.objects.get(event="token.created")
    assert event.details == {
        "expires_at": None,
        "models": None,
        "monthly_limit": 5_000_000,
        "requests_per_minute": None,
    }
