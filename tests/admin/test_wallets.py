"""Balances in the admin: credit is granted, and what is paid from them stopped and begun again."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.ledger import MOST_MICROS
from billing.models import LedgerEntry, Wallet
from billing.tasks import tell_of_frozen_wallets
from orgs.models import Account
from tests.admin.conftest import Desk, events, list_url, page_url, text_of
from tests.admin.forms import Form
from tests.admin.test_doors import a_while_ago
from tests.billing.wallets import credited, wallet_of
from tests.guarantees.conftest import refuse_events

pytestmark = pytest.mark.django_db

GRANT = "/admin/billing/wallet/add/"


@pytest.fixture
def wallet(organization: Account) -> Wallet:
    return credited(organization.pk, 5_000_000)


def test_credit_is_granted_once_it_is_confirmed(desk: Desk, organization):
    before = events()
    shown = desk.shown(GRANT)
    asked = desk.fill(GRANT, shown, account="acme", dollars="12.345678", note="Welcome")
    assert "Add <strong>$12.345678</strong> to the balance of" in asked
    assert "<strong>Acme</strong> (acme), which is\n        $0.00 now?" in asked
    assert events() == before
    assert not Wallet.objects.exists()
    page = desk.send(GRANT, **_hidden(asked))
    assert "Acme: $12.345678 added." in page
    entry = LedgerEntry.objects.get()
    assert (entry.amount_micros, entry.note, entry.kind) == (12_345_678, "Welcome", "grant")
    assert events()[len(before) :] == [
        ("billing.credit.granted", "staff@example.com", str(organization.pk))
    ]


def _hidden(page: str) -> dict[str, list[str]]:
    return Form(page).fields


def test_a_form_sent_twice_grants_once(desk: Desk, organization):
    asked = _hidden(desk.fill(GRANT, account="acme", dollars="20"))
    desk.send(GRANT, **asked)
    desk.send(GRANT, **asked)
    assert wallet_of(organization.pk).posted_micros == 20_000_000
    page = desk.send(GRANT, **{**asked, "dollars": "21"})
    assert "This form has changed something else." in page
    assert wallet_of(organization.pk).posted_micros == 20_000_000


def test_what_was_granted_wrongly_is_taken_back_once_it_is_confirmed(desk: Desk, wallet):
    given: dict[str, Any] = {"account": "acme", "what": "take", "dollars": "4"}  # Any: of `fill`.
    asked = desk.fill(GRANT, **given, note="Two zeros too many")
    assert "Take <strong>$4.00</strong> from the balance of" in asked
    assert wallet_of(wallet.pk).posted_micros == 5_000_000
    assert "Acme: $4.00 taken back." in desk.send(GRANT, **_hidden(asked))
    assert wallet_of(wallet.pk).posted_micros == 1_000_000
    assert "$1.00 is available." in desk.fill(GRANT, **given, confirmed="1")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"account": "nobody"}, "There is none."),
        ({"account": "nobody@example.com"}, "There is none."),
        ({"account": ""}, "This field is required."),
        ({"dollars": ""}, "Enter more than nothing."),
        ({"dollars": "0"}, "Enter more than nothing."),
        ({"dollars": "-5"}, "Enter an amount in dollars"),
        ({"dollars": "1e3"}, "Enter an amount in dollars"),
        ({"dollars": "0.0000001"}, "6 decimals at most"),
        ({"dollars": "1000001"}, "at most"),
        ({"key": "x"}, "Enter a valid UUID"),
        ({"note": "https://example.com"}, "cannot hold a link"),
    ],
)
def test_what_cannot_be_granted_is_not(desk: Desk, organization, typed, words):
    given = {"account": "acme", "dollars": "20", **typed}
    assert words in desk.fill(GRANT, **given)
    assert words in desk.fill(GRANT, **given, confirmed="1")
    assert not LedgerEntry.objects.exists()


def test_a_balance_that_is_full_says_so(desk: Desk, wallet, organization):
    credited(organization.pk, MOST_MICROS - wallet.posted_micros)
    page = desk.fill(GRANT, account="acme", dollars="1", confirmed="1")
    assert "A balance is $1,000,000,000 at most." in page


def test_without_its_event_nothing_is_granted(staff_client, organization):
    staff_client.raise_request_exception = False
    shown = _hidden(text_of(staff_client.get(GRANT)))
    refuse_events()
    sent = {**shown, "account": "acme", "dollars": "20", "confirmed": "1"}
    assert staff_client.post(GRANT, sent).status_code == 500
    assert not LedgerEntry.objects.exists()


def test_whoever_signed_in_a_while_ago_is_asked_again_before_the_form(staff_client, organization):
    client = a_while_ago(staff_client)
    again = reverse("account_reauthenticate")
    assert client.get(GRANT)["Location"].startswith(again)
    sent = {"account": "acme", "dollars": "20", "confirmed": "1"}
    assert client.post(GRANT, sent)["Location"].startswith(again)
    assert not LedgerEntry.objects.exists()


def test_the_page_of_a_balance_leads_to_the_form_and_to_all_that_is_of_it(
    staff_client: Client, wallet, owner
):
    page = text_of(staff_client.get(page_url(wallet)))
    assert f'href="{GRANT}?account=acme"' in page
    assert 'value="acme"' in text_of(staff_client.get(f"{GRANT}?account=acme"))
    for name in ("ledgerentry", "hold", "spending", "usagerecord"):
        assert f'href="{list_url(f"billing_{name}")}?q={wallet.pk}"' in page
    mine = credited(owner.account.pk, 1)
    assert f"{GRANT}?account=owner%40example.com" in text_of(staff_client.get(page_url(mine)))


def test_the_balance_of_an_account_that_is_gone_is_shown_and_gets_nothing(staff_client):
    wallet = credited(Account().pk, 5)
    page = text_of(staff_client.get(page_url(wallet)))
    assert "$0.000005" in page
    assert "Grant credit" not in page


def test_a_balance_is_frozen_and_unfrozen(desk: Desk, wallet, organization):
    before = events()
    assert "frozen." in desk.do("freeze", wallet)
    assert wallet_of(organization.pk).frozen_why == "By MegaBrain's staff."
    assert "was frozen already" in desk.do("freeze", wallet)
    assert "paid from again" in desk.do("unfreeze", wallet)
    assert "was not frozen" in desk.do("unfreeze", wallet)
    assert [event for event, *_ in events()[len(before) :]] == [
        "billing.wallet.frozen",
        "billing.wallet.unfrozen",
    ]


def test_frozen_balances_are_found_and_offer_what_makes_sense(desk: Desk, wallet, staff_client):
    credited(Account().pk, 5)
    nothing = text_of(staff_client.get(list_url("billing_wallet"), {"q": "frozen"}))
    assert str(wallet.pk) not in nothing
    assert '<input type="hidden" name="action" value="freeze">' in text_of(
        staff_client.get(page_url(wallet))
    )
    desk.do("freeze", wallet)
    found = text_of(staff_client.get(list_url("billing_wallet"), {"q": "Frozen"}))
    assert found.count(page_url(wallet)) == 1
    assert "1 wallet" in found
    assert '<input type="hidden" name="action" value="unfreeze">' in text_of(
        staff_client.get(page_url(wallet))
    )


def test_staff_are_told_of_what_was_frozen_by_itself_and_know_what_they_froze(
    desk: Desk, wallet, mailoutbox
):
    desk.do("freeze", wallet)
    tell_of_frozen_wallets()
    assert mailoutbox == []


def test_nothing_of_the_money_can_be_edited(staff_client, wallet):
    entry = LedgerEntry.objects.get()
    for row in (wallet, entry):
        page = text_of(staff_client.get(page_url(row)))
        assert 'name="posted_micros"' not in page
        assert 'name="amount_micros"' not in page
        assert staff_client.post(page_url(row), {"posted_micros": "1"}).status_code in (302, 403)
    assert wallet_of(wallet.pk).posted_micros == 5_000_000
