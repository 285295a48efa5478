"""Where one is signed in, and the end of it."""

from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from orgs.models import AuditEvent, User
from orgs.sessions import device, open_sessions
from tests.visitor import PASSWORD, Visitor

PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1"
)
LAPTOP = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def phone(ann: Visitor) -> Visitor:
    """Ann's second browser."""
    phone = Visitor(headers={"user-agent": PHONE})
    phone.sign_in()
    assert phone.is_signed_in()
    return phone


def test_signing_in_changes_the_session_id(visitor: Visitor):
    visitor.page("account_login")
    visitor.sign_up()
    before = visitor.session.session_key
    visitor.confirm()
    first = visitor.session.session_key
    assert first != before
    visitor.sign_out()
    visitor.sign_in()
    assert visitor.session.session_key not in {before, first}


def test_a_session_id_from_before_signing_in_is_worth_nothing_after(visitor: Visitor):
    visitor.sign_up()
    planted = visitor.cookies["session"].value
    visitor.confirm()
    thief = Visitor()
    thief.cookies["session"] = planted
    assert not thief.is_signed_in()


def test_the_page_lists_every_open_session_and_marks_this_one(ann: Visitor, phone: Visitor):
    page = phone.page("orgs:profile")
    assert page.count("Safari on iPhone") == 1
    assert page.count("this one") == 1
    assert "127.0.0.1" in page


def test_a_session_can_be_ended_from_another(ann: Visitor, phone: Visitor):
    [here] = UserSession.objects.filter(session_key=ann.session.session_key)
    answer = phone.send("orgs:end_session", here.pk)
    assert answer["Location"] == reverse("orgs:profile")
    assert not ann.is_signed_in()
    assert phone.is_signed_in()
    event = AuditEvent.objects.newest_first().first()
    assert event is not None
    assert (event.event, event.details) == ("security.sessions_ended", {"sessions": 1})


def test_all_others_can_be_ended_at_once(ann: Visitor, phone: Visitor):
    tablet = Visitor()
    tablet.sign_in()
    phone.page("orgs:profile")
    phone.send("orgs:end_other_sessions")
    assert "2 other sessions were ended" in phone.page("orgs:profile")
    assert [each.is_signed_in() for each in (ann, tablet, phone)] == [False, False, True]


def test_nobody_ends_the_session_of_somebody_else(ann: Visitor):
    other = Visitor()
    other.sign_up("other@example.com")
    other.confirm()
    [theirs] = UserSession.objects.filter(session_key=ann.session.session_key)
    assert other.send("orgs:end_session", theirs.pk).status_code == 404
    other.send("orgs:end_other_sessions")
    assert ann.is_signed_in()


def test_a_changed_password_ends_the_others_and_keeps_this_one(ann: Visitor, phone: Visitor):
    key = phone.session.session_key
    answer = phone.send(
        "account_change_password", oldpassword=PASSWORD, password1="marble-candle-77"
    )
    assert answer["Location"] == reverse("orgs:profile")
    assert phone.is_signed_in()
    assert phone.session.session_key != key, "and it has a new id"
    assert not ann.is_signed_in()
    assert len(open_sessions(User.objects.get(), phone.session.session_key)) == 1


def test_sessions_that_ran_out_are_not_listed(ann: Visitor, phone: Visitor):
    Session.objects.filter(session_key=ann.session.session_key).update(
        expire_date=timezone.now() - timedelta(minutes=1)
    )
    user = User.objects.get()
    assert [each.device for each in open_sessions(user, None)] == ["Safari on iPhone"]


def test_the_list_tells_when_and_where_from_a_session_was_last_used(ann: Visitor, phone: Visitor):
    UserSession.objects.update(last_seen_at=timezone.now() - timedelta(days=2))
    cache.clear()  # Five minutes have passed since its use was noted.
    ann.get("/status/", headers={"user-agent": LAPTOP}, REMOTE_ADDR="192.0.2.9")
    [here, there] = open_sessions(User.objects.get(), phone.session.session_key)
    assert here.current
    assert (there.device, there.address) == ("Firefox on Linux", "192.0.2.9")
    assert there.seen_at > here.seen_at


def test_the_list_takes_as_many_queries_for_many_sessions_as_for_two(
    ann: Visitor, phone: Visitor, django_assert_num_queries, django_assert_max_num_queries
):
    user = User.objects.get()
    with django_assert_num_queries(2):
        open_sessions(user, None)
    for _ in range(8):
        Visitor().sign_in()
        cache.clear()
    with django_assert_num_queries(2):
        assert len(open_sessions(user, None)) == 10
    ann.page("orgs:profile")
    with django_assert_max_num_queries(12):
        ann.page("orgs:profile")


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (PHONE, "Safari on iPhone"),
        (LAPTOP, "Firefox on Linux"),
        (
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
                "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"
            ),
            "Edge on Windows",
        ),
        (
            (
                "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 (KHTML, like Gecko) "
                "Chrome/140.0.0.0 Mobile Safari/537.36"
            ),
            "Chrome on Android",
        ),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", "Unknown browser"),
    ],
)
def test_a_session_is_named_after_browser_and_system(user_agent: str, words: str):
    assert device(user_agent) == words
