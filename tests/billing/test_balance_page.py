"""The Billing page: balance, ledger, alert, and who sees it."""

import csv
import io
import re
import uuid
from datetime import timedelta
from html import unescape

import pytest
from django.db.models import Sum
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing import ledger
from billing.actions import freeze
from billing.ledger_export import BATCH
from billing.models import LedgerEntry, Wallet
from orgs.actions import change_role, create_token
from orgs.models import Account, AuditEvent, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from tests.billing.wallets import Payer
from tests.conftest import signed_in
from tests.site.test_weight import LIMIT, weight

PERSONAL = reverse("billing:balance")
ACME = reverse("billing:balance", args=["acme"])
HTMX = {"HX-Request": "true"}
Kind = LedgerEntry.Kind

pytestmark = pytest.mark.django_db


def text(response) -> str:
    """What the page says, on one line and without its tags."""
    return " ".join(unescape(re.sub("<[^>]+>", " ", response.content.decode())).split())


def grant(account: Account, micros: int, note: str = "") -> LedgerEntry:
    return ledger.credit(
        account_id=account.pk,
        kind=Kind.GRANT,
        amount_micros=micros,
        idempotency_key=f"grant:{uuid.uuid4()}",
        note=note,
    )


def payer(account: Account, user: User) -> Payer:
    token, _ = create_token(actor=user, account=account, name="ci", origin=Origin())
    return Payer(account.pk, user.pk, token.pk)


def many(account: Account, count: int, **fields) -> None:
    """So many entries of a micro-dollar each, written at once."""
    wallet = ledger.locked_wallet(account.pk)
    end = ledger.ends([account.pk])[account.pk]
    for number in range(end.number, end.number + count):
        entry = ledger.append(wallet, end, Kind.GRANT, 1, idempotency_key=f"{account.pk}:{number}")
        for name, value in fields.items():
            setattr(entry, name, value)
        LedgerEntry.objects.bulk_create([entry])
    ledger.save(wallet)


def exported(client: Client, url: str, **filters: str) -> list[dict[str, str]]:
    response = client.post(f"{url}export/", filters)
    assert response.status_code == 200
    content = response.getvalue().decode()
    return list(csv.DictReader(io.StringIO(content.removeprefix("\ufeff"))))


@pytest.mark.parametrize(
    ("who", "status"),
    [("owner", 200), ("billing_manager", 200), ("member", 403), ("stranger", 404), ("staff", 404)],
)
def test_those_who_manage_billing_see_it_and_nobody_else(organization, request, who, status):
    client = signed_in(request.getfixturevalue(who))
    assert client.get(ACME).status_code == status
    for change in ("alert/", "export/"):
        assert client.post(ACME + change).status_code in ({200, 302} if status == 200 else {status})
    assert (ACME in client.get("/dashboard/").content.decode()) is False
    shown = client.get(reverse("dashboard", args=["acme"])).content.decode()
    assert (f'href="{ACME}"' in shown) is (status == 200)


def test_everybody_has_a_balance_of_their_own(owner_client, member_client, account):
    grant(account, 5_000_000)
    assert "$5.0000" in text(owner_client.get(PERSONAL))
    assert "$5.0000" not in text(member_client.get(PERSONAL))


def test_a_page_of_nothing_says_what_it_is_for_and_how_to_begin(owner_client):
    shown = text(owner_client.get(PERSONAL))
    assert "Nothing was added or spent yet" in shown
    assert "Available $0.0000" in shown
    assert "Credits are added by the people who run this installation." in shown
    assert "owner@example.com , so that they reach the right balance" in shown


@pytest.mark.parametrize(
    ("setting", "html"),
    [
        ("https://help.example/credits", 'href="https://help.example/credits"'),
        ("billing@example.com", 'href="mailto:billing@example.com"'),
        ("Ask Finance, <floor 3>.", "<p>Ask Finance, &lt;floor 3&gt;.</p>"),
        ("javascript:alert(1)", "<p>javascript:alert(1)</p>"),
    ],
)
def test_the_operator_says_how_credits_are_added(owner_client, settings, setting, html):
    settings.MEGABRAIN_CREDITS_HELP = setting
    assert html in owner_client.get(PERSONAL).content.decode()


def test_the_figures_are_those_of_the_raw_rows(owner, owner_client, account):
    grant(account, 20_000_000)
    payer(account, owner).call(3_000_000, 1_234_567)
    payer(account, owner).reserve(2_000_000)
    entries = LedgerEntry.objects.for_account(account)
    posted = entries.aggregate(sum=Sum("amount_micros"))["sum"]
    assert posted == 18_765_433
    shown = text(owner_client.get(PERSONAL))
    assert "Available $16.765433" in shown
    assert "Balance $18.765433" in shown
    assert "Held $2.0000" in shown


def test_the_ledger_shows_each_entry_with_the_balance_after_it(owner, owner_client, account):
    grant(account, 20_000_000, "A <b>warm</b> welcome")
    request_id = payer(account, owner).call(3_000_000, 1_234_567)
    page = owner_client.get(PERSONAL)
    rows = re.findall(r'<tr id="entry-(\d+)">(.*?)</tr>', page.content.decode(), re.DOTALL)
    told = [(number, " ".join(re.sub("<[^>]+>", " ", row).split())) for number, row in rows]
    assert told == [
        ("2", f"Usage Request {str(request_id)[:8]} just now -$1.234567 $18.765433"),
        ("1", "Credit granted A &lt;b&gt;warm&lt;/b&gt; welcome just now +$20.000000 $20.000000"),
    ]
    assert reverse("usage_request", args=[request_id]) in rows[0][1]


def test_a_request_whose_record_is_pruned_is_named_and_not_linked(owner_client, account, settings):
    settings.MEGABRAIN_USAGE_DAYS = 100
    kept, gone = uuid.uuid4(), uuid.uuid4()
    for request_id, days in ((gone, 101), (kept, 99)):
        many(
            account,
            1,
            kind=Kind.USAGE,
            idempotency_key=f"request:{request_id}",
            created_at=timezone.now() - timedelta(days=days),
        )
    page = owner_client.get(PERSONAL).content.decode()
    assert str(gone)[:8] in page
    assert reverse("usage_request", args=[gone]) not in page
    assert reverse("usage_request", args=[kept]) in page


def test_pages_are_cut_at_entries_and_lead_there_and_back(owner_client, account):
    many(account, 60)

    def numbers(page) -> list[int]:
        return [int(each) for each in re.findall(r'id="entry-(\d+)"', page.content.decode())]

    def led(page, rel: str) -> str:
        found = re.search(rf'rel="{rel}" href="([^"]+)"', page.content.decode())
        return unescape(found[1]) if found else ""

    first = owner_client.get(PERSONAL)
    assert numbers(first) == list(range(60, 35, -1))
    assert not led(first, "prev")
    grant(account, 1)  # What comes meanwhile shifts nothing.
    second = owner_client.get(led(first, "next"))
    assert numbers(second) == list(range(35, 10, -1))
    third = owner_client.get(led(second, "next"))
    assert numbers(third) == list(range(10, 0, -1))
    assert not led(third, "next")
    assert numbers(owner_client.get(led(third, "prev"))) == list(range(35, 10, -1))


def test_entries_are_narrowed_by_kind_and_period(owner, owner_client, account):
    grant(account, 20_000_000, "a gift")
    payer(account, owner).call(100, 7)
    today = timezone.now().date()
    kept = {"kind": "usage", "period": "dates", "since": today, "until": today}
    shown = text(owner_client.get(PERSONAL, kept, headers=HTMX))
    assert "-$0.000007" in shown
    assert "a gift" not in shown
    gone = kept | {"until": today - timedelta(days=1)}
    assert "Nothing matches" in text(owner_client.get(PERSONAL, gone))
    assert "a gift" in text(owner_client.get(PERSONAL, {"kind": "bribe"})), "no kind at all"


def test_an_export_holds_every_entry_exactly(owner, owner_client, account):
    grant(account, 20_000_000, "a gift")
    request_id = payer(account, owner).call(3_000_000, 1)
    first, second = exported(owner_client, PERSONAL)
    assert (first["kind"], first["amount_usd"], first["note"]) == ("grant", "20.000000", "a gift")
    assert second["amount_usd"] == "-0.000001"
    assert second["balance_usd"] == "19.999999"
    assert second["request_id"] == str(request_id)
    assert exported(owner_client, PERSONAL, kind="usage") == [second]
    assert exported(owner_client, PERSONAL, kind="refund") == []


def test_an_export_with_a_filter_that_there_is_not_is_refused(owner_client, account):
    grant(account, 1)
    assert owner_client.post(f"{PERSONAL}export/", {"kind": "bribe"}).status_code == 400


def test_an_export_is_made_while_it_is_sent(owner_client, account):
    for _ in range(3):
        grant(account, 1)
    response = owner_client.post(f"{PERSONAL}export/")
    grant(account, 1_000_000)
    lines = b"".join(response.streaming_content).decode().splitlines()
    assert len(lines) == 4, "what came later is not in it"


@pytest.mark.parametrize("mark", ["=", "+", "-", "@", "\t", "\r", "\u2212", " =", "；=", ";="])
def test_no_cell_of_an_export_is_a_formula(owner_client, account, mark):
    grant(account, 1, f'{mark}HYPERLINK("http://evil.example")')
    [row] = exported(owner_client, PERSONAL)
    assert not re.match(r"[\s]*[=+\-@\u2212\t\r]", row["note"])
    assert "HYPERLINK" in row["note"]


def test_who_loses_the_right_gets_no_more_of_an_export(
    organization, owner, billing_manager, billing_manager_client
):
    many(organization, 2 * BATCH + 1)
    response = billing_manager_client.post(f"{ACME}export/")
    pieces = iter(response.streaming_content)
    first = next(pieces)
    membership = Membership.objects.get(account=organization, user=billing_manager)
    change_role(actor=owner, membership=membership, role=Membership.Role.MEMBER, origin=Origin())
    with pytest.raises(NotPermitted):
        list(pieces)
    assert first.count(b"\n") < 2 * BATCH


def test_a_frozen_balance_says_so_and_what_goes_on(owner_client, account):
    grant(account, 5_000_000)
    assert "frozen" not in text(owner_client.get(PERSONAL))
    freeze(actor=None, account_id=account.pk, why="Posted is not the sum.", origin=Origin())
    shown = text(owner_client.get(PERSONAL))
    assert "The balance is frozen." in shown
    assert "Write to the people who run this installation" in shown


def set_alert(client: Client, below: str, url: str = PERSONAL):
    return client.post(f"{url}alert/", {"below": below}, follow=True)


def test_an_alert_is_set_changed_and_taken_away(owner_client, account):
    grant(account, 5_000_000)
    assert "You will get an e-mail when the balance is below $2.50." in text(
        set_alert(owner_client, "2.50")
    )
    assert Wallet.objects.get().alert_below_micros == 2_500_000
    assert 'value="2.50"' in owner_client.get(PERSONAL).content.decode()
    assert "Nothing was changed." in text(set_alert(owner_client, "2.5"))
    assert "Nobody is told" in text(set_alert(owner_client, ""))
    assert Wallet.objects.get().alert_below_micros is None
    told = AuditEvent.objects.for_account(account.pk).filter(event="billing.alert_changed")
    assert [event.details["alert_below_micros"] for event in told] == [2_500_000, None]


@pytest.mark.parametrize(
    ("below", "said"),
    [
        ("-5", "Enter an amount in dollars, such as 20 or 2.50."),
        ("1e3", "Enter an amount in dollars, such as 20 or 2.50."),
        ("NaN", "Enter an amount in dollars, such as 20 or 2.50."),
        ("2,5", "Enter an amount in dollars, such as 20 or 2.50."),
        ("٣", "Enter an amount in dollars, such as 20 or 2.50."),
        ("0.0000001", "Enter an amount with 6 decimals at most."),
        ("1000000.01", "Enter $1,000,000 at most."),
        ("9" * 39, "Enter $1,000,000 at most."),
        ("0", "No balance is below $0."),
    ],
)
def test_what_is_no_amount_is_refused_in_words(owner_client, below, said):
    response = set_alert(owner_client, below)
    assert response.status_code == 422
    assert said in text(response)
    assert not Wallet.objects.filter(alert_below_micros__isnull=False).exists()


def test_the_form_that_was_refused_can_be_reloaded(owner_client):
    assert owner_client.get(f"{PERSONAL}alert/")["Location"] == PERSONAL


def test_a_low_balance_says_so_on_the_page(owner_client, account):
    grant(account, 1_000_000)
    set_alert(owner_client, "5")
    assert "The balance is below $5.00." in text(owner_client.get(PERSONAL))
    grant(account, 4_000_000)
    assert "The balance is below" not in text(owner_client.get(PERSONAL))


def test_the_page_takes_the_same_few_queries_however_long_the_ledger(
    owner, owner_client, account, django_assert_max_num_queries
):
    owner_client.get(PERSONAL)
    many(account, 60)
    payer(account, owner).call(50, 7)
    with django_assert_max_num_queries(12):
        owner_client.get(PERSONAL)


def test_a_full_page_is_light(owner, owner_client, account):
    many(account, 60, note="A note of some length about what this credit was for. " * 3)
    payer(account, owner).call(50, 7)
    assert weight(owner_client, PERSONAL) <= LIMIT
