"""Those who manage billing are told once when a balance falls below what they said."""

from datetime import timedelta
from smtplib import SMTPRecipientsRefused

import pytest
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone

from billing.actions import change_alert
from billing.models import Wallet
from billing.tasks import tell_of_low_balances
from orgs.actions import delete_organization
from orgs.models import Account, AuditEvent, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from tests.billing.wallets import Payer, credited
from tests.together import at_once

DOLLAR = 1_000_000

pytestmark = pytest.mark.django_db


def alert(actor: User, account: Account, dollars: int | None) -> bool:
    return change_alert(
        actor=actor,
        account=account,
        alert_below_micros=None if dollars is None else dollars * DOLLAR,
        origin=Origin(),
    )


def spend(account: Account, micros: int) -> None:
    Payer(account_id=account.pk).call(micros, micros)


@pytest.fixture
def funded(owner: User, account: Account) -> Account:
    """Ten dollars, and an alert below five."""
    credited(account.pk, 10 * DOLLAR)
    alert(owner, account, 5)
    return account


def test_the_owner_is_told_once_when_the_balance_falls_below(funded, owner, mailoutbox, settings):
    spend(funded, 5 * DOLLAR)
    tell_of_low_balances()
    assert mailoutbox == [], "five is not below five"
    spend(funded, 1)
    tell_of_low_balances()
    spend(funded, DOLLAR)
    tell_of_low_balances()
    [letter] = mailoutbox
    assert letter.to == [owner.email]
    assert letter.subject == "Your balance is below $5.00"
    for content in (letter.body, letter.alternatives[0][0]):
        assert "is $4.999999." in content
        assert f"{settings.MEGABRAIN_BASE_URL}/account/billing/" in content


def test_owners_and_billing_managers_are_told_and_members_are_not(
    organization, owner, billing_manager, member, mailoutbox
):
    credited(organization.pk, DOLLAR)
    alert(billing_manager, organization, 5)
    tell_of_low_balances()
    assert {to for letter in mailoutbox for to in letter.to} == {
        owner.email,
        billing_manager.email,
    }
    assert {letter.subject for letter in mailoutbox} == {"Acme’s balance is below $5.00"}
    assert all("/orgs/acme/billing/" in letter.body for letter in mailoutbox)


def test_a_balance_that_rises_and_falls_again_is_told_of_again(funded, mailoutbox):
    spend(funded, 6 * DOLLAR)
    tell_of_low_balances()
    credited(funded.pk, 6 * DOLLAR)
    tell_of_low_balances()
    assert len(mailoutbox) == 1
    spend(funded, 6 * DOLLAR)
    tell_of_low_balances()
    assert len(mailoutbox) == 2


def test_what_is_merely_held_makes_no_balance_low(funded, mailoutbox):
    Payer(account_id=funded.pk).reserve(9 * DOLLAR)
    tell_of_low_balances()
    assert mailoutbox == []


def test_nobody_is_told_who_did_not_ask(owner, account, mailoutbox):
    credited(account.pk, DOLLAR)
    spend(account, DOLLAR)
    tell_of_low_balances()
    assert mailoutbox == []


def test_one_that_is_low_already_is_told_of_when_the_alert_is_set(owner, account, mailoutbox):
    credited(account.pk, DOLLAR)
    assert alert(owner, account, 5)
    tell_of_low_balances()
    assert len(mailoutbox) == 1


def test_another_level_tells_anew_only_of_what_was_above_it(funded, owner, mailoutbox):
    spend(funded, 6 * DOLLAR)
    tell_of_low_balances()
    alert(owner, funded, 8)
    tell_of_low_balances()
    assert len(mailoutbox) == 1, "it is as low as they know"
    alert(owner, funded, 2)
    alert(owner, funded, 5)
    tell_of_low_balances()
    assert len(mailoutbox) == 2


def test_an_alert_that_is_taken_away_before_the_letter_went_out_ends_it(funded, owner, mailoutbox):
    spend(funded, 6 * DOLLAR)
    alert(owner, funded, None)
    tell_of_low_balances()
    assert mailoutbox == []


def test_of_an_organization_that_is_gone_nobody_is_told(organization, owner, mailoutbox):
    credited(organization.pk, DOLLAR)
    alert(owner, organization, 5)
    delete_organization(actor=owner, account=organization, origin=Origin())
    tell_of_low_balances()
    assert mailoutbox == []
    assert Wallet.objects.get().low_told_at is not None


def test_a_letter_that_could_not_be_sent_is_sent_with_the_next_run(funded, mailoutbox, settings):
    spend(funded, 6 * DOLLAR)
    working = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    tell_of_low_balances()
    settings.EMAIL_BACKEND = working
    assert mailoutbox == []
    tell_of_low_balances()
    tell_of_low_balances()
    assert len(mailoutbox) == 1


class RefusesTheOwner(EmailBackend):
    """One address is of nobody whom the mail server knows."""

    def send_messages(self, messages):
        if messages[0].to == ["owner@example.com"]:
            raise SMTPRecipientsRefused({})
        return super().send_messages(messages)


def test_who_cannot_be_told_keeps_no_others_waiting(funded, stranger, mailoutbox, settings):
    settings.EMAIL_BACKEND = f"{__name__}.RefusesTheOwner"
    spend(funded, 6 * DOLLAR)
    credited(stranger.account.pk, DOLLAR)
    alert(stranger, stranger.account, 5)
    for _ in range(3):
        tell_of_low_balances()
    assert [letter.to for letter in mailoutbox] == [["stranger@example.com"]]
    assert Wallet.objects.get(pk=funded.pk).low_told_at is None


class Killed(BaseEmailBackend):
    """The process dies while it sends."""

    def send_messages(self, messages):
        raise SystemExit


def test_a_letter_that_a_killed_worker_did_not_send_is_sent_later(funded, mailoutbox, settings):
    spend(funded, 6 * DOLLAR)
    working, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, f"{__name__}.Killed"
    with pytest.raises(SystemExit):
        tell_of_low_balances()
    settings.EMAIL_BACKEND = working
    # For all that others know it may still be at it.
    tell_of_low_balances()
    assert mailoutbox == []
    Wallet.objects.update(low_claimed_at=timezone.now() - timedelta(minutes=6))
    tell_of_low_balances()
    tell_of_low_balances()
    assert len(mailoutbox) == 1


class TopsUp(BaseEmailBackend):
    """While the letter is on its way the balance rises and falls again."""

    def send_messages(self, messages):
        account_id = Wallet.objects.get().pk
        credited(account_id, 10 * DOLLAR)
        Payer(account_id=account_id).call(10 * DOLLAR, 10 * DOLLAR)
        return len(messages)


def test_a_fall_while_the_letter_of_the_last_one_is_sent_is_told_of(funded, mailoutbox, settings):
    spend(funded, 6 * DOLLAR)
    working, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, f"{__name__}.TopsUp"
    tell_of_low_balances()
    settings.EMAIL_BACKEND = working
    tell_of_low_balances()
    assert len(mailoutbox) == 1


class Overtaken(EmailBackend):
    """While the first letter is on its way another worker takes what is left."""

    begun = False

    def send_messages(self, messages):
        if not Overtaken.begun:
            Overtaken.begun = True
            tell_of_low_balances()
        return super().send_messages(messages)


def test_what_another_worker_took_meanwhile_is_left_to_it(
    funded, owner, organization, mailoutbox, settings
):
    spend(funded, 6 * DOLLAR)
    credited(organization.pk, DOLLAR)
    alert(owner, organization, 5)
    settings.EMAIL_BACKEND = f"{__name__}.Overtaken"
    tell_of_low_balances()
    told = sorted((letter.subject, *letter.to) for letter in mailoutbox)
    assert told == [
        ("Acme’s balance is below $5.00", "billing_manager@example.com"),
        ("Acme’s balance is below $5.00", "owner@example.com"),
        ("Your balance is below $5.00", "owner@example.com"),
    ]


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_write_one_letter(funded, mailoutbox):
    spend(funded, 6 * DOLLAR)
    at_once(tell_of_low_balances, tell_of_low_balances)
    assert len(mailoutbox) == 1


@pytest.mark.parametrize("who", ["member", "stranger", "staff"])
def test_others_do_not_change_the_alert(organization, request, who):
    with pytest.raises(NotPermitted):
        alert(request.getfixturevalue(who), organization, 5)
    assert not Wallet.objects.exists()


def test_a_change_is_told_once_with_both_levels(funded, owner):
    assert not alert(owner, funded, 5)
    assert alert(owner, funded, 7)
    event = AuditEvent.objects.latest("pk")
    assert str(event) == "owner@example.com changed when the balance counts as low"
    assert event.details == {
        "alert_below_micros": 7 * DOLLAR,
        "previous_alert_below_micros": 5 * DOLLAR,
    }
    assert AuditEvent.objects.filter(event="billing.alert_changed").count() == 2


@pytest.mark.parametrize("micros", [0, -1])
def test_a_level_is_more_than_nothing(owner, account, micros):
    with pytest.raises(ValueError, match="below nothing"):
        change_alert(actor=owner, account=account, alert_below_micros=micros, origin=Origin())
