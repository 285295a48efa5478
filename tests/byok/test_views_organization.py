"""The provider keys of an organization: managers manage them together, members see providers."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from byok.actions import add_key, delete_key
from byok.models import KeyTest, ProviderKey
from byok.providers import PROVIDERS
from byok.urls import pages
from byok.vault import Secret
from orgs.actions import (
    change_organization,
    change_role,
    create_organization,
    delete_organization,
    remove_member,
)
from orgs.models import Account, AuditEvent, Membership, User
from orgs.origin import Origin
from tests.byok.conftest import ANTHROPIC_SECRET, by_htmx, text_of
from tests.conftest import PASSWORD, person, signed_in

pytestmark = pytest.mark.django_db

ORIGIN = Origin()
Role = Membership.Role


def add(actor: User, account: Account, provider: str = "anthropic") -> ProviderKey:
    return add_key(
        actor=actor,
        account=account,
        provider=provider,
        secret=Secret(f"{provider}-" + "x" * 30),
        origin=ORIGIN,
    )


@pytest.fixture
def key(billing_manager: User, organization: Account) -> ProviderKey:
    """The organization's key for Anthropic, which its billing manager added."""
    return add_key(
        actor=billing_manager,
        account=organization,
        provider="anthropic",
        secret=Secret(ANTHROPIC_SECRET),
        origin=ORIGIN,
    )


def at(name: str, slug: str = "acme", **values: Any) -> str:  # Any: what an address holds.
    return reverse(f"byok:{name}", kwargs={"slug": slug, **values})


def of(name: str, key: ProviderKey) -> str:
    return at(name, key_id=key.pk)


def membership(user: User, account: Account) -> Membership:
    return Membership.objects.get(user=user, account=account)


def demote(owner: User, user: User, account: Account) -> None:
    change_role(actor=owner, membership=membership(user, account), role=Role.MEMBER, origin=ORIGIN)


def sent(content: str) -> str:
    """A page without what is different each time it is shown."""
    return re.sub(r'name="csrfmiddlewaretoken" value="[^"]+"', "", content)


# Who may what ------------------------------------------------------------------------------

#: What each page is asked with, by method. A new page fails below until it is listed here.
ASKED: dict[str, list[tuple[str, dict[str, str]]]] = {
    "keys": [("get", {})],
    "add": [("get", {}), ("post", {"provider": "openai", "secret": "sk-proj-" + "y" * 30})],
    "models": [("get", {})],
    "row": [("get", {})],
    "details": [("get", {})],
    "update": [("get", {}), ("post", {"secret": "sk-ant-api03-" + "y" * 30})],
    "enabled": [("post", {"enabled": "false"})],
    "disable": [("get", {}), ("post", {})],
    "reminder": [("get", {}), ("post", {"remind_on": "2099-12-31"})],
    "failure": [("get", {}), ("post", {"on_failure": "balance"})],
    "route": [("get", {})],
    "delete": [("get", {}), ("post", {})],
    "test": [("post", {})],
}
REQUESTS = [(name, method, data) for name, asked in ASKED.items() for method, data in asked]


def test_every_page_is_listed():
    assert {page.name for page in pages} == set(ASKED)


# Any: what the test client takes and gives, of types private to it.
def ask(
    client: Client, name: str, method: str, data: dict[str, str], key: ProviderKey, **how: Any
) -> Any:
    values: dict[str, dict[str, Any]] = {
        "keys": {},
        "add": {},
        "route": {},
        "models": {"provider": "anthropic"},
    }
    url = at(name, **values.get(name, {"key_id": key.pk}))
    return getattr(client, method)(url, data, **how)


def everything(client: Client, key: ProviderKey) -> Iterator[tuple[str, HttpResponse]]:
    """Ask for each page and each change, also as htmx would."""
    for headers in ({}, by_htmx(on=at("keys"))):
        for name, method, data in REQUESTS:
            yield name, ask(client, name, method, data, key, headers=headers)


def rows() -> list[list[Any]]:  # Any: of three kinds.
    every = (ProviderKey.objects, KeyTest.objects, AuditEvent.objects)
    return [list(objects.order_by("pk").values()) for objects in every]


@pytest.mark.parametrize(
    ("who", "status"), [("member", 403), ("stranger", 404), ("staff", 404), ("outsider", 404)]
)
def test_nobody_but_its_managers_opens_or_changes_anything(
    who, status, key, member, stranger, staff
):
    people = {"member": member, "stranger": stranger, "staff": staff}
    client = signed_in(people[who] if who in people else owner_of_another())
    before = rows()
    for name, answer in everything(client, key):
        expected = 200 if (who, name) == ("member", "keys") else status
        assert answer.status_code == expected, name
    assert rows() == before


def owner_of_another() -> User:
    user = person("outsider")
    create_organization(actor=user, owner=user, name="Globex", slug="globex", origin=ORIGIN)
    return user


@pytest.mark.parametrize(("name", "method", "data"), REQUESTS)
@pytest.mark.parametrize("who", ["owner", "billing_manager"])
def test_owners_and_billing_managers_open_and_change_everything(
    who, name, method, data, key, owner, billing_manager
):
    client = signed_in({"owner": owner, "billing_manager": billing_manager}[who])
    assert ask(client, name, method, data, key).status_code in {200, 302}


def test_who_is_not_signed_in_is_sent_to_sign_in(client, key):
    for name in ("keys", "add"):
        assert client.get(at(name)).url.startswith("/accounts/login/")
    assert client.get(of("details", key)).url.startswith("/accounts/login/")


@pytest.mark.parametrize("name", ["row", "details", "update", "delete", "reminder"])
def test_a_key_is_found_in_its_own_account_only(name, owner, owner_client, key):
    own = add(owner, owner.account)
    assert owner_client.get(of(name, own)).status_code == 404
    elsewhere = reverse(f"byok:{name}", kwargs={"key_id": key.pk})
    assert owner_client.get(elsewhere).status_code == 404


def test_keys_of_ones_own_and_of_the_organization_are_kept_apart(owner, owner_client, key):
    add(owner, owner.account, "deepseek")
    assert "DeepSeek" not in text_of(owner_client.get(at("keys")))
    assert "Anthropic" not in text_of(owner_client.get(reverse("byok:keys")))
    options = owner_client.get(at("add")).content.decode()
    assert "Anthropic (configured)" in options
    assert "DeepSeek (configured)" not in options


# What members see --------------------------------------------------------------------------


def test_a_member_sees_which_providers_are_set_up_and_whom_to_ask(member_client, key):
    page = text_of(member_client.get(at("keys")))
    assert "Calls you make in Acme go out with the organization's provider keys" in page
    assert "at its expense" in page
    assert "Anthropic 10 supported models" in page
    assert "anthropic/claude-haiku-4.5" in page
    assert "ask owner@example.com or billing_manager@example.com." in page


def test_a_member_is_told_whom_to_ask_when_nothing_is_set_up(member_client, organization):
    page = text_of(member_client.get(at("keys")))
    assert "No providers yet" in page
    assert "so none of its calls can be served." in page
    assert "Add" not in page
    assert "ask owner@example.com or billing_manager@example.com." in page


def test_a_member_is_told_of_the_balance_where_there_is_anything_to_draw(
    member_client, organization, staff
):
    add(staff, Account.objects.platform(), "novita")
    page = text_of(member_client.get(at("keys")))
    assert "so its calls draw on its balance, or fail." in page


def test_a_member_is_not_sent_to_who_cannot_sign_in(member_client, organization, billing_manager):
    User.objects.filter(pk=billing_manager.pk).update(is_active=False)
    assert "ask owner@example.com." in text_of(member_client.get(at("keys")))


STATES = [
    {"hint": "canary-hint"},
    {"health": "failing", "health_code": "no_credit", "health_message": "canary-message"},
    {"health": "works", "last_used_at": timezone.now()},
    {"remind_on": timezone.now().date()},
    {"created_at": timezone.now() - timedelta(days=900)},
    {"secret_changed_at": timezone.now() - timedelta(days=900)},
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: "-".join(state))
def test_a_members_page_is_the_same_however_a_key_is_doing(state, member_client, key):
    before = member_client.get(at("keys"))
    ProviderKey.objects.filter(pk=key.pk).update(**state)
    KeyTest.objects.create(
        key=key, state=KeyTest.State.FAILED, message="canary-test", finished_at=timezone.now()
    )
    after = member_client.get(f"{at('keys')}?saved={key.pk}")
    assert sent(after.content.decode()) == sent(before.content.decode())


def test_a_member_sees_that_a_key_is_switched_off_and_serves_nothing(
    member_client, organization, owner, key
):
    add_key(
        actor=owner,
        account=organization,
        provider="deepseek",
        secret=Secret("sk-sim-ok-0123456789abcdefghij"),
        origin=ORIGIN,
    )
    assert "Switched off" not in text_of(member_client.get(at("keys")))
    ProviderKey.objects.filter(pk=key.pk).update(enabled=False)
    page = text_of(member_client.get(at("keys")))
    assert "Anthropic Switched off" in page
    assert "anthropic/claude" not in page
    assert "deepseek/deepseek" in page
    ProviderKey.objects.all().delete()
    assert "No providers yet" in text_of(member_client.get(at("keys")))


def test_a_member_sees_only_the_models_that_may_be_called(member_client, organization, key):
    Account.objects.filter(pk=organization.pk).update(
        allowed_models=["anthropic/claude-haiku-4.5", "deepseek/deepseek-v4.1-flash"]
    )
    page = text_of(member_client.get(at("keys")))
    assert "Anthropic 1 supported model " in page
    assert "anthropic/claude-haiku-4.5" in page
    assert "anthropic/claude-sonnet" not in page


def test_nothing_of_a_key_is_in_a_members_page(member_client, key):
    ProviderKey.objects.update(
        hint="canary-hint", health="failing", health_code="rejected", health_message="canary-text"
    )
    page = member_client.get(at("keys")).content.decode()
    assert "canary" not in page
    assert str(key.pk) not in page
    assert str(key.pk)[:8] not in page
    for nothing in ("data-key", 'role="switch"', "hx-post", "byok/add", "failing", "<time"):
        assert nothing not in page


def test_a_provider_that_is_no_longer_known_still_has_a_name(member_client, key):
    ProviderKey.objects.update(provider="long-gone")
    page = member_client.get(at("keys"))
    assert "long-gone" in text_of(page)
    assert "0 supported models" in text_of(page)


# What managers see -------------------------------------------------------------------------


def test_the_pages_speak_of_the_organization(billing_manager_client, key):
    shown = text_of(billing_manager_client.get(at("keys")))
    assert "A call of any member that one of these keys can serve goes out with it" in shown
    assert "its provider bills Acme, and MegaBrain charges nothing" in shown
    assert "Members see which providers are set up, and nothing else of the keys." in shown
    dialog = text_of(billing_manager_client.get(at("add")))
    assert "the provider bills Acme." in dialog
    models = text_of(billing_manager_client.get(at("models", provider="anthropic")))
    assert "Calls of all members for these go out with the organization's Anthropic key" in models
    losing = text_of(billing_manager_client.get(of("delete", key)))
    assert (
        "Calls of all members for these models will fail until there is a key in use that can "
        "serve them." in losing
    )


def test_an_organization_without_keys_says_what_they_are_for(owner_client, organization):
    page = text_of(owner_client.get(at("keys")))
    assert "billed to the organization's account there" in page
    assert "Add the first key" in page


def test_a_name_is_not_taken_for_markup(owner, owner_client, member_client, organization, key):
    name = '<b>Acme</b> & "Sons"'
    change_organization(actor=owner, account=organization, name=name, slug="acme", origin=ORIGIN)
    for client, path in ((owner_client, "keys"), (owner_client, "add"), (member_client, "keys")):
        page = client.get(at(path)).content.decode()
        assert "&lt;b&gt;Acme&lt;/b&gt; &amp; &quot;Sons&quot;" in page
        assert "<b>Acme" not in page


def test_a_saved_key_is_in_use_for_all_members(billing_manager_client, organization):
    data = {"provider": "anthropic", "secret": ANTHROPIC_SECRET}
    answer = billing_manager_client.post(at("add"), data)
    saved = ProviderKey.objects.get()
    assert saved.account == organization
    assert answer.url == f"{at('keys')}?saved={saved.pk}#key-{saved.pk}"
    page = text_of(billing_manager_client.get(answer.url))
    assert "The Anthropic key is saved and in use for all members. Test it to be sure." in page
    assert "Test it now" in page


def test_with_htmx_a_saved_key_appears_in_the_organizations_list(
    billing_manager_client, organization
):
    answer = billing_manager_client.post(
        at("add"),
        {"provider": "anthropic", "secret": ANTHROPIC_SECRET},
        headers=by_htmx(on=at("keys")),
    )
    content = answer.content.decode()
    assert 'id="keys" data-flush hx-swap-oob="true"' in content
    assert of("enabled", ProviderKey.objects.get()) in content
    assert "/account/byok/" not in content


def test_a_failing_key_alarms_its_managers(billing_manager_client, key):
    ProviderKey.objects.update(health="failing", health_code="rejected")
    page = text_of(billing_manager_client.get(at("keys")))
    assert "The organization Acme's Anthropic key is failing." in page


def test_managers_see_who_added_a_key(owner_client, billing_manager_client, key):
    for path in (at("keys"), of("details", key)):
        assert "by billing_manager@example.com" in text_of(owner_client.get(path))
        assert "by you" in text_of(billing_manager_client.get(path))
        assert "former member" not in text_of(owner_client.get(path))


def test_who_added_a_key_and_left_is_called_a_former_member(
    owner, owner_client, billing_manager, organization, key
):
    left = membership(billing_manager, organization)
    remove_member(actor=owner, membership=left, origin=ORIGIN)
    for path in (at("keys"), of("details", key)):
        page = text_of(owner_client.get(path))
        assert "by billing_manager@example.com, a former member" in page


def test_a_key_whose_adder_is_not_known_is_shown_without(owner_client, key):
    ProviderKey.objects.update(created_by=None)
    for path in (at("keys"), of("details", key)):
        assert owner_client.get(path).status_code == 200


def test_recent_activity_names_who_did_it(owner_client, billing_manager_client, key):
    billing_manager_client.post(of("enabled", key), {"enabled": "false"})
    page = text_of(owner_client.get(of("details", key)))
    assert "billing_manager@example.com disabled the Anthropic key" in page
    assert "billing_manager@example.com added the Anthropic key" in page


def test_a_secret_is_only_doubted_for_being_in_the_same_account(owner, owner_client, key):
    twice = {"provider": "openai", "secret": ANTHROPIC_SECRET}
    assert "This key is saved already in Anthropic." in text_of(owner_client.post(at("add"), twice))
    alone = {"provider": "anthropic", "secret": ANTHROPIC_SECRET}
    assert owner_client.post(reverse("byok:add"), alone).status_code == 302


# Several at once ---------------------------------------------------------------------------


@pytest.mark.parametrize("htmx", [False, True])
def test_who_adds_the_second_key_is_told_who_added_the_first(htmx, owner_client, key):
    headers = by_htmx(on=at("keys")) if htmx else {}
    data = {"provider": "anthropic", "secret": "sk-ant-api03-another-0123456789abcdefgh"}
    answer = owner_client.post(at("add"), data, headers=headers)
    assert answer.status_code == 422
    told = "billing_manager@example.com has added a key for Anthropic already. Update that one"
    assert told in text_of(answer)
    assert "another" not in answer.content.decode()
    assert ProviderKey.objects.get().secret.unseal() == Secret(ANTHROPIC_SECRET)


def test_who_chooses_a_provider_added_meanwhile_is_told_so(owner_client, key):
    page = owner_client.get(at("add"), {"provider": "anthropic"})
    assert "billing_manager@example.com has added a key for Anthropic already." in text_of(page)
    assert 'name="secret"' not in page.content.decode()


def test_a_key_that_another_manager_deleted_is_not_found(owner, billing_manager_client, key):
    delete_key(actor=owner, key=key, origin=ORIGIN)
    for name, answer in everything(billing_manager_client, key):
        if name not in {"keys", "add", "models", "route"}:
            assert answer.status_code == 404, name


@pytest.fixture(params=["renamed", "deleted", "removed"])
def gone(request, owner: User, billing_manager: User, organization: Account, key: ProviderKey):
    """What the billing manager has on the screen is no longer there for them."""
    if request.param == "renamed":
        change_organization(
            actor=owner, account=organization, name="Acme", slug="acme-inc", origin=ORIGIN
        )
    elif request.param == "deleted":
        delete_organization(actor=owner, account=organization, origin=ORIGIN)
    else:
        left = membership(billing_manager, organization)
        remove_member(actor=owner, membership=left, origin=ORIGIN)
    return request.param


def test_an_organization_that_is_gone_meanwhile_is_not_found(billing_manager_client, key, gone):
    before = rows()
    for name, answer in everything(billing_manager_client, key):
        assert answer.status_code == 404, name
    assert rows() == before


def test_a_renamed_organizations_keys_are_at_its_new_address(
    owner, owner_client, organization, key
):
    change_organization(
        actor=owner, account=organization, name="Acme", slug="acme-inc", origin=ORIGIN
    )
    page = owner_client.get(at("keys", slug="acme-inc"))
    assert "/orgs/acme-inc/byok/" in page.content.decode()
    assert "/orgs/acme/" not in page.content.decode()


def test_a_manager_who_was_made_a_member_meanwhile_is_refused(
    owner, billing_manager, billing_manager_client, organization, key
):
    demote(owner, billing_manager, organization)
    before = rows()
    for name, answer in everything(billing_manager_client, key):
        if name == "keys":
            assert 'id="providers"' in answer.content.decode()
        else:
            assert answer.status_code == 403, name
            assert "your role in Acme does not allow it" in text_of(answer)
    assert rows() == before


# Testing together --------------------------------------------------------------------------


def poll(client: Client, test: KeyTest):
    """What a page asks every 700 ms while the test runs."""
    headers = by_htmx(f"key-{test.key_id}", on=at("keys"))
    return client.get(f"{of('row', test.key)}?test={test.pk}", headers=headers)


def test_a_test_that_one_manager_started_is_followed_by_another(
    owner_client, billing_manager_client, member_client, key
):
    billing_manager_client.post(of("test", key))
    test = KeyTest.objects.get()
    assert "Testing…" in text_of(owner_client.get(at("keys")))
    assert 'hx-trigger="every 700ms"' in poll(owner_client, test).content.decode()
    assert poll(member_client, test).status_code == 403

    passed = "Anthropic accepted this key: claude-haiku-4.5 answered in 412 ms."
    KeyTest.objects.update(state=KeyTest.State.PASSED, message=passed, finished_at=timezone.now())
    for client in (owner_client, billing_manager_client):
        assert passed in text_of(poll(client, test))
    refused = poll(member_client, test)
    assert refused.status_code == 403
    assert passed not in text_of(refused)


def test_both_managers_join_the_test_under_way(owner_client, billing_manager_client, key):
    for client in (owner_client, billing_manager_client):
        assert client.post(of("test", key)).status_code == 302
    assert KeyTest.objects.count() == 1


def test_a_keys_page_says_who_tested_it(owner_client, billing_manager_client, key):
    billing_manager_client.post(of("test", key))
    assert "just now by billing_manager@example.com" in text_of(
        owner_client.get(of("details", key))
    )


# Signing in again --------------------------------------------------------------------------


def test_who_has_to_confirm_who_they_are_comes_back_to_the_organization(owner, organization):
    client = signed_in(owner)
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": 1}]
    session.save()
    asked = client.get(at("add"))
    assert asked["Location"].startswith("/accounts/reauthenticate/")
    answer = client.post(asked["Location"], {"password": PASSWORD})
    assert answer["Location"] == at("add")


# How much it costs -------------------------------------------------------------------------


@pytest.fixture
def crowd(organization: Account) -> None:
    """One key of each provider, each added by another person, some of whom have left."""
    for number, provider in enumerate(sorted(PROVIDERS.keys() - {"anthropic"})):
        someone = person(f"manager{number}")
        joined = Membership.objects.create(
            account=organization, user=someone, role=Role.BILLING_MANAGER
        )
        key = add(someone, organization, provider)
        KeyTest.objects.create(
            key=key, state=KeyTest.State.PASSED, message="Fine.", finished_at=timezone.now()
        )
        if number % 2:
            joined.delete()
    for number in range(20):
        Membership.objects.create(
            account=organization, user=person(f"member{number}"), role=Role.MEMBER
        )


@pytest.mark.parametrize("who", ["billing_manager", "member"])
def test_it_takes_as_many_queries_for_many_keys_and_people_as_for_few(
    who, key, billing_manager, member, request, django_assert_max_num_queries
):
    client = signed_in({"billing_manager": billing_manager, "member": member}[who])
    client.get(at("keys"))  # What is remembered after the first time is remembered now.
    with django_assert_max_num_queries(12) as with_few:
        client.get(at("keys"))
    request.getfixturevalue("crowd")
    with django_assert_max_num_queries(12) as with_many:
        page = client.get(at("keys"))
    assert len(with_many) == len(with_few)
    assert "Novita" in page.content.decode()


def test_a_keys_own_page_and_dialogs_stay_within_twelve_queries(
    billing_manager_client, key, crowd, django_assert_max_num_queries
):
    for name in ("details", "update", "delete"):
        billing_manager_client.get(of(name, key))
        with django_assert_max_num_queries(12):
            billing_manager_client.get(of(name, key))
