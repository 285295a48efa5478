"""The API tokens page: make, show once, list, revoke."""

import re
import uuid
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from orgs.actions import MAX_TOKENS, create_token
from orgs.catalogue import known_models
from orgs.models import ApiToken, AuditEvent
from orgs.origin import Origin
from orgs.tokens import digest, looks_like_token

LIST = reverse("orgs:tokens")
CREATE = reverse("orgs:token_create")
HTMX = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{LIST}"}


def page(response) -> str:
    return unescape(response.content.decode())


def tokens_in(response) -> set[str]:
    return {
        text for text in re.findall(r"mb-[0-9A-Za-z]+", page(response)) if looks_like_token(text)
    }


@pytest.fixture
def token(owner) -> ApiToken:
    return create_token(actor=owner, account=owner.account, name="laptop", origin=Origin())[0]


def form(**fields) -> dict[str, object]:
    return {"id": str(uuid.uuid4()), "name": "Claude Code"} | fields


def test_a_token_is_shown_once_with_the_real_address(owner_client, settings):
    settings.MEGABRAIN_BASE_URL = "https://brain.example"
    response = owner_client.post(CREATE, form())
    [text] = tokens_in(response)
    assert response.status_code == 200
    assert ApiToken.objects.get().digest == digest(text)
    assert response["Cache-Control"] == "no-store"
    told = page(response)
    for snippet in (
        "curl https://brain.example/v1/chat/completions",
        f"Authorization: Bearer {text}",
        'base_url="https://brain.example/v1"',
        "export ANTHROPIC_BASE_URL=https://brain.example\n",
        f"ANTHROPIC_AUTH_TOKEN={text}",
        'wire_api = "responses"',
        "opencode.json",
        "aider --model",
        "Kilo Code",
        "Cline",
    ):
        assert snippet in told
    for url in (LIST, reverse("orgs:activity"), CREATE):
        assert not tokens_in(owner_client.get(url))


def test_a_token_is_in_no_session_cookie_or_address(owner_client):
    response = owner_client.post(CREATE, form())
    [text] = tokens_in(response)
    assert text not in str(dict(owner_client.session))
    assert text not in response.cookies.output()
    assert "Location" not in response


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_sending_the_form_again_makes_no_second_token(owner_client, headers):
    sent = form()
    owner_client.post(CREATE, sent, headers=headers)
    again = owner_client.post(CREATE, sent, headers=headers)
    assert ApiToken.objects.count() == 1
    assert not tokens_in(again)
    assert "no second one was made" in page(again)


def test_one_form_is_of_one_token_and_the_next_of_another(owner_client):
    ids = {
        re.search(r'name="id" value="([^"]+)"', page(owner_client.get(CREATE))).group(1)  # type: ignore[union-attr]  # the assertion is that it is there.
        for _ in range(2)
    }
    assert len(ids) == 2


def test_htmx_gets_the_dialog_and_the_list_beside_it(owner_client):
    response = owner_client.post(CREATE, form(), headers=HTMX)
    told = page(response)
    assert "<html" not in told
    assert told.lstrip().startswith("<dialog")
    assert 'id="tokens" class="stack" hx-swap-oob="true"' in told
    assert "Claude Code" in told
    assert len(tokens_in(response)) == 1


def test_elsewhere_the_list_is_not_sent_along(owner_client):
    elsewhere = {"HX-Request": "true", "HX-Current-URL": "http://testserver/dashboard/"}
    told = page(owner_client.post(CREATE, form(), headers=elsewhere))
    assert told.lstrip().startswith("<dialog")
    assert 'id="tokens"' not in told


def test_all_that_can_be_chosen_is_kept(owner_client):
    model = known_models()[0][0]
    owner_client.post(CREATE, form(expiry="30", allowed_models=[model], name="  a   b "))
    token = ApiToken.objects.get()
    assert token.name == "a b"
    assert token.allowed_models == [model]
    assert token.expires_at is not None
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)


def test_by_default_a_token_has_no_limits(owner_client):
    owner_client.post(CREATE, form())
    token = ApiToken.objects.get()
    assert (token.expires_at, token.allowed_models, token.monthly_limit) == (None, None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "a" * 61},
        {"name": "a\x07b"},
        {"expiry": "5"},
        {"allowed_models": ["acme/none"]},
        {"id": "no"},
    ],
)
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_what_is_wrong_is_said_and_nothing_made(owner_client, wrong, headers):
    response = owner_client.post(CREATE, form(**wrong), headers=headers)
    assert response.status_code == 422
    assert not ApiToken.objects.exists()


def test_other_fields_of_the_model_cannot_be_set(owner_client, stranger):
    owner_client.post(
        CREATE,
        form(
            user=stranger.pk,
            account=stranger.account.pk,
            digest="0" * 64,
            prefix="x",
            last_used_at="2020-01-01",
            revoked_at="2020-01-01",
        ),
    )
    token = ApiToken.objects.get()
    assert token.user != stranger
    assert token.account != stranger.account
    assert token.digest != "0" * 64
    assert token.revoked_at is None


def test_the_limit_is_told_in_words(owner_client, owner):
    ApiToken.objects.bulk_create(
        ApiToken(user=owner, account=owner.account, name="x", prefix="mb-", digest=uuid.uuid4().hex)
        for _ in range(MAX_TOKENS)
    )
    response = owner_client.post(CREATE, form())
    assert response.status_code == 422
    assert f"You have {MAX_TOKENS} API tokens in use" in page(response)


def test_an_old_session_confirms_who_it_is_before_making_a_token(owner):
    client = Client()
    client.force_login(owner)
    response = client.post(CREATE, form())
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("account_reauthenticate"))
    assert not ApiToken.objects.exists()


def test_revoking_needs_no_confirmation_of_who_one_is(owner, token):
    client = Client()
    client.force_login(owner)
    client.post(reverse("orgs:token_revoke", args=[token.pk]))
    token.refresh_from_db()
    assert token.revoked_at is not None


def test_revoking_names_what_stops(owner_client, token):
    told = page(owner_client.get(reverse("orgs:token_revoke", args=[token.pk])))
    assert "Revoke “laptop”?" in told
    assert f"{token.prefix}…" in told
    assert "turned away at once" in told
    token.refresh_from_db()
    assert token.revoked_at is None


def test_a_revoked_token_leaves_the_list(owner_client, token):
    revoke = reverse("orgs:token_revoke", args=[token.pk])
    response = owner_client.post(revoke, follow=True)
    told = page(response)
    assert response.redirect_chain == [(LIST, 302)]
    assert "Revoked “laptop”." in told
    assert f'id="token-{token.pk}"' not in told
    assert "Revoked and expired" in told
    assert "can no longer be used" in page(owner_client.get(revoke))


def test_htmx_gets_the_list_without_the_revoked_token(owner_client, token):
    response = owner_client.post(reverse("orgs:token_revoke", args=[token.pk]), headers=HTMX)
    told = page(response)
    assert 'hx-swap-oob="true"' in told
    assert f'id="token-{token.pk}"' not in told
    assert "Revoked “laptop”." in told, "as a toast"


@pytest.mark.parametrize("method", ["get", "post"])
def test_another_persons_token_is_not_found(stranger_client, token, method):
    before = AuditEvent.objects.count()
    response = getattr(stranger_client, method)(reverse("orgs:token_revoke", args=[token.pk]))
    assert response.status_code == 404
    token.refresh_from_db()
    assert token.revoked_at is None
    assert AuditEvent.objects.count() == before
    assert "laptop" not in page(stranger_client.get(LIST))


@pytest.mark.parametrize("name", ["orgs:tokens", "orgs:token_create", "orgs:activity"])
def test_a_visitor_is_asked_to_sign_in(client, db, name):
    response = client.get(reverse(name))
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("account_login"))


def test_the_list_takes_the_same_queries_for_one_token_and_for_many(
    owner_client, owner, token, django_assert_num_queries, django_assert_max_num_queries
):
    owner_client.get(LIST)  # The first page of a session also notes that there is one.
    with django_assert_max_num_queries(12) as one:
        owner_client.get(LIST)
    for name in range(30):
        create_token(actor=owner, account=owner.account, name=str(name), origin=Origin())
    with django_assert_num_queries(len(one)):
        owner_client.get(LIST)


def test_an_empty_list_says_what_it_is_for(owner_client, platform_key):
    told = page(owner_client.get(LIST))
    assert "No API token in use" in told
    assert CREATE in told
    assert "its calls go out with your provider keys." in told
    platform_key("novita")
    told = page(owner_client.get(LIST))
    assert "its calls go out with your provider keys, or draw on the balance." in told


def test_a_name_with_markup_stays_a_name(owner_client):
    response = owner_client.post(CREATE, form(name="<b>&\"'{{7*7}}"))
    assert b"<b>" not in response.content
    assert "<b>&\"'{{7*7}}" in page(owner_client.get(LIST))
