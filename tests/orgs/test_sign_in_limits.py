"""How often one may try: by account, by address, with and without Redis."""

from django.core import mail
from django.core.cache import cache
from django.urls import reverse

from tests.visitor import Visitor, link_in


def attempts(email: str, count: int, address: str = "192.0.2.1") -> list[str]:
    """What each of `count` wrong passwords for `email` is answered with."""
    told = []
    for _ in range(count):
        answer = Visitor().post(
            reverse("account_login"), {"login": email, "password": "wrong"}, REMOTE_ADDR=address
        )
        text = answer.content.decode()
        told.append(
            "wrong"
            if "do not belong together" in text
            else "wait"
            if "too many failed attempts" in text
            else str(answer.status_code)
        )
    return told


def test_after_five_wrong_passwords_an_account_has_to_wait(ann: Visitor):
    assert attempts("new@example.com", 7) == ["wrong"] * 5 + ["wait"] * 2
    assert "too many failed attempts" in Visitor().sign_in().content.decode()


def test_other_accounts_do_not_have_to_wait(ann: Visitor):
    other = Visitor()
    other.sign_up("other@example.com")
    other.confirm()
    attempts("new@example.com", 6)
    assert Visitor().sign_in("other@example.com").status_code == 302


def test_an_unknown_address_waits_just_the_same(ann: Visitor):
    assert attempts("nobody@example.com", 7) == ["wrong"] * 5 + ["wait"] * 2


def test_ten_failures_a_minute_from_one_place_are_enough_whatever_the_accounts(visitor: Visitor):
    told = [attempts(f"{number}@example.com", 1)[0] for number in range(12)]
    assert told == ["wrong"] * 10 + ["wait"] * 2
    assert attempts("13@example.com", 1, address="192.0.2.2") == ["wrong"]


def test_an_ipv6_network_counts_as_one_place(visitor: Visitor):
    told = [
        attempts(f"{number}@example.com", 1, address=f"2001:db8:1:2::{number}")[0]
        for number in range(12)
    ]
    assert told[-1] == "wait"


def test_behind_a_proxy_the_visitor_counts_not_the_proxy(visitor: Visitor, settings):
    settings.MEGABRAIN_TRUSTED_PROXIES = 1

    def tried(number: int, client: str) -> str:
        answer = Visitor().post(
            reverse("account_login"),
            {"login": f"{number}@example.com", "password": "wrong"},
            headers={"x-forwarded-for": f"198.51.100.{number}, {client}"},
        )
        return answer.content.decode()

    for number in range(10):
        assert "do not belong" in tried(number, "203.0.113.5")
    assert "too many failed" in tried(11, "203.0.113.5"), "what the visitor claims does not count"
    assert "do not belong" in tried(12, "203.0.113.6")


def test_signing_in_rightly_uses_up_nothing(ann: Visitor):
    for _ in range(7):
        ann.sign_out()
        assert ann.sign_in().status_code == 302


def test_a_new_password_lifts_the_wait(ann: Visitor):
    attempts("new@example.com", 6)
    visitor = Visitor()
    visitor.send("account_reset_password", email="new@example.com")
    form = visitor.get(link_in(mail.outbox[-1]))
    visitor.post(form["Location"], {"password1": "marble-candle-77"})
    assert Visitor().sign_in(password="marble-candle-77").status_code == 302


def test_second_factors_can_be_guessed_five_times(ann: Visitor):
    ann.set_up_app()
    cache.clear()
    ann.sign_out()
    ann.sign_in()
    told = [ann.send("mfa_authenticate", code=f"00000{n}").content.decode() for n in range(6)]
    assert "This code is not right" in told[4]
    assert "too many failed attempts" in told[5]


def test_signing_up_is_limited_by_place(visitor: Visitor):
    told = [Visitor().sign_up(f"{number}@example.com").status_code for number in range(11)]
    assert told == [302] * 10 + [429]


def test_letters_to_one_address_are_limited(ann: Visitor):
    told = [
        Visitor().send("account_reset_password", email="new@example.com").status_code
        for _ in range(6)
    ]
    assert told == [302] * 5 + [429]


def test_asking_again_is_limited_by_person(ann: Visitor):
    told = [ann.send("account_reauthenticate", password="wrong").status_code for _ in range(11)]
    assert told[-1] == 429
