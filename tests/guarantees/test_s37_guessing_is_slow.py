"""S37: of very many guesses few are looked at, with Redis up or down."""

import os
from collections.abc import Iterator

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.cache import cache, caches
from django.test import override_settings
from django.urls import reverse

from megabrain.cache import RedisOrMemory
from tests.visitor import PASSWORD, Visitor, code_of_app

GUESSES = int(os.environ.get("GUESSES", "100"))


class Counting(MD5PasswordHasher):
    """Counts how often a password is looked at."""

    looked_at = 0

    def verify(self, password: str, encoded: str) -> bool:
        Counting.looked_at += 1
        return super().verify(password, encoded)


@pytest.fixture(params=["as configured", "Redis down"])
def counters(request, visitor: Visitor) -> Iterator[None]:
    """Where attempts are counted: the cache of this run, and one whose Redis does not answer."""
    if request.param == "as configured":
        yield
        return
    away = {
        "BACKEND": "megabrain.cache.RedisOrMemory",
        "LOCATION": "redis://127.0.0.1:1/0",
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
    }
    with override_settings(CACHES={"default": away}):
        assert isinstance(caches["default"], RedisOrMemory)
        cache.clear()
        yield
        cache.clear()


@pytest.fixture
def looked_at(settings):
    settings.PASSWORD_HASHERS = [f"{__name__}.Counting"]
    Counting.looked_at = 0
    return lambda: Counting.looked_at


def guess(number: int, *, email: str = "new@example.com", address: str) -> None:
    Visitor().post(
        reverse("account_login"),
        {"login": email, "password": f"guess number {number}"},
        REMOTE_ADDR=address,
    )


def test_guesses_from_everywhere_at_one_account(counters: None, ann: Visitor, looked_at):
    looked_at()
    for number in range(GUESSES):
        guess(number, address=f"192.0.{number // 250}.{number % 250 + 1}")
    assert looked_at() == 5


def test_guesses_from_one_place_at_many_accounts(counters: None, visitor: Visitor, looked_at):
    for number in range(12):
        cache.clear()
        Visitor().sign_up(f"{number}@example.com")
    cache.clear()
    for number in range(GUESSES):
        guess(number, email=f"{number % 12}@example.com", address="192.0.2.1")
    assert looked_at() == 10


def test_the_one_who_knows_gets_in_from_another_account_meanwhile(counters: None, ann: Visitor):
    for number in range(10):
        guess(number, email="nobody@example.com", address="192.0.2.1")
    assert Visitor(REMOTE_ADDR="192.0.2.2").sign_in(password=PASSWORD).status_code == 302


def test_guesses_of_the_second_factor(counters: None, ann: Visitor):
    key = ann.set_up_app()
    cache.clear()
    ann.sign_out()
    ann.sign_in()
    for number in range(20):
        ann.send("mfa_authenticate", code=f"{number:06}")
    ann.send("mfa_authenticate", code=code_of_app(key))
    assert not ann.is_signed_in(), "even the right one comes too late"
