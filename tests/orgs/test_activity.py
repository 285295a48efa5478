"""Activity, and an organization's audit log: the same pages."""

import re
from datetime import datetime, timedelta
from html import unescape
from urllib.parse import quote

import pytest
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone

from orgs.access import account_url
from orgs.actions import change_limits, change_role, limit_member
from orgs.audit import Event, record, verification
from orgs.catalogue import known_models
from orgs.events import KINDS
from orgs.models import Account, AuditCheck, AuditEvent, Membership, User
from orgs.origin import Origin
from orgs.views.activity import SHOWN, SUGGESTED
from tests.conftest import signed_in
from tests.database.management.commands.flush import unprotected

LIST = reverse("orgs:activity")


def happen(
    account: Account,
    event: Event = Event.KEY_TESTED,
    times: int = 1,
    actor: User | None = None,
) -> None:
    for _ in range(times):
        with transaction.atomic():
            record(
                event=event,
                account=account,
                actor=actor or account.user,
                target=account,
                origin=Origin("192.0.2.7", "Firefox on a laptop", "the-request"),
                changed=["enabled"],
                details={"some_fact": "a value"},
            )


def page(response) -> str:
    return " ".join(unescape(response.content.decode()).split())


def shown(response) -> list[int]:
    """Sequence numbers of the events on the page, from top to bottom."""
    return [event.sequence for event in response.context["page"].events]


def test_an_event_is_told_with_target_time_and_address(owner_client, account):
    happen(account, Event.KEY_ADDED)
    told = page(owner_client.get(LIST))
    assert "You added the <strong>Owner</strong> key" in told
    assert "192.0.2.7" in told
    assert "just now</time>" in told
    assert f'title="{timezone.now():%Y-%m-%d}' in told


def test_what_megabrain_did_is_not_put_down_to_the_visitor(owner_client, account):
    told = page(owner_client.get(LIST))
    assert "MegaBrain opened this account" in told


def test_nobody_sees_the_activity_of_another(owner_client, stranger_client, account):
    happen(account, Event.TOKEN_CREATED)
    latest = AuditEvent.objects.for_account(account.pk).newest_first()[0].sequence
    assert "created the API token" in page(owner_client.get(LIST))
    assert "created the API token" not in page(stranger_client.get(LIST))
    url = reverse("orgs:activity_event", args=[latest])
    assert owner_client.get(url).status_code == 200
    assert stranger_client.get(url).status_code == 404


def test_one_walks_through_all_pages_and_back(owner_client, account):
    happen(account, times=2 * SHOWN + 3)
    last = AuditEvent.objects.for_account(account.pk).count()
    everything = list(range(last, 0, -1))
    seen, pages, url = [], [], LIST
    while url:
        response = owner_client.get(url)
        seen += shown(response)
        pages.append(shown(response))
        url = response.context["page"].older
    assert seen == everything
    url = response.context["page"].newer
    for expected in reversed(pages[:-1]):
        response = owner_client.get(url)
        assert shown(response) == expected
        url = response.context["page"].newer
    assert url == ""


def test_pages_do_not_shift_while_events_arrive(owner_client, account):
    happen(account, times=2 * SHOWN)
    first = owner_client.get(LIST)
    older = first.context["page"].older
    before = shown(owner_client.get(older))
    happen(account, times=7)
    assert shown(owner_client.get(older)) == before
    assert shown(owner_client.get(owner_client.get(older).context["page"].newer)) == shown(first)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("token", {"token.created", "token.revoked"}),
        ("token.created", {"token.created"}),
        ("byok", {"byok.key.tested"}),
        ("security", set()),
    ],
)
def test_events_can_be_picked_out(owner_client, account, chosen, expected):
    for event in (Event.TOKEN_CREATED, Event.TOKEN_REVOKED, Event.KEY_TESTED):
        happen(account, event)
    response = owner_client.get(LIST, {"event": chosen})
    found = {event.event for event in response.context["page"].events}
    assert found - {"security.signed_in"} == expected


def test_a_filter_stays_on_the_way_to_older_events(owner_client, account):
    for _ in range(SHOWN + 5):
        happen(account, Event.TOKEN_CREATED)
        happen(account, Event.KEY_TESTED)
    response = owner_client.get(LIST, {"event": "token", "period": "7"})
    older = response.context["page"].older
    assert "event=token" in older
    assert "period=7" in older
    rest = owner_client.get(older).context["page"].events
    assert {event.event for event in rest} == {"token.created"}
    assert len(rest) == 5


def test_a_period_leaves_out_what_is_older(owner_client, account):
    happen(account, Event.TOKEN_CREATED)
    written_at(timezone.now() - timedelta(days=2), "event = 'token.created'")
    day = owner_client.get(LIST, {"period": "1"}).context["page"].events
    week = owner_client.get(LIST, {"period": "7"}).context["page"].events
    assert "token.created" not in {event.event for event in day}
    assert "token.created" in {event.event for event in week}


def moved(account: Account, sequence: int, **by: int) -> None:
    """As if that event had been written so much earlier."""
    event = AuditEvent.objects.for_account(account.pk).get(sequence=sequence)
    written_at(event.created_at - timedelta(**by), f"id = {event.pk}")


def written_at(moment: datetime, which: str = "1 = 1") -> None:
    """As if these events had been written then."""
    stored = connection.ops.adapt_datetimefield_value(moment)
    with unprotected(connection), connection.cursor() as cursor:
        cursor.execute(f"UPDATE orgs_auditevent SET created_at = %s WHERE {which}", [stored])


@pytest.fixture
def clock_set_back(account) -> list[str]:
    """Event 1 is of now, as are all signing in; 2 to 5 are of the four days from 8 days ago on."""
    happen(account, times=4)
    for sequence in (2, 3, 4, 5):
        moved(account, sequence, days=10 - sequence)
    return [f"{timezone.now() - timedelta(days=10 - sequence):%Y-%m-%d}" for sequence in range(6)]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [(3, 4, [4, 3]), (3, None, [1, 5, 4, 3]), (None, 3, [3, 2]), (4, 3, []), (None, None, None)],
)
def test_from_and_to_are_whole_days_both_included(
    owner_client, clock_set_back, since, until, expected
):
    days = {"since": since, "until": until}
    chosen = {name: clock_set_back[day] for name, day in days.items() if day is not None}
    response = owner_client.get(LIST, {"period": "dates", **chosen})
    assert shown(response) == (expected if expected is not None else [1, 5, 4, 3, 2])


@pytest.mark.usefixtures("clock_set_back")
def test_where_a_clock_was_set_back_the_list_is_in_order_of_time(owner_client, account):
    assert shown(owner_client.get(LIST)) == [1, 5, 4, 3, 2]
    assert shown(owner_client.get(LIST, {"period": "7"})) == [1, 5, 4]
    assert shown(owner_client.get(LIST, {"before": 1})) == [5, 4, 3, 2]
    assert shown(owner_client.get(LIST, {"before": 4})) == [3, 2]


def test_pages_go_on_where_events_are_of_one_moment(owner_client, account):
    happen(account, times=2 * SHOWN)
    written_at(timezone.now())
    seen, url = [], LIST
    while url:
        response = owner_client.get(url, {"event": "byok"} if url == LIST else {})
        seen += shown(response)
        url = response.context["page"].older
    assert seen == list(range(2 * SHOWN + 1, 1, -1))


def test_an_actor_is_picked_out_by_a_click_or_by_typing(billing_manager, organization):
    client, log = signed_in(billing_manager), account_url("orgs:activity", organization)
    happen(organization, Event.KEY_ADDED, actor=billing_manager)
    told = page(client.get(log))
    assert f'href="{log}?actor={quote("owner@example.com")}"' in told
    assert f'href="{log}?actor={quote(billing_manager.email)}"' in told
    for typed in ("Billing_Manager@example.com ", "billing_manager@example.com"):
        events = client.get(log, {"actor": typed}).context["page"].events
        assert {event.actor_label for event in events} == {billing_manager.email}
    assert "Write the whole address" in page(client.get(log, {"actor": "billing"}))


def test_what_megabrain_did_can_be_picked_out(owner_client, account):
    happen(account)
    assert shown(owner_client.get(LIST, {"actor": "megabrain"})) == [1]


@pytest.mark.parametrize("kind", ["token", "token.created"])
def test_filters_narrow_each_other(owner, billing_manager, organization, kind):
    client, log = signed_in(owner), account_url("orgs:activity", organization)
    for actor in (owner, billing_manager):
        for event in (Event.TOKEN_CREATED, Event.KEY_ADDED):
            happen(organization, event, actor=actor)
    events = client.get(log, {"event": kind, "actor": owner.email, "period": "1"})
    [found] = events.context["page"].events
    assert (found.event, found.actor_label) == ("token.created", owner.email)
    told = page(client.get(log, {"event": kind, "period": "1"}))
    assert f"?event={kind}&period=1&actor=billing_manager%40example.com" in told


def test_members_are_suggested_unless_they_are_too_many(owner, member, organization):
    client, log = signed_in(owner), account_url("orgs:activity", organization)
    assert '<option value="member@example.com">' in page(client.get(log))
    people = [User(email=f"{n}@example.com") for n in range(SUGGESTED)]
    User.objects.bulk_create(people)
    Membership.objects.bulk_create(
        [Membership(account=organization, user=user, role="member") for user in people]
    )
    assert '<option value="member@example.com">' not in page(client.get(log))


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("owner", 200),
        ("billing_manager", 200),
        ("member", 403),
        ("stranger", 404),
        ("staff", 404),
    ],
)
def test_owners_and_billing_managers_read_an_organizations_log(organization, request, who, status):
    client = request.getfixturevalue(f"{who}_client")
    happen(organization, Event.ORG_RENAMED, actor=organization.memberships.first().user)
    log = account_url("orgs:activity", organization)
    assert client.get(log).status_code == status
    event = account_url("orgs:activity_event", organization, sequence=1)
    assert client.get(event).status_code == status


def test_an_organizations_log_is_called_so_and_has_its_own_addresses(owner_client, organization):
    told = page(owner_client.get(account_url("orgs:activity", organization)))
    assert "<h1>Audit log</h1>" in told
    assert 'href="/orgs/acme/audit/1/"' in told
    assert "created this organization" in told
    event = page(owner_client.get(account_url("orgs:activity_event", organization, sequence=1)))
    assert "Back to Audit log" in event
    assert "created this organization" not in page(owner_client.get(LIST))


def test_the_way_back_from_an_event_keeps_the_filter(owner_client, organization):
    url = account_url("orgs:activity_event", organization, sequence=1)
    assert 'href="/orgs/acme/audit/?event=org"' in page(owner_client.get(url, {"event": "org"}))


def test_every_event_is_of_a_kind_that_can_be_picked():
    assert {event.partition(".")[0] for event in Event} == set(KINDS)


def test_a_log_that_no_worker_has_seen_is_not_called_verified(owner_client, account):
    assert "Not yet verified" in page(owner_client.get(LIST))


def test_a_verified_log_says_up_to_where(owner_client, account):
    happen(account)
    verification.verify_new_events(seconds=60)
    told = page(owner_client.get(LIST))
    assert "Verified" in told
    assert "up to event 2, <time" in told


def test_a_broken_log_says_where_and_what_that_means(owner_client, account):
    happen(account, times=3)
    with unprotected(connection), connection.cursor() as cursor:
        cursor.execute("UPDATE orgs_auditevent SET event = 'x' WHERE sequence = 3")
    verification.verify_new_events(seconds=60)
    told = page(owner_client.get(LIST))
    assert "Broken at event 3." in told
    assert "the event does not match its hash" in told
    assert "Tell whoever runs this installation" in told
    assert "up to event" not in told


def test_what_was_verified_just_now_and_what_longer_ago_are_told_apart(owner_client, account):
    happen(account)
    verification.verify_new_events(seconds=60)
    AuditCheck.objects.update(walked_at=timezone.now() - timedelta(hours=7))
    told = page(owner_client.get(LIST))
    assert re.search(
        r"Verified<.* up to event 2, <time[^>]*>just now</time>; all of them walked", told
    )
    assert re.search(r"all of them walked <time[^>]*>7 h ago</time>", told)


@pytest.mark.parametrize(
    ("verified", "written", "state"),
    [(20, 20, "Behind"), (20, 0, "Verified"), (5, 20, "Verified"), (20, None, "Verified")],
    ids=["no worker", "new ones only", "under way", "nothing new"],
)
def test_a_log_whose_new_events_nobody_verifies_is_not_green(
    owner_client, account, verified, written, state
):
    """As if so many minutes had passed since the last verification, and since the next event."""
    verification.verify_new_events(seconds=60)
    past = [timezone.now() - timedelta(minutes=minutes or 0) for minutes in (verified, written)]
    AuditCheck.objects.update(checked_at=past[0])
    if written is not None:
        happen(account)
        written_at(past[1], "sequence = 2")
    told = page(owner_client.get(LIST))
    assert f'<span class="status-word">{state}</span>' in told
    assert ("no worker verifies" in told) == (state == "Behind")


def test_an_altered_event_that_somebody_looks_at_breaks_the_whole_log(owner_client, account):
    happen(account, times=4)
    verification.verify_new_events(seconds=60)
    for sequence in (4, 2, 3):
        alter(f"actor_label = 'x' WHERE sequence = {sequence}")
        owner_client.get(reverse("orgs:activity_event", args=[sequence]))
    assert "Broken at event 2." in page(owner_client.get(LIST))
    verification.verify_new_events(seconds=60)
    assert "Broken at event 2." in page(owner_client.get(LIST))


def test_a_fault_that_only_another_version_knows_is_no_error(owner_client, account):
    verification.verify_new_events(seconds=60)
    AuditCheck.objects.update(fault="UNHEARD_OF", first_bad=1)
    told = page(owner_client.get(LIST))
    assert "Broken at event 1." in told
    assert "a fault that another version of MegaBrain has found" in told


def test_nothing_found_offers_to_show_everything(owner_client):
    told = page(owner_client.get(LIST, {"event": "byok"}))
    assert "Nothing matches" in told
    assert "Show everything" in told


@pytest.mark.parametrize(
    "query",
    [
        {"event": "nonsense"},
        {"period": "99999999999"},
        {"before": "x"},
        {"before": "-1"},
        {"before": "9" * 40},
        {"after": "9" * 40},
        {"after": "9" * 18},
        {"before": "1"},
        {"event": "'; --", "period": "", "after": "0"},
        {"actor": "x" * 300},
        {"actor": "\x00"},
        {"actor": "'; --"},
        {"period": "dates"},
        {"period": "dates", "since": "0001-01-01", "until": "9999-12-31"},
        {"period": "dates", "since": "2026-02-30", "until": "yesterday"},
        {"period": "dates", "since": "2030-01-01", "until": "2020-01-01"},
    ],
)
def test_a_strange_query_is_no_error(owner_client, account, query):
    assert owner_client.get(LIST, query).status_code == 200


def test_htmx_gets_the_list_alone(owner_client):
    told = page(owner_client.get(LIST, headers={"HX-Request": "true"}))
    assert told.startswith('<div id="events"')
    assert "<html" not in told


def test_the_details_of_an_event(owner_client, account):
    happen(account, Event.KEY_DISABLED)
    event = AuditEvent.objects.get(event="byok.key.disabled")
    url = reverse("orgs:activity_event", args=[event.sequence])
    told = page(owner_client.get(url))
    for fact in (
        "byok.key.disabled",
        "enabled",
        "Some fact",
        "a value",
        "Firefox on a laptop",
        "the-request",
        event.hash,
        event.previous_hash,
        "Unaltered",
        "owner@example.com (you)",
    ):
        assert fact in told
    fragment = page(owner_client.get(url, headers={"HX-Request": "true"}))
    assert fragment.startswith("<dialog")


def test_the_details_of_an_altered_event_say_so(owner_client, account):
    happen(account, Event.KEY_DISABLED)
    event = AuditEvent.objects.get(event="byok.key.disabled")
    with unprotected(connection), connection.cursor() as cursor:
        cursor.execute("UPDATE orgs_auditevent SET address = NULL WHERE id = %s", [event.pk])
    told = page(owner_client.get(reverse("orgs:activity_event", args=[event.sequence])))
    assert "Altered" in told
    assert "Unaltered" not in told


@pytest.mark.parametrize("column", ["changed", "details"])
@pytest.mark.parametrize("value", ["null", "7", "[]", "[7]", '"a text"', '{"b": {"c": [1]}}'])
def test_an_event_whose_facts_are_no_facts_any_more_is_shown_as_altered(
    owner_client, account, column, value
):
    happen(account)
    alter(f"{column} = '{value}' WHERE sequence = 2")
    assert owner_client.get(LIST).status_code == 200
    told = page(owner_client.get(reverse("orgs:activity_event", args=[2])))
    assert "Altered" in told


def test_the_limits_of_an_organization_are_told(owner_client, owner, organization):
    first, second = (model for model, _ in known_models()[:2])
    for models in ([first], [second], None):
        change_limits(
            actor=owner,
            account=organization,
            allowed_models=models,
            member_requests_per_minute=None,
            token_requests_per_minute=None,
            origin=Origin(),
        )
    count = AuditEvent.objects.for_account(organization.pk).count()
    told = [
        page(owner_client.get(account_url("orgs:activity_event", organization, sequence=number)))
        for number in range(count - 2, count + 1)
    ]
    assert f"<dt>Models from now on</dt><dd>{first}</dd>" in told[0]
    assert f"<dt>Models added</dt><dd>{second}</dd>" in told[1]
    assert f"<dt>Models removed</dt><dd>{first}</dd>" in told[1]
    assert f"<dt>Models until now</dt><dd>{second}</dd>" in told[2]


def alter(change: str) -> None:
    with unprotected(connection), connection.cursor() as cursor:
        cursor.execute(f"UPDATE orgs_auditevent SET {change}")


def test_what_a_stranger_named_is_shown_as_text(owner_client, account, owner):
    owner.account.name = "<img src=x onerror=alert(1)>"
    happen(owner.account, Event.KEY_ADDED)
    for url in (LIST, reverse("orgs:activity_event", args=[AuditEvent.objects.count()])):
        assert b"<img src=x" not in owner_client.get(url).content


@pytest.mark.parametrize(
    "query",
    [{}, {"event": "org"}, {"event": "byok", "actor": "owner@example.com", "period": "7"}],
    ids=["everything", "a kind", "all filters"],
)
def test_a_page_takes_the_same_queries_for_few_events_and_for_many(
    owner_client, organization, django_assert_num_queries, django_assert_max_num_queries, query
):
    log, owner = account_url("orgs:activity", organization), organization.memberships.first().user
    happen(organization, actor=owner)
    query = {**query, "before": 2}
    owner_client.get(log)  # The first page of a session also notes that there is one.
    with django_assert_max_num_queries(12) as few:
        owner_client.get(log, query)
    happen(organization, actor=owner, times=60)
    with django_assert_num_queries(len(few)):
        owner_client.get(log, {**query, "before": 60})


def test_an_event_is_told_in_words(owner, member, organization, owner_client):
    membership = Membership.objects.get(account=organization, user=member)
    change_role(actor=owner, membership=membership, role="billing_manager", origin=Origin())
    limit_member(actor=owner, membership=membership, requests_per_minute=1200, origin=Origin())
    limit_member(actor=owner, membership=membership, requests_per_minute=None, origin=Origin())
    role, limited, lifted = (
        page(owner_client.get(account_url("orgs:activity_event", organization, sequence=number)))
        for number in (2, 3, 4)
    )
    assert "<dt>Role</dt><dd>Billing manager</dd>" in role
    assert "<dt>Previous role</dt><dd>Member</dd>" in role
    assert "billing_manager" not in role
    assert "<dt>Changed</dt><dd>requests a minute</dd>" in limited
    assert "<dt>Requests a minute</dt><dd>1,200</dd>" in limited
    assert "<dt>Previous requests a minute</dt><dd>none</dd>" in limited
    assert "<dt>Requests a minute</dt><dd>none</dd>" in lifted
    assert "<dt>Previous requests a minute</dt><dd>1,200</dd>" in lifted


def test_an_organization_is_told_what_staff_did_there(
    owner, member, staff, organization, owner_client
):
    for actor, role in ((owner, "owner"), (staff, "member")):
        membership = Membership.objects.get(account=organization, user=member)
        change_role(actor=actor, membership=membership, role=role, origin=Origin())
    by_owner, by_staff = (
        page(owner_client.get(account_url("orgs:activity_event", organization, sequence=number)))
        for number in (2, 3)
    )
    told = "<dt>As MegaBrain's staff</dt><dd>yes</dd>"
    assert told in by_staff
    assert "MegaBrain's staff" not in by_owner


def test_staff_who_are_members_act_as_members(staff, member, organization):
    Membership.objects.create(account=organization, user=staff, role="owner")
    membership = Membership.objects.get(account=organization, user=member)
    change_role(actor=staff, membership=membership, role="owner", origin=Origin())
    told = AuditEvent.objects.for_account(organization.pk).latest("sequence")
    assert "by_staff" not in told.details


def test_long_addresses_are_cut_in_their_columns_and_whole_in_the_title(owner, organization):
    origin = Origin(address="2001:db8:1234:5678:9abc:def0:1234:5678")
    with transaction.atomic():
        record(
            event=Event.ORG_RENAMED,
            account=organization,
            actor=owner,
            target=organization,
            origin=origin,
        )
    told = page(signed_in(owner).get(account_url("orgs:activity", organization)))
    assert f'title="{origin.address}"' in told
    assert 'title="Everything by owner@example.com"' in told
