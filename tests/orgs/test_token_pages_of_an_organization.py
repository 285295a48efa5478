"""API tokens in an organization: everybody's own, for its keys and within its limits."""

import re
import uuid
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse

from orgs.actions import create_token, limit_member
from orgs.catalogue import known_models
from orgs.models import Account, ApiToken, Membership
from orgs.origin import Origin
from orgs.tokens import digest, looks_like_token
from tests.conftest import signed_in

LIST = reverse("orgs:tokens", args=["acme"])
CREATE = reverse("orgs:token_create", args=["acme"])
PERSONAL = reverse("orgs:tokens")
HTMX = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{LIST}"}
BOTH = pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
ROLES = ["owner", "billing_manager", "member"]

pytestmark = pytest.mark.django_db


def page(response) -> str:
    return unescape(response.content.decode())


def form(**fields) -> dict[str, object]:
    return {"id": str(uuid.uuid4()), "name": "Robot 7"} | fields


def revoke_url(token: ApiToken, slug: str = "acme") -> str:
    return reverse("orgs:token_revoke", kwargs={"slug": slug, "id": token.pk})


@pytest.fixture
def token(organization, member) -> ApiToken:
    return create_token(actor=member, account=organization, name="laptop", origin=Origin())[0]


@pytest.mark.parametrize("who", ROLES)
@BOTH
def test_every_member_makes_tokens_of_their_own(organization, request, who, headers):
    user = request.getfixturevalue(who)
    client = signed_in(user)
    assert "For Acme." in page(client.get(CREATE, headers=headers))
    response = client.post(CREATE, form(), headers=headers)
    [text] = {
        each for each in re.findall("mb-[0-9A-Za-z]+", page(response)) if looks_like_token(each)
    }
    made = ApiToken.objects.get()
    assert (made.account, made.user, made.digest) == (organization, user, digest(text))
    assert response["Cache-Control"] == "no-store"
    assert "its calls are made for Acme" in page(response)
    assert "Robot 7" in page(client.get(LIST))
    assert "Robot 7" not in page(client.get(PERSONAL))


@pytest.mark.parametrize("who", ["stranger", "staff"])
def test_strangers_find_nothing(organization, token, request, who):
    client = signed_in(request.getfixturevalue(who))
    for url in (LIST, CREATE, revoke_url(token)):
        assert client.get(url).status_code == 404
    assert client.post(CREATE, form()).status_code == 404
    assert client.post(revoke_url(token)).status_code == 404
    assert ApiToken.objects.usable().get() == token


@pytest.mark.parametrize("url", [LIST, CREATE])
def test_a_visitor_is_asked_to_sign_in(client, organization, url):
    assert client.get(url)["Location"].startswith(reverse("account_login"))


def test_nobody_sees_the_tokens_of_others(organization, token, owner_client):
    assert "laptop" not in page(owner_client.get(LIST))
    assert owner_client.post(revoke_url(token)).status_code == 404
    assert ApiToken.objects.usable().get() == token


def test_a_token_is_found_in_its_own_account_only(organization, token, member, member_client):
    personal = create_token(actor=member, account=member.account, name="own", origin=Origin())[0]
    assert member_client.post(revoke_url(personal)).status_code == 404
    assert member_client.post(reverse("orgs:token_revoke", args=[token.pk])).status_code == 404
    assert ApiToken.objects.usable().count() == 2


@BOTH
def test_revoking_stays_in_the_organization(organization, token, member_client, headers):
    told = page(member_client.get(revoke_url(token), headers=headers))
    assert "The provider keys of Acme and your other tokens go on working." in told
    response = member_client.post(revoke_url(token), headers=headers)
    if headers:
        assert 'id="tokens" class="stack" hx-swap-oob="true"' in page(response)
    else:
        assert response["Location"] == LIST
    assert not ApiToken.objects.usable().exists()


def test_a_form_sent_again_leads_to_pages_of_the_organization(organization, member_client):
    sent = form()
    member_client.post(CREATE, sent)
    again = page(member_client.post(CREATE, sent))
    assert "no second one was made" in again
    assert f'href="{LIST}"' in again
    assert f'href="{revoke_url(ApiToken.objects.get())}"' in again


def test_only_what_the_organization_allows_is_offered(organization, member_client):
    allowed, other = known_models()[0][0], known_models()[1][0]
    Account.objects.filter(pk=organization.pk).update(allowed_models=[allowed, "acme/gone"])
    told = page(member_client.get(CREATE))
    assert f'value="{allowed}"' in told
    assert f'value="{other}"' not in told
    assert "acme/gone" not in told
    assert "those that the organization allows" in told
    assert "All that Acme allows" in told
    listed = page(member_client.get(LIST))
    assert "Acme allows you 2 models." in listed
    assert f"<code>{allowed}</code>" in listed
    assert "<code>acme/gone</code>" in listed
    assert f"<code>{other}</code>" not in listed
    assert member_client.post(CREATE, form(allowed_models=[other])).status_code == 422
    assert not ApiToken.objects.exists()
    member_client.post(CREATE, form(allowed_models=[allowed]))
    assert ApiToken.objects.get().allowed_models == [allowed]


def test_a_personal_token_is_not_bound_by_what_an_organization_allows(organization, member_client):
    Account.objects.filter(pk=organization.pk).update(allowed_models=[known_models()[0][0]])
    other = known_models()[1][0]
    member_client.post(reverse("orgs:token_create"), form(allowed_models=[other]))
    assert ApiToken.objects.get().allowed_models == [other]


@pytest.mark.parametrize("url", [CREATE, reverse("orgs:token_create")])
def test_a_token_may_have_a_limit_of_its_own(organization, member_client, url):
    response = member_client.post(url, form(requests_per_minute="60"), headers=HTMX)
    assert ApiToken.objects.get().requests_per_minute == 60
    shown = LIST if url == CREATE else PERSONAL
    assert "60 requests a minute" in page(member_client.get(shown))
    assert response.status_code == 200


@pytest.mark.parametrize("limit", ["0", "-5", "1.5", "x", "1000001", "9" * 400])
@pytest.mark.parametrize("url", [CREATE, reverse("orgs:token_create")])
def test_a_limit_that_makes_no_sense_is_refused(organization, member_client, url, limit):
    response = member_client.post(url, form(requests_per_minute=limit))
    assert response.status_code == 422
    assert "leave this empty" in page(response)
    assert not ApiToken.objects.exists()


def test_the_limits_of_the_organization_are_said(organization, owner, member, member_client):
    assert "Acme allows you" not in page(member_client.get(LIST))
    Account.objects.filter(pk=organization.pk).update(
        member_requests_per_minute=1200, token_requests_per_minute=20
    )
    assert "1,200 requests a minute, 20 a minute with each API token." in page(
        member_client.get(LIST)
    )
    assert "Acme allows each token 20." in page(member_client.get(CREATE))
    limit_member(
        actor=owner,
        membership=Membership.objects.get(account=organization, user=member),
        requests_per_minute=30,
        origin=Origin(),
    )
    assert "Acme allows you 30 requests a minute" in page(member_client.get(LIST))
    assert "1,200 requests" in page(signed_in(owner).get(LIST))


def test_the_set_up_shown_names_a_model_that_the_organization_allows(organization, member_client):
    Account.objects.filter(pk=organization.pk).update(allowed_models=["anthropic/claude-haiku-4.5"])
    told = page(member_client.post(CREATE, form()))
    assert "Acme does not allow openai/gpt-6-luna" in told


def test_an_old_session_confirms_who_it_is_before_making_one(organization, member):
    client = Client()
    client.force_login(member)
    response = client.post(CREATE, form())
    assert response["Location"].startswith(reverse("account_reauthenticate"))
    assert not ApiToken.objects.exists()


def test_the_personal_page_tells_of_the_header_those_whom_it_is_for(
    organization, member_client, stranger_client
):
    assert "X-MegaBrain-Organization: acme" in page(member_client.get(PERSONAL))
    assert "X-MegaBrain-Organization" not in page(stranger_client.get(PERSONAL))
    assert "X-MegaBrain-Organization" not in page(member_client.get(LIST))


def test_only_who_may_read_the_log_is_sent_to_it(organization, owner, member):
    for user in (owner, member):
        ApiToken.objects.bulk_create(
            ApiToken(
                user=user,
                account=organization,
                name="x",
                prefix="mb-",
                digest=uuid.uuid4().hex,
                revoked_at=organization.created_at,
            )
            for _ in range(21)
        )
    audit = reverse("orgs:activity", args=["acme"])
    assert f'href="{audit}?event=token"' in page(signed_in(owner).get(LIST))
    assert f'href="{audit}' not in page(signed_in(member).get(LIST))


def test_the_list_takes_few_queries(
    organization, token, member, member_client, django_assert_max_num_queries
):
    for url in (LIST, PERSONAL, CREATE):
        member_client.get(url)  # The first visit of an account is written down.
        with django_assert_max_num_queries(12):
            member_client.get(url)


@pytest.mark.parametrize(
    ("own", "everybodys", "said"),
    [
        (None, None, "None"),
        (None, 2, "2 requests a minute, set by Acme"),
        (60, 2, "2 requests a minute, set by Acme"),
        (2, 60, "2 requests a minute"),
        (2, None, "2 requests a minute"),
    ],
)
def test_a_line_says_what_rate_applies_and_who_set_it(
    organization, token, member_client, own, everybodys, said
):
    Account.objects.filter(pk=organization.pk).update(token_requests_per_minute=everybodys)
    ApiToken.objects.update(requests_per_minute=own)
    assert limits_in(page(member_client.get(LIST))) == [said]


@pytest.mark.parametrize(
    ("own", "everybodys", "said"),
    [
        (None, ["a/b", "a/c"], "2 models, set by Acme"),
        (["a/b", "a/d"], None, "2 models only"),
        (["a/b", "a/d"], ["a/b", "a/c"], "1 model only"),
        (["a/d"], ["a/b"], "No model: Acme allows none of its own"),
    ],
)
def test_a_line_says_how_many_models_can_be_called(
    organization, token, member_client, own, everybodys, said
):
    Account.objects.filter(pk=organization.pk).update(allowed_models=everybodys)
    ApiToken.objects.update(allowed_models=own)
    assert limits_in(page(member_client.get(LIST))) == [said]


def limits_in(told: str) -> list[str]:
    [cell] = re.findall(r'data-label="Limits">(.*?)</td>', told, re.DOTALL)
    return re.findall(r">([^<>]*\w[^<>]*)<", cell)
