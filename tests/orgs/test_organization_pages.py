"""The organization's own pages: creating one, its settings and limits, its end."""

import re
import uuid
from html import unescape

import pytest
from django.urls import reverse

from orgs.actions import change_limits, change_organization, create_organization, create_token
from orgs.actions.organizations import MAX_OWNED
from orgs.catalogue import known_models
from orgs.models import Account, AuditEvent, Membership
from orgs.origin import Origin
from tests.conftest import signed_in

CREATE = reverse("orgs:organization_create")
SETTINGS = reverse("orgs:settings", args=["acme"])
LIMITS = reverse("orgs:limits", args=["acme"])
DELETE = reverse("orgs:organization_delete", args=["acme"])
HTMX = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{SETTINGS}"}
BOTH = pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])

pytestmark = pytest.mark.django_db


def page(response) -> str:
    return unescape(response.content.decode())


def form(**fields) -> dict[str, object]:
    return {"id": str(uuid.uuid4()), "name": "Acme", "slug": "acme"} | fields


def organizations() -> list[Account]:
    return list(Account.objects.filter(kind=Account.Kind.ORGANIZATION))


def where_to(response) -> str:
    """Where the browser goes next, with htmx or without."""
    return str(response.get("HX-Redirect") or response["Location"])


# Creating ---------------------------------------------------------------------------------


@BOTH
def test_after_creating_one_its_first_steps_are_shown(owner_client, headers):
    response = owner_client.post(CREATE, form(), headers=headers)
    assert where_to(response) == "/orgs/acme/"
    told = page(owner_client.get("/orgs/acme/"))
    assert "Created Acme." in told
    for step in (
        "Add a provider key",
        "Test it",
        "Invite people",
        "Create an API token",
        "Make the first call",
    ):
        assert step in told


def test_the_form_is_a_dialog_and_a_page(owner_client):
    assert "<html" in page(owner_client.get(CREATE))
    dialog = page(owner_client.get(CREATE, headers=HTMX))
    assert dialog.lstrip().startswith("<dialog")
    assert 'data-proposes="#id_slug"' in dialog


def test_without_a_slug_one_is_made_from_the_name(owner_client):
    response = owner_client.post(CREATE, form(name="Ärzte & Co.", slug=""))
    assert where_to(response) == "/orgs/arzte-co/"


def test_capitals_in_a_slug_are_forgiven(owner_client):
    owner_client.post(CREATE, form(slug=" Acme "))
    assert [each.slug for each in organizations()] == ["acme"]


@BOTH
def test_sending_the_form_again_makes_no_second_one(owner_client, headers):
    sent = form(slug="")
    first = owner_client.post(CREATE, sent, headers=headers)
    again = owner_client.post(CREATE, sent, headers=headers)
    assert where_to(again) == where_to(first)
    assert len(organizations()) == 1


def test_each_form_is_of_another_organization(owner_client):
    found = [
        re.search(r'name="id" value="([^"]+)"', page(owner_client.get(CREATE))) for _ in range(2)
    ]
    assert all(found)
    assert len({each[1] for each in found if each}) == 2


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"name": ""}, "required"),
        ({"name": "   "}, "required"),
        ({"name": "a" * 101}, "at most 100"),
        ({"name": "a\u202eb"}, "can be printed"),
        ({"name": "a\x00b"}, "can be printed"),
        ({"slug": "a"}, "Use 2 to 40"),
        ({"slug": "ac me"}, "Use 2 to 40"),
        ({"slug": "a/b"}, "Use 2 to 40"),
        ({"slug": "é" * 4}, "Use 2 to 40"),
        ({"slug": "a" * 41}, "at most 40"),
        ({"slug": "platform"}, "reserved"),
        ({"slug": "new"}, "reserved"),
        ({"slug": str(uuid.UUID(int=1))}, "reserved"),
        ({"slug": "taken"}, "Another organization has this slug"),
        ({"id": "no"}, "This form is damaged"),
    ],
)
@BOTH
def test_what_is_wrong_is_said_and_nothing_made(owner_client, stranger, wrong, reason, headers):
    create_organization(actor=stranger, owner=stranger, name="T", slug="taken", origin=Origin())
    response = owner_client.post(CREATE, form(**wrong), headers=headers)
    assert response.status_code == 422
    assert reason in page(response)
    assert len(organizations()) == 1


def test_who_owns_as_many_as_one_may_is_told(owner_client, owner):
    for number in range(MAX_OWNED):
        create_organization(actor=owner, owner=owner, name=f"Team {number}", origin=Origin())
    response = owner_client.post(CREATE, form())
    assert response.status_code == 422
    assert f"You own {MAX_OWNED} organizations" in page(response)


def test_other_fields_cannot_be_set(owner_client, owner, stranger):
    owner_client.post(CREATE, form(kind="platform", owner=stranger.pk, user=stranger.pk))
    [made] = organizations()
    assert made.user is None
    assert Membership.objects.get(account=made).user == owner


@pytest.mark.parametrize("url", [CREATE, SETTINGS, DELETE])
def test_a_visitor_is_asked_to_sign_in(client, organization, url):
    assert client.get(url)["Location"].startswith(reverse("account_login"))
    assert client.post(url, form())["Location"].startswith(reverse("account_login"))
    assert len(organizations()) == 1


# Who may ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "status"),
    [("billing_manager", 403), ("member", 403), ("stranger", 404), ("staff", 404)],
)
@BOTH
def test_settings_are_for_owners(organization, request, who, status, headers):
    client = signed_in(request.getfixturevalue(who))
    events = AuditEvent.objects.count()
    for url in (SETTINGS, DELETE):
        assert client.get(url, headers=headers).status_code == status
    for url, sent in (
        (SETTINGS, {"name": "Mine", "slug": "mine"}),
        (LIMITS, {"token_requests_per_minute": "1"}),
        (DELETE, {"confirmation": "acme"}),
    ):
        assert client.post(url, sent, headers=headers).status_code == status
    organization.refresh_from_db()
    assert organization.name == "Acme"
    assert organization.token_requests_per_minute is None
    assert AuditEvent.objects.count() == events


@BOTH
def test_who_signed_in_a_while_ago_confirms_who_they_are_before_they_delete(
    organization, owner, headers
):
    client = signed_in(owner, ago=86_400)
    for answer in (
        client.get(DELETE, headers=headers),
        client.post(DELETE, {"confirmation": "acme"}, headers=headers),
    ):
        assert where_to(answer).startswith(reverse("account_reauthenticate"))
    assert type(organization).objects.filter(pk=organization.pk).exists()
    # Its name and its limits are no such matter.
    assert client.get(SETTINGS, headers=headers).status_code == 200


# Name and slug ----------------------------------------------------------------------------


def test_settings_show_what_agents_send(owner_client, organization):
    told = page(owner_client.get(SETTINGS))
    assert f"<code data-copy-text>{organization.pk}</code>" in told
    assert "<code data-copy-text>acme</code>" in told
    assert "X-MegaBrain-Organization: acme" in told


def test_a_new_name_is_told_everywhere(owner_client, organization):
    response = owner_client.post(SETTINGS, {"name": " Acme  Two ", "slug": "acme"}, follow=True)
    assert response.redirect_chain == [(SETTINGS, 302)]
    told = page(response)
    assert "Acme is now called Acme Two." in told
    assert response.context["frame"].account.name == "Acme Two"


def test_a_new_slug_moves_every_page_and_says_so(owner_client, organization):
    response = owner_client.post(SETTINGS, {"name": "Acme", "slug": "acme-2"}, follow=True)
    assert response.redirect_chain == [("/orgs/acme-2/settings/", 302)]
    assert "has to send acme-2 from now on" in page(response)
    assert owner_client.get(SETTINGS).status_code == 404
    assert owner_client.get("/orgs/acme-2/").status_code == 200


def test_saving_what_is_there_changes_nothing(owner_client, organization):
    events = AuditEvent.objects.count()
    sent = {"name": "Acme", "slug": "acme"}
    assert "Nothing was changed." in page(owner_client.post(SETTINGS, sent, follow=True))
    assert "Nothing was changed." in page(owner_client.post(LIMITS, {}, follow=True))
    assert AuditEvent.objects.count() == events


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({"name": "", "slug": "acme"}, "required"),
        ({"name": "Acme", "slug": ""}, "required"),
        ({"name": "Acme", "slug": "a b"}, "Use 2 to 40"),
        ({"name": "Acme", "slug": "api"}, "reserved"),
        ({"name": "Acme", "slug": "taken"}, "Another organization has this slug"),
        ({}, "required"),
    ],
)
def test_a_refused_name_or_slug_is_explained(owner_client, organization, stranger, sent, reason):
    create_organization(actor=stranger, owner=stranger, name="T", slug="taken", origin=Origin())
    response = owner_client.post(SETTINGS, sent)
    assert response.status_code == 422
    assert reason in page(response)
    organization.refresh_from_db()
    assert (organization.name, organization.slug) == ("Acme", "acme")


def test_a_page_that_somebody_renamed_meanwhile_is_gone(owner_client, owner, organization):
    owner_client.get(SETTINGS)
    change_organization(
        actor=owner, account=organization, name="Acme", slug="elsewhere", origin=Origin()
    )
    for url, sent in ((SETTINGS, {"name": "X", "slug": "x1"}), (DELETE, {"confirmation": "acme"})):
        response = owner_client.post(url, sent)
        assert response.status_code == 404
        assert "/orgs/elsewhere/" in page(response), "the frame still leads to it"
    assert organizations()[0].name == "Acme"


# Limits -----------------------------------------------------------------------------------


def test_limits_are_saved_and_shown_again(owner_client, organization):
    model = known_models()[0][0]
    sent = {
        "allowed_models": [model],
        "member_requests_per_minute": "60",
        "token_requests_per_minute": "20",
    }
    response = owner_client.post(LIMITS, sent, follow=True)
    assert response.redirect_chain == [(SETTINGS, 302)]
    told = page(response)
    assert "Saved what members of Acme may use." in told
    assert re.search(f'value="{model}"[^>]* checked', told)
    assert 'value="60"' in told
    organization.refresh_from_db()
    assert organization.allowed_models == [model]
    assert organization.member_requests_per_minute == 60
    assert organization.token_requests_per_minute == 20
    owner_client.post(LIMITS, {})
    organization.refresh_from_db()
    assert organization.allowed_models is None
    assert organization.member_requests_per_minute is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"member_requests_per_minute": "0"},
        {"member_requests_per_minute": "-1"},
        {"token_requests_per_minute": "1.5"},
        {"token_requests_per_minute": "many"},
        {"token_requests_per_minute": "1000001"},
        {"token_requests_per_minute": "9" * 400},
        {"allowed_models": ["acme/none"]},
        {"allowed_models": [""]},
    ],
)
def test_limits_that_make_no_sense_are_refused(owner_client, organization, wrong):
    response = owner_client.post(LIMITS, wrong)
    assert response.status_code == 422
    assert 'class="errors"' in page(response)
    organization.refresh_from_db()
    assert organization.allowed_models is None
    assert organization.token_requests_per_minute is None


def test_a_model_that_left_the_catalogue_is_listed_while_it_is_allowed(owner_client, organization):
    Account.objects.filter(pk=organization.pk).update(allowed_models=["acme/gone"])
    told = page(owner_client.get(SETTINGS))
    assert re.search('value="acme/gone"[^>]* checked', told)
    assert "No longer in the catalogue" in told
    owner_client.post(LIMITS, {"allowed_models": ["acme/gone"], "token_requests_per_minute": "5"})
    organization.refresh_from_db()
    assert organization.allowed_models == ["acme/gone"]
    assert organization.token_requests_per_minute == 5
    owner_client.post(LIMITS, {"allowed_models": [known_models()[0][0]]})
    assert "acme/gone" not in page(owner_client.get(SETTINGS))


# Deleting ---------------------------------------------------------------------------------


@BOTH
def test_deleting_says_what_is_lost(owner_client, organization, member, headers):
    create_token(actor=member, account=organization, name="ci", origin=Origin())
    told = page(owner_client.get(DELETE, headers=headers))
    assert "Delete Acme?" in told
    assert "3 members, you among them, lose access" in told
    assert "1 API token stops working" in told
    assert "All of its provider keys are deleted" in told
    assert "audit log" in told
    assert ("<html" in told) == (not headers)
    assert organizations() == [organization]


@pytest.mark.parametrize("typed", ["", "Acme", "acme2", "acm", "ACME", "acme acme"])
@BOTH
def test_a_wrong_confirmation_deletes_nothing(owner_client, organization, typed, headers):
    response = owner_client.post(DELETE, {"confirmation": typed}, headers=headers)
    assert response.status_code == 422
    assert organizations() == [organization]


@BOTH
def test_a_deleted_organization_is_gone_for_everybody(
    owner_client, member_client, organization, headers
):
    member_client.get("/orgs/acme/")
    response = owner_client.post(DELETE, {"confirmation": " acme "}, headers=headers)
    assert where_to(response) == reverse("dashboard")
    assert organizations() == []
    told = owner_client.get(reverse("dashboard"))
    assert "Deleted Acme" in page(told)
    for client in (owner_client, member_client):
        assert client.get("/orgs/acme/").status_code == 404
        docs = client.get(reverse("orgs:profile"))
        assert docs.context["frame"].current.is_personal
        assert [choice.kind for choice in docs.context["frame"].accounts] == ["Personal account"]


def test_deleting_twice_finds_nothing_the_second_time(owner_client, organization):
    owner_client.post(DELETE, {"confirmation": "acme"})
    assert owner_client.post(DELETE, {"confirmation": "acme"}).status_code == 404


def test_markup_in_a_name_is_inert(owner_client, owner, organization):
    change_organization(
        actor=owner, account=organization, name="<b>x</b>{{7*7}}", slug="acme", origin=Origin()
    )
    for url in (SETTINGS, DELETE, "/orgs/acme/", "/orgs/acme/tokens/", "/orgs/acme/tokens/create/"):
        response = owner_client.get(url)
        assert response.status_code == 200
        assert b"<b>x" not in response.content
    response = owner_client.post(SETTINGS, {"name": "<i>y", "slug": "acme"}, follow=True)
    assert b"<i>y" not in response.content


def test_pages_take_few_queries(
    owner_client, owner, organization, django_assert_num_queries, django_assert_max_num_queries
):
    owner_client.get(SETTINGS)  # The first visit of a session is written down.
    counted = {}
    for url in (CREATE, SETTINGS, DELETE):
        with django_assert_max_num_queries(12) as queries:
            owner_client.get(url)
        counted[url] = len(queries)
    for number in range(20):
        create_organization(actor=owner, owner=owner, name=f"Team {number}", origin=Origin())
    models = [id_ for id_, _ in known_models()]
    change_limits(
        actor=owner,
        account=organization,
        allowed_models=models,
        member_requests_per_minute=None,
        token_requests_per_minute=None,
        origin=Origin(),
    )
    for url, number in counted.items():
        with django_assert_num_queries(number):
            owner_client.get(url)
