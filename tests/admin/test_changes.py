"""What staff may change of others: each change once, with one event, by whoever it was."""

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import LogEntry
from django.db import connection, models
from django.urls import reverse

from byok.models import KeyTest, ProviderKey
from orgs.models import Account, AuditEvent, Membership, User
from tests.admin.conftest import (
    Found,
    events,
    list_url,
    member_of,
    page_url,
    text_of,
)
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db
Role = Membership.Role


@pytest.fixture
def rows(acme: Found, member: User) -> dict[str, models.Model]:
    account = acme.key.account
    return {
        "user": member,
        "membership": member_of(account, member),
        "invitation": acme.invitation,
        "token": acme.token,
        "key": acme.key,
    }


CHANGES = [
    ("close", "user", "user.closed", {"is_active": False}),
    ("make_owner", "membership", "org.member.role_changed", {"role": "owner"}),
    ("make_billing_manager", "membership", "org.member.role_changed", {"role": "billing_manager"}),
    ("revoke", "invitation", "org.invitation.revoked", {"revoked_at__isnull": False}),
    ("revoke", "token", "token.revoked", {"revoked_at__isnull": False}),
    ("disable", "key", "byok.key.disabled", {"enabled": False}),
    ("remove", "membership", "org.member.removed", None),
]


@pytest.mark.parametrize(("action", "on", "event", "state"), CHANGES)
def test_a_change_is_made_and_told_once(rows, desk, action, on, event, state):
    row = rows[on]
    account = row.account
    before = events()
    desk.do(action, row)
    # Who is shut out is told of in each account that they are in.
    accounts = [account, *Account.objects.filter(memberships__user=row.pk).exclude(pk=account.pk)]
    told = {(event, "staff@example.com", str(each.pk)) for each in accounts}
    assert len(events()) == len(before) + len(told)
    assert set(events()[len(before) :]) == told
    left = type(row)._default_manager.filter(pk=row.pk)
    assert left.filter(**state).exists() if state else not left.exists()
    # Again, it changes nothing and tells nothing.
    if state:
        desk.do(action, row)
    assert len(events()) == len(before) + len(told)


@pytest.mark.parametrize(("action", "on", "event", "state"), CHANGES)
def test_without_its_event_there_is_no_change(
    rows, staff_client, broken_audit_log, action, on, event, state
):
    row = rows[on]
    everything = list(type(row)._default_manager.order_by("pk").values_list())
    staff_client.raise_request_exception = False
    answer = staff_client.post(
        list_url(f"{row._meta.app_label}_{row._meta.model_name}"),
        {"action": action, "confirmed": "1", "index": "0", "_selected_action": [str(row.pk)]},
    )
    assert answer.status_code == 500
    kept = type(row)._default_manager.order_by("pk").values_list()
    assert repr(list(kept)) == repr(everything)


def test_a_closed_account_is_out_at_once_and_opened_again_signs_in_anew(desk, member, staff):
    theirs = signed_in(member)
    theirs.get(reverse("dashboard"))
    assert UserSession.objects.filter(user=member).exists()
    desk.do("close", member)
    assert theirs.get(reverse("dashboard")).status_code == 302
    page = desk.do("reopen", member)
    assert "member@example.com: the account is open again." in page
    member.refresh_from_db()
    assert member.is_active
    assert theirs.get(reverse("dashboard")).status_code == 302
    assert [event for event, *_ in events()][-2:] == ["user.closed", "user.reopened"]


def test_nobody_closes_their_own_account(desk, staff):
    page = desk.do("close", staff)
    assert "staff@example.com: not permitted. Nobody closes their own account." in page
    staff.refresh_from_db()
    assert staff.is_active


@pytest.mark.parametrize("action", ["make_member", "make_billing_manager", "remove"])
def test_an_organization_keeps_its_last_owner(desk, organization, owner, action):
    before = events()
    page = desk.do(action, member_of(organization, owner))
    assert "owner@example.com is the only owner of Acme. Make somebody else an owner first" in page
    assert member_of(organization, owner).role == Role.OWNER
    assert events() == before


def test_the_last_owner_s_account_stays_open(desk, organization, owner):
    page = desk.do("close", owner)
    assert "owner@example.com is the only owner of Acme." in page
    owner.refresh_from_db()
    assert owner.is_active


@pytest.mark.parametrize("action", ["make_member", "remove"])
def test_a_personal_account_keeps_its_owner(desk, member, action):
    page = desk.do(action, member_of(member.account, member))
    assert "not, or no more, a membership of an organization" in page
    assert member_of(member.account, member).role == Role.OWNER


@pytest.mark.parametrize("action", ["make_owner", "make_billing_manager", "make_member"])
def test_staff_who_are_members_stay_what_they_are(desk, organization, staff, action):
    mine = Membership.objects.create(account=organization, user=staff, role=Role.BILLING_MANAGER)
    before = events()
    assert "not permitted" in desk.do(action, mine)
    assert member_of(organization, staff).role == Role.BILLING_MANAGER
    assert events() == before


def test_staff_who_are_owners_may_step_back(desk, organization, staff):
    mine = Membership.objects.create(account=organization, user=staff, role=Role.OWNER)
    assert "now a member" in desk.do("make_member", mine)
    assert "not permitted" in desk.do("make_owner", mine)


def test_a_member_does_not_come_back_before_an_owner(desk, organization, owner, member):
    User.objects.filter(memberships__account=organization).update(is_active=False)
    page = desk.do("reopen", member)
    assert "Acme has no owner who can sign in. Somebody else has to become an owner" in page
    member.refresh_from_db()
    assert not member.is_active
    desk.do("reopen", owner)
    assert "the account is open again" in desk.do("reopen", member)


def test_each_row_is_a_change_of_its_own_and_its_refusal_is_told(
    desk, organization, owner, member, billing_manager
):
    memberships = [member_of(organization, user) for user in (owner, member, billing_manager)]
    before = events()
    page = desk.do("make_member", *memberships)
    assert "is the only owner" in page
    assert "billing_manager@example.com in Acme: now a member." in page
    assert "member@example.com in Acme: was a member already." in page
    assert len(events()) == len(before) + 1
    assert member_of(organization, billing_manager).role == Role.MEMBER


def test_only_ticked_rows_are_changed(desk, acme, member, billing_manager):
    desk.do("close", member, select_across="1", _selected="x")
    assert list(User.objects.filter(is_active=False)) == [member]


@pytest.mark.parametrize("ids", [["x"], ["%"], [str(10**30)], ["\x00"], []])
def test_ids_of_nothing_change_nothing(acme, desk, ids):
    before = events()
    for name in ("orgs_user", "byok_providerkey", "orgs_audithead"):
        action = {"orgs_user": "close", "byok_providerkey": "disable"}.get(name, "verify")
        desk.send(list_url(name), action=action, index="0", confirmed="1", _selected_action=ids)
    assert events() == before


@pytest.mark.parametrize("action", ["", "nothing", "delete_selected", "__init__", "save_model"])
def test_actions_that_are_not_offered_do_nothing(acme, desk, member, action):
    before = events()
    desk.do(action, member)
    member.refresh_from_db()
    assert member.is_active
    assert events() == before


def test_what_cannot_be_undone_is_asked_about_first(desk, acme):
    page = desk.do("revoke", acme.token, confirmed="")
    before = events()
    data = {"action": "revoke", "index": "0", "_selected_action": [str(acme.token.pk)]}
    page = desk.send(list_url("orgs_apitoken"), **data)
    assert "at once and for good" in page
    assert "ci (mb-" in page
    assert events() == before


def test_a_page_offers_what_would_change_something(desk, staff_client, acme, member):
    url = page_url(member)
    assert "Open the account again" not in text_of(staff_client.get(url))
    page = desk.do("close", member, page="1")
    assert "Open the account again" in page
    assert ">Close the account<" not in page
    assert f'href="{reverse("admin:orgs_auditevent_changelist")}?q={member.account.pk}"' in page


# Provider keys -------------------------------------------------------------------------------


def test_staff_try_any_key(desk, acme):
    KeyTest.objects.all().delete()
    before = events()
    desk.do("test", acme.key)
    test = KeyTest.objects.get()
    assert test.requested_by is not None
    assert test.requested_by.email == "staff@example.com"
    assert events()[len(before) :] == [
        ("byok.key.tested", "staff@example.com", str(acme.key.account_id))
    ]


@pytest.mark.parametrize("action", ["enable", "delete"])
def test_staff_neither_enable_nor_delete_the_key_of_others(desk, acme, action):
    ProviderKey.objects.update(enabled=False)
    before = events()
    page = desk.do(action, acme.key)
    assert "not permitted" in page
    assert not ProviderKey.objects.get(pk=acme.key.pk).enabled
    assert events() == before


def test_staff_see_no_form_for_the_secret_of_others(staff_client, acme):
    url = reverse("admin:byok_providerkey_secret", args=[acme.key.pk])
    assert staff_client.get(url).status_code == 403
    assert staff_client.post(url, {"secret": "sk-ant-api03-" + "x" * 40}).status_code == 403
    assert url not in text_of(staff_client.get(page_url(acme.key)))
    acme.key.refresh_from_db()
    assert acme.key.secret.unseal().reveal() == acme.canary.text


def test_a_key_tested_too_often_is_told(desk, acme):
    for _ in range(7):
        KeyTest.objects.update(state="failed", finished_at=acme.usage.created_at)
        page = desk.do("test", acme.key)
    assert "was tested too often. Test again in" in page


# Reading only --------------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["user", "membership", "invitation", "token", "key"])
def test_no_column_can_be_posted(rows, staff_client, on):
    row = rows[on]
    fields = {field.name: "1" for field in row._meta.fields}
    before = repr(list(type(row)._default_manager.order_by("pk").values_list()))
    answer = staff_client.post(page_url(row), {**fields, "is_staff": "on", "role": "owner"})
    assert answer.status_code == 403
    assert repr(list(type(row)._default_manager.order_by("pk").values_list())) == before


def test_events_and_usage_can_only_be_read(acme, staff_client):
    for row in (AuditEvent.objects.first(), acme.usage, acme.test):
        assert row is not None
        url = page_url(row)
        assert 'name="_save"' not in text_of(staff_client.get(url))
        assert staff_client.post(url, {}).status_code == 403
        assert staff_client.get(url.replace("change/", "delete/")).status_code == 404


# The audit log -------------------------------------------------------------------------------


def test_verifying_says_that_all_is_as_written(desk, acme):
    page = desk.do("verify", acme.key.account)
    assert "Acme: all 4 events are as they were written." in page


@pytest.mark.skipif(connection.vendor != "sqlite", reason="Triggers go by another way there.")
def test_verifying_says_where_a_chain_is_broken(desk, acme):
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (trigger,) in cursor.fetchall():
            cursor.execute(f'DROP TRIGGER "{trigger}"')
        cursor.execute(
            "UPDATE orgs_auditevent SET actor_label = 'nobody' WHERE sequence = 3"
            " AND account_id = %s",
            [acme.key.account_id.hex],
        )
    page = desk.do("verify", acme.key.account)
    assert "Acme: broken at event 3: the event does not match its hash." in page


def test_django_s_own_log_stays_empty(desk, acme, member):
    desk.do("close", member)
    desk.do("disable", acme.key)
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("action", "warning"),
    [
        ("make_owner", "They may do everything in the organization"),
        ("make_billing_manager", "They may manage the organization"),
        ("make_member", "no longer manage the organization"),
    ],
)
def test_a_role_changes_only_once_it_was_confirmed(
    desk, organization, member, staff_client, action, warning
):
    Membership.objects.filter(user=member, account=organization).update(
        role=Role.MEMBER if action != "make_member" else Role.BILLING_MANAGER
    )
    membership = member_of(organization, member)
    asked = staff_client.post(
        list_url("orgs_membership"),
        {"action": action, "index": "0", "_selected_action": [str(membership.pk)]},
    )
    assert warning in text_of(asked)
    assert member_of(organization, member).role == membership.role
    assert "member@example.com in Acme: now a" in desk.do(action, membership)
    assert member_of(organization, member).role != membership.role
