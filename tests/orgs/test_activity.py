"""The Activity page."""

from datetime import timedelta
from html import unescape

import pytest
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone

from orgs.audit import Event, record
from orgs.models import Account, AuditEvent
from orgs.origin import Origin
from orgs.views.activity import SHOWN
from tests.database.management.commands.flush import unprotected

LIST = reverse("orgs:activity")


def happen(account: Account, event: Event = Event.KEY_TESTED, times: int = 1) -> None:
    for _ in range(times):
        with transaction.atomic():
            record(
                event=event,
                account=account,
                actor=account.user,
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
    with unprotected(connection), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orgs_auditevent SET created_at = %s WHERE event = 'token.created'",
            [timezone.now() - timedelta(days=2)],
        )
    day = owner_client.get(LIST, {"period": "1"}).context["page"].events
    week = owner_client.get(LIST, {"period": "7"}).context["page"].events
    assert "token.created" not in {event.event for event in day}
    assert "token.created" in {event.event for event in week}


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


def test_what_a_stranger_named_is_shown_as_text(owner_client, account, owner):
    owner.account.name = "<img src=x onerror=alert(1)>"
    happen(owner.account, Event.KEY_ADDED)
    for url in (LIST, reverse("orgs:activity_event", args=[AuditEvent.objects.count()])):
        assert b"<img src=x" not in owner_client.get(url).content


def test_a_page_takes_the_same_queries_for_few_events_and_for_many(
    owner_client, account, django_assert_num_queries, django_assert_max_num_queries
):
    owner_client.get(LIST)  # The first page of a session also notes that there is one.
    with django_assert_max_num_queries(12) as few:
        owner_client.get(LIST)
    happen(account, times=60)
    with django_assert_num_queries(len(few)):
        owner_client.get(LIST)
