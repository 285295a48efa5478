"""The pages about paying in, by role, with and without somebody who takes payments."""

import html
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing import ledger
from billing.models import AutoTopUp, LedgerEntry, Payment
from billing.payments import cards
from billing.payments.letters import tell_of_top_ups
from orgs.models import Account, AuditEvent
from tests.conftest import signed_in
from tests.fake_stripe import ASKS_LATER
from tests.stripe_fixture import DOLLAR, begun

pytestmark = pytest.mark.django_db

TOP_UP = {
    "card": "pm_good",
    "below": "5",
    "amount": "20",
    "monthly_cap": "100",
    "agreed": "on",
}


def url(name: str, account: Account, **values: Any) -> str:
    slug = {"slug": account.slug} if account.is_organization else {}
    return reverse(f"billing:{name}", kwargs={**slug, **values})


def text(answer: Any) -> str:  # Any: django-stubs' own type of a test answer is private.
    """What the page says, without its markup."""
    page = re.sub(r"<(script|style|svg).*?</\1>", "", answer.content.decode(), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_an_amount_leads_to_the_checkout(owner_client, account, stripe):
    answer = owner_client.post(url("credits", account), {"amount": "25"})
    [payment] = Payment.objects.all()
    assert answer["Location"] == url("payment_checkout", account, id=payment.pk)
    page = owner_client.get(answer["Location"]).content.decode()
    assert f'http-equiv="refresh" content="0; url={payment.checkout_url}"' in page
    assert f'href="{payment.checkout_url}"' in page


@pytest.mark.parametrize("amount", ["", "4.99", "1000.01", "20.001", "-20", "lots", "1e3", "NaN"])
def test_a_wrong_amount_is_said_to_be_and_kept(owner_client, account, stripe, amount):
    answer = owner_client.post(url("credits", account), {"amount": amount})
    assert answer.status_code == 422
    assert "Enter an amount" in text(answer)
    assert not Payment.objects.exists()
    assert not stripe.calls


def test_the_bounds_are_the_operator_s(owner_client, account, stripe, settings: LazySettings):
    settings.MEGABRAIN_TOP_UP_LEAST, settings.MEGABRAIN_TOP_UP_MOST = 50, 60
    page = owner_client.get(url("credits", account))
    assert "from $50 to $60" in text(page)
    assert owner_client.post(url("credits", account), {"amount": "20"}).status_code == 422
    assert owner_client.post(url("credits", account), {"amount": "55"}).status_code == 302


def test_a_provider_that_is_away_is_told_and_nothing_is_lost(owner_client, account, stripe):
    stripe.fails = 500
    page = owner_client.get(url("credits", account)).content.decode()
    form = re.search(r'name="id" value="([^"]+)"', page)
    assert form
    sent = {"amount": "25", "id": form[1]}
    answer = owner_client.post(url("credits", account), sent)
    assert answer.status_code == 422
    assert "No checkout could be opened" in text(answer)
    assert "Nothing was charged" in text(answer)
    assert form[1] in answer.content.decode()
    stripe.fails = None
    answer = owner_client.post(url("credits", account), sent)
    assert answer["Location"].endswith("/checkout/")
    assert owner_client.get(answer["Location"]).status_code == 200


def test_who_comes_back_is_told_what_happens_next(owner_client, owner, account, stripe, deliver):
    payment = begun(owner, account)
    page = url("payment", account, id=payment.pk)
    paid, left = owner_client.get(f"{page}?back=paid"), owner_client.get(f"{page}?back=left")
    assert "of a card usually within seconds, of a bank account within days" in text(paid)
    assert 'hx-trigger="every 2s"' in paid.content.decode()
    assert "nothing was charged" in text(left)
    assert payment.checkout_url in left.content.decode()
    deliver(stripe.pay(payment.reference))
    done = owner_client.get(f"{page}?back=paid")
    assert "$25.00 was added. The balance is $25.00." in text(done)
    assert "hx-trigger" not in done.content.decode()
    assert payment.checkout_url not in done.content.decode()
    # A checkout that is over is not gone to again.
    again = owner_client.get(url("payment_checkout", account, id=payment.pk))
    assert again["Location"] == page


def test_the_page_asks_for_news_for_a_while_and_is_left_alone_until_there_is_some(
    owner_client, owner, account, stripe, deliver
):
    payment = begun(owner, account)
    page = owner_client.get(url("payment", account, id=payment.pk), {"back": "paid"})
    found = re.search(r'id="outcome" hx-get="([^"]+)"', page.content.decode())
    assert found
    asks = html.unescape(found[1])
    again = owner_client.get(asks, headers={"hx-request": "true"})
    assert (again.status_code, again.content) == (204, b"")
    # When its time is over it says so, and asks no more.
    over = re.sub(r"until=\d+", "until=1", asks)
    for address in (over, url("payment", account, id=payment.pk) + "?back=paid&until=x"):
        late = owner_client.get(address, headers={"hx-request": "true"})
        assert "no longer looks by itself" in text(late)
        assert "hx-get" not in late.content.decode()
    deliver(stripe.pay(payment.reference))
    news = owner_client.get(asks, headers={"hx-request": "true"}).content.decode()
    assert "$25.00 was added" in news
    assert "hx-get" not in news
    # Whoever reads with their ears hears of it: what is swapped is within what is announced. And
    # whoever is on a link there keeps their place.
    assert 'role="status"' not in news
    assert "<a " not in news
    before = page.content.decode()
    assert before.index('role="status"') < before.index('id="outcome"')


def test_a_checkout_that_was_never_opened_is_not_said_to_be_open(
    owner_client, owner, account, stripe
):
    payment = begun(owner, account)
    Payment.objects.update(reference="", checkout_url="")
    told = text(owner_client.get(url("payment", account, id=payment.pk)))
    assert "No checkout was opened for it" in told


def test_figures_are_exact(owner_client, owner, account, stripe, deliver):
    payment = begun(owner, account)
    deliver(stripe.pay(payment.reference))
    ledger.debit(
        account_id=account.pk,
        kind=LedgerEntry.Kind.USAGE,
        amount_micros=4000,
        idempotency_key="call",
    )
    told = text(owner_client.get(url("payment", account, id=payment.pk)))
    assert "The balance is $24.996." in told


def test_what_went_back_and_what_was_taken_is_told(owner_client, owner, account, stripe, deliver):
    payment = begun(owner, account)
    deliver(stripe.pay(payment.reference))
    ledger.debit(
        account_id=account.pk,
        kind=LedgerEntry.Kind.USAGE,
        amount_micros=20 * DOLLAR,
        idempotency_key="call",
    )
    payment.refresh_from_db()
    deliver(stripe.refund(payment.intent, 2500))
    told = text(owner_client.get(url("payment", account, id=payment.pk)))
    assert "$25.00 of it went back. Of that $5.00 was taken from the balance so far" in told


def test_a_card_is_being_saved_for_as_long_as_it_is_asked_for(
    owner_client, owner, account, stripe, deliver
):
    payment = begun(owner, account, saves_card=True)
    deliver(stripe.pay(payment.reference))
    page = url("payment", account, id=payment.pk)
    assert "The card is being saved" in text(owner_client.get(page))
    ago = timezone.now() - cards.ASKED_FOR - timedelta(seconds=1)
    Payment.objects.update(ended_at=ago)
    told = text(owner_client.get(page))
    assert "The card is being saved" not in told
    assert "The card could not be kept." in told


def test_all_payments_are_listed_newest_first_page_by_page(
    owner_client, owner, account, organization, stripe
):
    theirs = begun(owner, organization, 999)
    assert "Nothing was paid in yet" in text(owner_client.get(url("payments", account)))
    at = timezone.now()
    Payment.objects.bulk_create(
        Payment(
            account_id=account.pk,
            kind=Payment.Kind.CHECKOUT,
            amount_micros=(100 + number) * DOLLAR,
            # Some were begun at the same moment.
            created_at=at - timedelta(minutes=number // 3),
        )
        for number in range(60)
    )
    seen, page = [], url("payments", account)
    while page:
        shown = owner_client.get(page).content.decode()
        seen.append(re.findall(r"\$(\d+)\.00</a>", shown))
        older = re.search(r'rel="next" href="([^"]+)"', shown)
        page = html.unescape(older[1]) if older else ""
    assert [len(each) for each in seen] == [25, 25, 10]
    assert len({each for shown_then in seen for each in shown_then}) == 60
    newer = re.search(r'rel="prev" href="([^"]+)"', shown)
    assert newer
    back = owner_client.get(html.unescape(newer[1])).content.decode()
    assert re.findall(r"\$(\d+)\.00</a>", back) == seen[1]
    for nonsense in ("x", str(theirs.pk)):
        first = owner_client.get(url("payments", account), {"before": nonsense})
        assert re.findall(r"\$(\d+)\.00</a>", first.content.decode()) == seen[0]


def test_a_payment_of_another_account_is_not_found(
    owner_client, owner, account, organization, stranger, stripe
):
    """Not even by whoever manages both."""
    payment = begun(owner, account)
    for name in ("payment", "payment_checkout"):
        assert owner_client.get(url(name, organization, id=payment.pk)).status_code == 404
        theirs = url(name, stranger.account, id=payment.pk)
        assert signed_in(stranger).get(theirs).status_code == 404


@pytest.mark.parametrize(
    "name", ["credits", "payments", "auto_top_up", "auto_top_up_off", "card_remove"]
)
def test_members_are_refused_and_strangers_find_nothing(
    organization, billing_manager_client, member_client, stranger_client, staff_client, stripe, name
):
    page = url(name, organization)
    assert member_client.get(page).status_code in {403, 405}
    changing = {405} if name == "payments" else set()
    assert member_client.post(page, {"amount": "25", **TOP_UP}).status_code in {403, *changing}
    for client in (stranger_client, staff_client):
        assert client.get(page).status_code in {404, 405}
        assert client.post(page, {"amount": "25", **TOP_UP}).status_code in {404, *changing}
    assert not Payment.objects.exists()
    answer = billing_manager_client.post(page, {"amount": "25"})
    assert answer.status_code in {200, 302, *changing}


def test_without_a_provider_none_of_it_is_there(owner_client, owner, account, stripe, settings):
    payment = begun(owner, account)
    settings.MEGABRAIN_STRIPE_SECRET_KEY = settings.MEGABRAIN_STRIPE_WEBHOOK_SECRET = ""
    for name in ("credits", "auto_top_up", "card_remove"):
        assert owner_client.get(url(name, account)).status_code == 404
        assert owner_client.post(url(name, account), {"amount": "25"}).status_code == 404
    assert owner_client.get(url("payment", account, id=payment.pk)).status_code == 404


def test_the_billing_page_offers_it_where_there_is_a_provider(
    owner_client, account, stripe, settings: LazySettings
):
    page = owner_client.get(url("balance", account))
    assert f'action="{url("credits", account)}"' in page.content.decode()
    assert "Test mode" in text(page)
    settings.MEGABRAIN_STRIPE_SECRET_KEY = settings.MEGABRAIN_STRIPE_WEBHOOK_SECRET = ""
    page = owner_client.get(url("balance", account))
    assert f'action="{url("credits", account)}"' not in page.content.decode()


# Automatic top-ups -----------------------------------------------------------------------------


def test_it_is_turned_on_with_consent(owner_client, account, kept):
    page = url("auto_top_up", account)
    without = {name: value for name, value in TOP_UP.items() if name != "agreed"}
    assert owner_client.post(page, without).status_code == 422
    kept.refresh_from_db()
    assert not kept.enabled
    assert owner_client.post(page, TOP_UP).status_code == 302
    kept.refresh_from_db()
    assert kept.enabled
    told = text(owner_client.get(url("balance", account)))
    assert "falls below $5.00, Visa ···· 4242 is charged $20.00, and no more than $100.00" in told
    assert "So far this month: $0.00." in told


def test_the_page_says_that_the_cap_is_reached(owner, owner_client, account, kept):
    owner_client.post(url("auto_top_up", account), {**TOP_UP, "monthly_cap": "39.99"})
    for page in ("balance", "credits"):
        assert "the cap is reached" not in text(owner_client.get(url(page, account))).lower()
    Payment.objects.create(
        account_id=account.pk,
        kind=Payment.Kind.AUTOMATIC,
        state=Payment.State.PAID,
        amount_micros=20 * DOLLAR,
        ended_at=timezone.now(),
    )
    first = (timezone.now().replace(day=28) + timedelta(days=4)).replace(day=1)
    for page in ("balance", "credits"):
        told = text(owner_client.get(url(page, account)))
        assert f"Stopped until {first:%-d %B} The cap is reached" in told


def test_the_card_that_the_form_has_shown_is_turned_on_and_no_other(
    owner_client, owner, account, stripe, deliver, kept
):
    page = url("auto_top_up", account)
    assert f'name="card" value="{kept.card}"' in owner_client.get(page).content.decode()
    payment = begun(owner, account, saves_card=True)
    deliver(stripe.pay(payment.reference, ASKS_LATER))
    cards.save_cards()
    for sent in (TOP_UP, {**TOP_UP, "card": ""}):
        answer = owner_client.post(page, sent, follow=True)
        assert "The card was replaced or removed meanwhile" in text(answer)
        assert "Visa ···· 3184" in text(answer)
    kept.refresh_from_db()
    assert not kept.enabled
    assert owner_client.post(page, {**TOP_UP, "card": "pm_asks"}).status_code == 302
    kept.refresh_from_db()
    assert kept.enabled


def test_the_card_is_removed_once_that_is_confirmed(owner_client, account, stripe, kept):
    page = url("card_remove", account)
    assert f'href="{page}"' in owner_client.get(url("balance", account)).content.decode()
    asked = owner_client.get(page)
    assert "Visa ···· 4242 is charged no more" in text(asked)
    dialog = owner_client.get(page, headers={"hx-request": "true"}).content.decode()
    assert f'hx-post="{page}"' in dialog
    assert "<html" not in dialog
    assert not stripe.detached
    assert owner_client.post(page).status_code == 302
    assert stripe.detached == ["pm_good"]
    assert "No card is kept." in text(owner_client.get(page))


def test_amounts_that_do_not_fit_are_said_to_be(owner_client, account, kept):
    page = url("auto_top_up", account)
    for wrong in ({"below": "21"}, {"monthly_cap": "19"}, {"amount": "2000"}, {"below": ""}):
        assert owner_client.post(page, {**TOP_UP, **wrong}).status_code == 422, wrong
    kept.refresh_from_db()
    assert not kept.enabled


def test_without_a_card_the_page_says_how_to_keep_one(owner_client, account, stripe):
    answer = owner_client.post(url("auto_top_up", account), TOP_UP)
    assert "No card is kept" in text(answer)
    assert not AutoTopUp.objects.exists()


def test_whoever_signed_in_a_while_ago_confirms_before_it_is_turned_on(owner, account, kept):
    client = signed_in(owner, ago=3600)
    for send in (client.get, client.post):
        answer = send(url("auto_top_up", account), TOP_UP)
        assert answer["Location"].startswith(reverse("account_reauthenticate"))
    kept.refresh_from_db()
    assert not kept.enabled


def test_turning_it_off_and_removing_the_card_ask_for_nothing(owner, account, kept):
    AutoTopUp.objects.update(
        enabled=True,
        below_micros=DOLLAR,
        amount_micros=20 * DOLLAR,
        monthly_cap_micros=20 * DOLLAR,
        agreed_by=owner.pk,
        agreed_at=timezone.now(),
    )
    client = signed_in(owner, ago=3600)
    assert client.post(url("auto_top_up_off", account)).status_code == 302
    kept.refresh_from_db()
    assert not kept.enabled
    assert client.post(url("card_remove", account)).status_code == 302
    kept.refresh_from_db()
    assert kept.card == ""


def test_why_it_was_turned_off_is_on_the_page(owner_client, account, kept):
    AutoTopUp.objects.update(off_why="The card has expired.")
    assert "The card has expired." in text(owner_client.get(url("balance", account)))


def test_staff_find_payments_in_the_admin(staff_client: Client, owner, account, stripe):
    payment = begun(owner, account)
    for query in (payment.reference, str(payment.pk), owner.email):
        found = staff_client.get(reverse("admin:billing_payment_changelist"), {"q": query})
        assert str(payment.pk) in found.content.decode(), query
    assert "$25.00" in found.content.decode()


def test_staff_turn_automatic_top_ups_off_and_managers_are_told(
    staff_client: Client, owner, owner_client, account, kept, mailoutbox
):
    owner_client.post(url("auto_top_up", account), TOP_UP)
    page = staff_client.get(reverse("admin:billing_autotopup_change", args=[account.pk]))
    assert all(each in text(page) for each in ("$5.00", "$20.00", "$100.00"))
    rows = reverse("admin:billing_autotopup_changelist")
    sent = {"action": "turn_off", "index": "0", "_selected_action": str(account.pk)}
    assert "told that staff have turned it off" in text(staff_client.post(rows, sent))
    kept.refresh_from_db()
    assert kept.enabled
    for said in ("turned off", "was off already"):
        assert said in text(staff_client.post(rows, {**sent, "confirmed": "1"}, follow=True))
    kept.refresh_from_db()
    assert (kept.enabled, kept.card) == (False, "pm_good")
    events = AuditEvent.objects.for_account(account.pk).filter(event="billing.top_up.turned_off")
    assert [event.actor_label for event in events] == ["staff@example.com"]
    gone = AutoTopUp.objects.create(account_id=uuid4())
    sent = {**sent, "_selected_action": str(gone.pk), "confirmed": "1"}
    assert "the account is gone" in text(staff_client.post(rows, sent, follow=True))
    assert tell_of_top_ups() == 1
    assert mailoutbox[-1].to == [owner.email]
    assert "MegaBrain's staff have turned them off." in mailoutbox[-1].body
