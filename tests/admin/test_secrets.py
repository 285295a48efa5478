"""Nothing secret is in any page of the admin."""

import base64

import pytest
from django.db import connection
from django.urls import reverse

from byok.models import ProviderKey
from orgs.models import User
from tests.admin.conftest import ADMINS, NAMES, Found, list_url, page_url, text_of

pytestmark = pytest.mark.django_db

SECRET_COLUMNS = {"secret", "fingerprint", "digest", "password", "check_value"}


def sealed(key: ProviderKey) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM byok_providerkey")
        return bytes(cursor.fetchone()[0])


def test_no_page_holds_a_secret_a_digest_or_a_fingerprint(acme: Found, owner, staff_client):
    blob = sealed(acme.key)
    hidden = [
        acme.token_text,
        acme.token.digest,
        acme.invitation.digest,
        acme.key.fingerprint,
        acme.plan_key.fingerprint,
        blob.hex(),
        base64.b64encode(blob).decode(),
        *User.objects.values_list("password", flat=True),
    ]
    pages = [list_url(name) for name in NAMES]
    for name in NAMES:
        pages += [page_url(row) for row in ADMINS[name].model._default_manager.all()[:3]]
    for url in pages:
        page = text_of(staff_client.get(url))
        assert acme.canary.sightings(page=page) == [], url
        assert not [secret for secret in hidden if secret in page], url


def test_confirming_shows_none_either(acme: Found, staff_client):
    for name, action, row in (
        ("byok_providerkey", "disable", acme.key),
        ("billing_plankey", "withdraw", acme.plan_key),
        ("orgs_apitoken", "revoke", acme.token),
        ("orgs_invitation", "revoke", acme.invitation),
    ):
        answer = staff_client.post(
            list_url(name), {"action": action, "index": "0", "_selected_action": [str(row.pk)]}
        )
        page = text_of(answer)
        assert "Cancel" in page
        assert acme.canary.sightings(page=page) == []
        assert acme.token.digest not in page
        assert acme.invitation.digest not in page


@pytest.mark.parametrize("name", NAMES)
def test_columns_are_shown_by_name_and_none_is_secret(name):
    listed = ADMINS[name]
    assert listed.fields
    shown = {*listed.fields, *listed.list_display, *listed.search_fields}
    parts = {part for column in shown for part in str(column).split("__")}
    assert not parts & SECRET_COLUMNS


def test_what_was_pasted_never_comes_back(acme: Found, platform, staff_client):
    url = reverse("admin:byok_providerkey_add") + "?provider=openai"
    for pasted in (acme.canary.text, f"{acme.canary.text[:20]} {acme.canary.text[20:]}"):
        answer = staff_client.post(url, {"secret": pasted})
        assert answer.status_code == 422
        assert pasted not in text_of(answer)
        assert acme.canary.sightings(page=text_of(answer)) == []
    assert not platform.provider_keys.exists()


def test_what_was_pasted_for_the_stock_never_comes_back(acme: Found, staff_client):
    url = reverse("admin:billing_plankey_add") + "?plan=token-plan-plus"
    for pasted in (acme.canary.text, f"{acme.canary.text[:20]} {acme.canary.text[20:]}"):
        answer = staff_client.post(url, {"secrets": f"{pasted}\n{pasted}"})
        assert answer.status_code == 422
        assert pasted not in text_of(answer)
        assert acme.canary.sightings(page=text_of(answer)) == []
