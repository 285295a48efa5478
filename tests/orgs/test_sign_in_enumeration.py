"""Nobody learns from the sign-in pages who has an account."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import hashers
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.urls import reverse

from orgs.models import User
from tests.visitor import PASSWORD, Visitor


def same(answer: Any, email: str) -> tuple[int, str, str]:
    """What an answer tells: all of it but the ids that differ between any two answers."""
    page = answer.content.decode().replace(email, "SOMEBODY")
    page = re.sub(r'(name="csrfmiddlewaretoken" value=)"[^"]+"', r"\1", page)
    return answer.status_code, answer.get("Location", ""), page


@pytest.fixture
def known(ann: Visitor) -> str:
    cache.clear()
    mail.outbox.clear()
    return "new@example.com"


def test_signing_up_with_a_known_address_looks_like_any_sign_up(known: str):
    told = []
    for email in (known, "unknown@example.com"):
        visitor = Visitor()
        told.append(same(visitor.sign_up(email), email))
        page = visitor.get(reverse("account_email_verification_sent"))
        told.append(same(page, email))
        wrong = visitor.send("account_email_verification_sent", code="BBBB-BBBB")
        told.append(same(wrong, email))
        cache.clear()
        again = visitor.send("account_email_verification_sent", action="resend")
        told.append(same(again, email))
    assert told[:4] == told[4:]
    assert told[0][0] == 302


def test_the_owner_of_a_known_address_is_told_by_letter(known: str):
    Visitor().sign_up(known)
    [letter] = mail.outbox
    assert letter.to == [known]
    assert letter.subject == "You have a MegaBrain account already"
    assert User.objects.count() == 1
    Visitor().sign_in(known, PASSWORD)
    assert User.objects.get().check_password(PASSWORD), "their password is what it was"


def test_signing_up_takes_one_password_hash_either_way(known: str, settings):
    class Counting(hashers.MD5PasswordHasher):
        calls = 0

        def encode(self, password: str, salt: str) -> str:
            Counting.calls += 1
            return super().encode(password, salt)

    counted = []
    settings.PASSWORD_HASHERS = [f"{__name__}.Counting"]
    globals()["Counting"] = Counting
    for email in (known, "unknown@example.com"):
        Counting.calls = 0
        Visitor().sign_up(email)
        counted.append(Counting.calls)
    assert counted == [1, 1]


def test_asking_for_a_new_password_looks_the_same_for_anybody(known: str):
    told = []
    for email in (known, "unknown@example.com"):
        visitor = Visitor()
        told.append(same(visitor.send("account_reset_password", email=email), email))
        told.append(same(visitor.get(reverse("account_reset_password_done")), email))
    assert told[:2] == told[2:]
    assert [letter.subject for letter in mail.outbox] == [
        "Choose a new MegaBrain password",
        "No MegaBrain account with this address",
    ]


def test_signing_in_fails_in_the_same_words_for_anybody(known: str):
    told = [same(Visitor().sign_in(email, "wrong"), email) for email in (known, "un@example.com")]
    assert told[0] == told[1]
    assert "do not belong together" in told[0][2]


def test_changing_to_the_address_of_another_account_tells_nothing(known: str):
    visitor = Visitor()
    visitor.sign_up("other@example.com")
    visitor.confirm()
    visitor.page("orgs:profile")  # Which says that the address is confirmed.
    told = []
    for email in (known, "free@example.com"):
        cache.clear()
        told.append(same(visitor.send("account_email", email=email, action_add="1"), email))
        page = visitor.get(reverse("account_email_verification_sent"))
        told.append(same(page, email))
    assert told[:2] == told[2:]
    visitor.send("account_email", email=known, action_add="1")
    assert not User.objects.filter(email="free@example.com").exists()


@pytest.mark.django_db(transaction=True)
def test_many_who_sign_up_with_one_address_at_once_make_one_account(no_attempts_yet: None):
    """All but one find the address free in the form, and taken when they save."""
    together = threading.Barrier(4)

    def sign_up() -> int:
        try:
            client = Client()
            together.wait()
            data = {"email": "new@example.com", "password1": PASSWORD}
            return client.post(reverse("account_signup"), data).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as people:
        answers = {people.submit(sign_up) for _ in range(4)}
        # 429: one letter to an address in ten seconds.
        assert {answer.result() for answer in answers} <= {302, 429}
    assert User.objects.get().account.kind == "personal"
