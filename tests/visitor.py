"""A person in front of the sign-in pages, and what arrives in their mail."""

import base64
import hashlib
import hmac
import re
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client, TestCase
from django.urls import reverse

PASSWORD = "tulip-lantern-42"
#: Seconds for which a code counts, and those that a busy machine may take to look at one.
PERIOD, ENOUGH = 30, 8


class Visitor(Client):
    """A browser, each of whose requests is committed: its letters go out.

    Answers are Any, as django-stubs' own type of a test answer is private.
    """

    def request(self, **request: Any) -> Any:
        with TestCase.captureOnCommitCallbacks(execute=True):
            return super().request(**request)

    def page(self, name: str, *args: Any) -> str:
        answer = self.get(reverse(name, args=args))
        assert answer.status_code == 200, (answer.status_code, answer.get("Location"))
        return str(answer.content.decode())

    def send(self, name: str, /, *args: Any, **data: str) -> Any:
        return self.post(reverse(name, args=args), data)

    def sign_up(self, email: str = "new@example.com", **more: str) -> Any:
        return self.send("account_signup", email=email, password1=PASSWORD, **more)

    def confirm(self) -> Any:
        return self.send("account_email_verification_sent", code=code_in(mail.outbox[-1]))

    def sign_in(self, email: str = "new@example.com", password: str = PASSWORD) -> Any:
        return self.send("account_login", login=email, password=password)

    def sign_out(self) -> Any:
        return self.send("account_logout")

    def set_up_app(self) -> str:
        """Turn on codes from an authenticator app; returns the key it keeps."""
        page = self.page("mfa_activate_totp")
        found = re.search(r"<code data-copy-text>([A-Z2-7]+)</code>", page)
        assert found
        answer = self.send("mfa_activate_totp", code=code_of_app(found[1]))
        assert answer.status_code == 302, answer.content.decode()
        return found[1]

    def recovery_codes(self) -> list[str]:
        return re.findall(r"<li>(\d{8})</li>", self.page("mfa_view_recovery_codes"))

    def is_signed_in(self) -> bool:
        return self.get(reverse("orgs:profile")).status_code == 200


def code_in(letter: mail.EmailMessage) -> str:
    """The code that a letter brings."""
    found = re.search(r"^\s+([B-Z]{4}-[B-Z]{4})$", str(letter.body), re.MULTILINE)
    assert found, letter.body
    return found[1]


def html_of(letter: mail.EmailMessage) -> str:
    """The letter for readers that show HTML."""
    assert isinstance(letter, mail.EmailMultiAlternatives)
    [(content, kind)] = letter.alternatives
    assert kind == "text/html"
    return str(content)


def link_in(letter: mail.EmailMessage) -> str:
    """The path that a letter's link to a new password leads to."""
    found = re.search(r"^http://\S+?(/\S+/password/reset/key/\S+)$", str(letter.body), re.MULTILINE)
    assert found, letter.body
    return found[1]


def code_of_app(key: str, *, later: int = 0) -> str:
    """What an authenticator app shows (RFC 6238), `later` periods from now.

    Near the end of a period it waits for the next one, as people do: the code would be old by the
    time that it is looked at.
    """
    left = PERIOD - time.time() % PERIOD
    if left < ENOUGH:
        time.sleep(left)
    moment = struct.pack(">Q", int(time.time()) // PERIOD + later)
    digest = hmac.new(base64.b32decode(key), moment, hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


@pytest.fixture
def no_attempts_yet() -> Iterator[None]:
    """Counters of sign-in attempts at zero, before and after."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def visitor(db: None, no_attempts_yet: None) -> Visitor:
    """Someone who has never been here."""
    return Visitor()


@pytest.fixture
def ann(visitor: Visitor) -> Visitor:
    """Someone who has just signed up as new@example.com and confirmed the address."""
    visitor.sign_up(name="Ann")
    visitor.confirm()
    assert visitor.is_signed_in()
    return visitor
