"""S35, as far as the site goes: whoever reads the whole database holds no API token."""

import base64

import pytest
from django.apps import apps
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.urls import reverse

from orgs.actions import create_token, revoke_token
from orgs.models import ApiToken, User
from orgs.origin import Origin
from orgs.tokens import digest, looks_like_token, new_token
from tests.guarantees.canary import files_under

pytestmark = pytest.mark.django_db


def make(owner: User) -> tuple[ApiToken, str]:
    return create_token(actor=owner, account=owner.account, name="ci", origin=Origin())


def dump() -> str:
    """Every row of every table."""
    with connection.cursor() as cursor:
        rows = []
        for model in apps.get_models(include_auto_created=True):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(model._meta.db_table)}")
            rows.extend(cursor.fetchall())
    return repr(rows)


def test_no_part_of_a_token_is_left_anywhere(owner_client, caplog):
    caplog.set_level("DEBUG")
    told = owner_client.post(reverse("orgs:token_create"), {"name": "ci"}).content.decode()
    start = told.index("mb-")
    text = told[start : start + 52]
    assert looks_like_token(text)
    owner_client.get(reverse("orgs:tokens"))
    places = dump() + caplog.text + str(dict(owner_client.session))
    kept = ApiToken.objects.get().prefix
    secret = text[len(kept) :]
    slices = [secret[place : place + 8] for place in range(len(secret) - 7)]
    spelt = [text.encode().hex(), base64.b64encode(text.encode()).decode()[12:]]
    assert [found for found in [*slices, *spelt] if found in places] == []
    files = files_under(settings.MEGABRAIN_HOME)
    assert files, "the database or its neighbours are here"
    for path, content in files.items():
        assert not any(found.encode() in content for found in [*slices, *spelt]), path


def test_what_the_database_holds_is_no_token(owner):
    make(owner)
    kept = ApiToken.objects.get()
    for value in (kept.digest, kept.prefix, str(kept.pk), kept.name):
        assert not looks_like_token(value)
        assert not ApiToken.objects.filter(digest=digest(value)).exists()


def test_a_token_is_found_by_all_of_it(owner):
    token, text = make(owner)
    assert ApiToken.objects.get(digest=digest(text)) == token
    for wrong in (text[:-1], text + "0", text.swapcase(), text[:8], f" {text}", new_token()):
        assert not ApiToken.objects.filter(digest=digest(wrong)).exists()


def test_tokens_that_begin_alike_are_not_mistaken(owner):
    one, text = make(owner)
    other, _ = make(owner)
    ApiToken.objects.filter(pk=other.pk).update(prefix=one.prefix)
    revoke_token(actor=owner, token=other, origin=Origin())
    assert ApiToken.objects.usable().get(digest=digest(text)) == one


def test_the_database_refuses_a_second_token_with_the_same_digest(owner):
    one, _ = make(owner)
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiToken.objects.create(
            user=owner, account=owner.account, name="x", prefix="mb-", digest=one.digest
        )


def test_a_deactivated_persons_tokens_are_not_usable(owner):
    token, _ = make(owner)
    User.objects.filter(pk=owner.pk).update(is_active=False)
    assert not ApiToken.objects.usable().filter(pk=token.pk).exists()
