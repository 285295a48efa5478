"""Every balance is compared with its ledger, holds and counters; one that has drifted is frozen."""

import io
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event as Flag
from threading import Thread

import pytest
from django.core.mail.backends.base import BaseEmailBackend
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from billing import holds, reconciling
from billing.actions import grant_credit, unfreeze
from billing.mending import mend
from billing.models import Hold, LedgerEntry, Reconciliation, Spending, Wallet
from billing.reconciling import Reconciled, reconcile, reconcile_on
from billing.tasks import reconcile as reconcile_task
from billing.tasks import sweep_holds, tell_of_frozen_wallets
from orgs.actions import create_token, delete_organization
from orgs.models import Account, AuditEvent
from orgs.origin import Origin
from tests.billing.wallets import Payer, credited, lapse, tamper, wallet_of
from tests.guarantees.audit_log import tamper as tamper_with_log
from tests.together import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def payer(owner, organization) -> Payer:
    payer = Payer(account_id=organization.pk, user_id=owner.pk)
    credited(organization.pk, 1000)
    return payer


def run(**options: str) -> str:
    out = io.StringIO()
    call_command("reconcile", stdout=out, **options)
    return out.getvalue()


def test_where_all_agrees_it_says_how_much_was_looked_at(payer):
    payer.call(10, 7)
    payer.call(10, None)
    payer.call(10, 0)
    payer.reserve(5)
    credited(uuid.uuid4(), 3)
    assert run() == "2 balances, 3 entries and 2 calls: all agree.\n"
    assert wallet_of(payer.account_id).frozen_at is None


def test_with_no_money_at_all_all_agrees(db):
    assert run() == "0 balances, 0 entries and 0 calls: all agree.\n"


def test_ledgers_and_calls_are_read_in_pieces(payer, monkeypatch):
    monkeypatch.setattr(reconciling, "CHUNK", 2)
    for _ in range(5):
        payer.call(10, 7)
        credited(uuid.uuid4(), 3)
    assert run() == "6 balances, 11 entries and 5 calls: all agree.\n"
    tamper("UPDATE billing_hold SET charged_micros = 6 WHERE account_id = {a}", a=payer.account_id)
    assert payer.account_id in {drift.account_id for drift in reconcile().drifts}


def test_the_command_names_the_account_and_ends_with_an_error(payer):
    tamper("UPDATE billing_wallet SET posted_micros = 2000")
    out = io.StringIO()
    with pytest.raises(CommandError, match="Of 1 balances, 1 entries and 0 calls, 1 do not agree"):
        call_command("reconcile", stdout=out)
    assert out.getvalue() == "acme: the wallet has 2000 µ$, the entries come to 1000 µ$.\n"


def test_only_the_account_that_drifted_is_frozen_and_its_log_tells_why(payer):
    other = Payer()
    credited(other.account_id, 100)
    tamper(
        "UPDATE billing_wallet SET posted_micros = 999 WHERE account_id = {a}", a=payer.account_id
    )
    reconcile_task()
    wallet = wallet_of(payer.account_id)
    assert wallet.frozen_why == "the wallet has 999 µ$, the entries come to 1000 µ$"
    [event] = AuditEvent.objects.filter(event="billing.wallet.frozen")
    assert (event.account_id, event.actor_label) == (payer.account_id, "MegaBrain")
    assert event.details == {"why": wallet.frozen_why}
    other.reserve(1)
    reconcile()
    assert AuditEvent.objects.filter(event="billing.wallet.frozen").count() == 1


def test_what_is_unfrozen_and_not_mended_is_frozen_again(payer, staff):
    tamper("UPDATE billing_wallet SET posted_micros = 999")
    reconcile()
    unfreeze(actor=staff, wallet=wallet_of(payer.account_id), origin=Origin())
    reconcile()
    assert wallet_of(payer.account_id).frozen_at is not None
    tamper("UPDATE billing_wallet SET posted_micros = 1000")
    unfreeze(actor=staff, wallet=wallet_of(payer.account_id), origin=Origin())
    assert reconcile().drifts == []


def test_an_account_that_is_gone_is_looked_at_too(payer, owner):
    account = Account.objects.get(pk=payer.account_id)
    delete_organization(actor=owner, account=account, origin=Origin())
    assert reconcile().drifts == []
    tamper("UPDATE billing_wallet SET posted_micros = 999")
    reconcile()
    assert wallet_of(payer.account_id).frozen_at is not None
    [event] = AuditEvent.objects.filter(event="billing.wallet.frozen")
    assert event.account_id == payer.account_id


def test_calls_of_the_last_month_and_day_are_counted_too(payer):
    """Their counters are those of when they began."""
    now = timezone.now()
    for days in (0, 1, 31, 32, 70):
        payer.reserve(5, at=now - timedelta(days=days))
        payer.resolve(payer.reserve(5, at=now - timedelta(days=days)), 3)
    assert reconcile().drifts == []


def test_a_hold_that_was_swept_is_no_drift(payer):
    lapse(payer.reserve(10), payer.reserve(20))
    sweep_holds()
    assert not Hold.objects.open().exists()
    assert reconcile().drifts == []


def test_grants_and_subscriptions_are_no_calls(payer, staff, organization):
    grant_credit(
        actor=staff,
        account=organization,
        amount_micros=5,
        idempotency_key=str(uuid.uuid4()),
        origin=Origin(),
    )
    assert reconcile().drifts == []


@pytest.mark.django_db(transaction=True)
def test_calls_that_go_on_meanwhile_are_no_drift(payer, monkeypatch):
    monkeypatch.setattr(reconciling, "CHUNK", 3)
    payers = [payer, *(Payer(token_id=payer.token_id) for _ in range(2))]
    for other in payers:
        credited(other.account_id, 10_000)
    stop = Flag()
    drifts = []

    def look() -> None:
        while not stop.is_set():
            drifts.extend(reconcile().drifts)
        connection.close()

    def draw(each: Payer) -> None:
        for number in range(12):
            open_ = [each.reserve(10) for _ in range(3)]
            each.resolve(open_[0], number)
            each.resolve(open_[1], None)
            lapse(open_[2])
            holds.sweep()
            credited(each.account_id, 5)

    looking = Thread(target=look)
    looking.start()
    try:
        at_once(*[lambda each=each: draw(each) for each in payers])
    finally:
        stop.set()
        looking.join()
    assert drifts == []
    assert reconcile().drifts == []
    assert LedgerEntry.objects.filter(kind="usage").count() == 3 * 11


def test_a_worker_goes_on_where_its_time_was_over(payer, monkeypatch):
    monkeypatch.setattr(reconciling, "CHUNK", 2)
    for _ in range(5):
        payer.call(10, 7)
        credited(payer.account_id, 5)
        credited(uuid.uuid4(), 3)
    tamper(
        "UPDATE billing_wallet SET posted_micros = 999 WHERE account_id = {a}", a=payer.account_id
    )
    found = runs_to_the_end()
    assert len(found) > 10
    assert [drift.account_id for each in found for drift in each.drifts] == [payer.account_id]
    assert sum(each.entries for each in found) == 11 + 5
    assert sum(each.holds for each in found) == 5
    # All are compared once a day, however often a worker looks.
    assert reconcile_on(seconds=60) is None
    Reconciliation.objects.update(begun_at=timezone.now() - timedelta(days=1))
    again = reconcile_on(seconds=60)
    assert again is not None
    assert again.is_complete


def runs_to_the_end() -> list[Reconciled]:
    found: list[Reconciled] = []
    while not found or not found[-1].is_complete:
        run = reconcile_on(seconds=-1)
        assert run is not None
        found.append(run)
        assert len(found) < 100
        assert (Reconciliation.objects.get().done_at is None) != run.is_complete
    return found


def test_a_ledger_that_is_altered_behind_a_worker_is_found_by_the_next_comparison(payer):
    for _ in range(3):
        payer.call(10, 7)
    while not (row := Reconciliation.objects.first()) or row.number < 4:
        reconcile_on(seconds=-1)
    tamper(
        "UPDATE billing_ledgerentry SET amount_micros = -8, balance_micros = 992"
        " WHERE account_id = {a} AND number = 2",
        a=payer.account_id,
    )
    runs_to_the_end()
    Reconciliation.objects.update(begun_at=timezone.now() - timedelta(days=1))
    found = reconcile_on(seconds=60)
    assert found is not None
    assert payer.account_id in {each.account_id for each in found.drifts}


# Mending -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE billing_wallet SET posted_micros = 5000, entries = 1, held_micros = 5",
        "UPDATE billing_wallet SET held_micros = 0",
        "DELETE FROM billing_wallet",
        "UPDATE billing_spending SET held_micros = 0, spent_micros = 9",
        "DELETE FROM billing_spending",
    ],
)
def test_a_wallet_and_counters_are_mended_from_ledger_and_holds(owner, organization, edit):
    token, _ = create_token(actor=owner, account=organization, name="ci", origin=Origin())
    payer = Payer(organization.pk, owner.pk, token.pk)
    credited(payer.account_id, 1000)
    payer.call(10, 7)
    under_way = payer.reserve(20)
    tamper(edit)
    with pytest.raises(CommandError, match="do not agree"):
        run()
    said = run(mend="acme")
    assert said.startswith("Mended: ")
    assert said.endswith("1 balances, 2 entries and 1 calls: all agree.\n")
    assert run(mend=str(payer.account_id)).startswith("Mended: nothing was to be changed.\n")
    [event] = AuditEvent.objects.filter(event="billing.wallet.mended")
    assert (event.account_id, event.user_agent) == (payer.account_id, "manage.py reconcile")
    assert wallet_of(payer.account_id).frozen_at is not None
    assert payer.resolve(under_way, 3) == 3
    assert wallet_of(payer.account_id).posted_micros == 990
    assert reconcile().drifts == []


@pytest.fixture
def off(owner, organization) -> Payer:
    """Counters with less than what is held for two calls of 20 and 30 µ$, and spent."""
    token, _ = create_token(actor=owner, account=organization, name="ci", origin=Origin())
    payer = Payer(organization.pk, owner.pk, token.pk)
    credited(payer.account_id, 1000)
    payer.call(10, 7)
    payer.reserve(20)
    payer.reserve(30)
    tamper("UPDATE billing_spending SET held_micros = 5, spent_micros = 1")
    return payer


@contextmanager
def once_counted(do: Callable[[], object]) -> Iterator[None]:
    """Something happens when it is known by how much all counters are off, and none is mended."""
    counted = 0

    def notice(execute, sql, params, many, context):
        nonlocal counted
        result = execute(sql, params, many, context)
        counted += "AS both_sides" in sql
        if counted == 4:
            counted += 1
            do()
        return result

    with connection.execute_wrapper(notice):
        yield


def test_a_call_that_ends_while_it_is_mended_is_counted_once(off):
    """It finds less than its own in the counters, and leaves nothing there."""
    ending = Hold.objects.open().get(amount_micros=20)
    with once_counted(lambda: off.resolve(ending.pk, 3)):
        assert run(mend="acme").endswith(": all agree.\n")
    assert off.counted(Spending.Of.TOKEN) == off.counted(Spending.Of.MEMBER) == (30, 10)


def test_what_two_mend_at_once_is_mended_once(off):
    with (
        once_counted(lambda: mend(account_id=off.account_id, origin=Origin())),
        pytest.raises(CommandError, match=r"Nothing was mended\. Somebody else mends it"),
    ):
        run(mend="acme")
    assert off.counted(Spending.Of.TOKEN) == off.counted(Spending.Of.MEMBER) == (50, 7)
    assert run().endswith(": all agree.\n")


def test_where_the_audit_log_takes_no_event_nothing_is_mended(off, organization):
    tamper_with_log(organization, "DELETE FROM orgs_audithead WHERE {mine}")
    with pytest.raises(CommandError, match=r"Nothing was mended\. The account's audit log"):
        run(mend="acme")
    assert off.counted(Spending.Of.TOKEN) == (5, 1)


def test_a_ledger_that_was_altered_is_not_mended(payer):
    tamper("UPDATE billing_ledgerentry SET amount_micros = 2000")
    with pytest.raises(CommandError, match=r"Nothing was mended. The ledger itself was altered"):
        run(mend="acme")
    assert wallet_of(payer.account_id).posted_micros == 1000


def test_what_is_set_aside_beyond_the_ledger_waits_for_its_calls(payer):
    tamper("UPDATE billing_wallet SET posted_micros = 5000")
    request_id = payer.reserve(2000)
    with pytest.raises(CommandError, match="Try again when no call is under way"):
        run(mend="acme")
    payer.resolve(request_id, None)
    run(mend="acme")
    assert wallet_of(payer.account_id).posted_micros == 1000


# Letters -------------------------------------------------------------------------------------


class Away(BaseEmailBackend):
    def send_messages(self, messages):
        raise OSError("away")


def test_staff_are_told_once_of_what_was_frozen(payer, staff, mailoutbox, settings):
    other = credited(uuid.uuid4(), 5)
    tamper("UPDATE billing_wallet SET posted_micros = 999")
    reconcile()
    tell_of_frozen_wallets()
    tell_of_frozen_wallets()
    [letter] = mailoutbox
    assert letter.to == [staff.email]
    assert letter.subject == "2 balances frozen: the books do not agree"
    for text in (letter.body, letter.alternatives[0][0]):
        assert "acme" in text
        assert str(other.pk) in text
        assert "the wallet has 999 µ$, the entries come to 1000 µ$" in text
        assert f"{settings.MEGABRAIN_BASE_URL}/admin/billing/wallet/?q=frozen" in text
    reconcile()
    tell_of_frozen_wallets()
    assert len(mailoutbox) == 1


def test_a_letter_that_could_not_be_sent_is_sent_later(payer, staff, mailoutbox, settings):
    tamper("UPDATE billing_wallet SET posted_micros = 999")
    reconcile()
    works, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, f"{__name__}.Away"
    tell_of_frozen_wallets()
    assert mailoutbox == []
    settings.EMAIL_BACKEND = works
    tell_of_frozen_wallets()
    assert len(mailoutbox) == 1


def test_a_worker_that_was_killed_over_a_letter_does_not_keep_it(payer, staff, mailoutbox):
    tamper("UPDATE billing_wallet SET posted_micros = 999")
    reconcile()
    Wallet.objects.update(frozen_claimed_at=timezone.now() - timedelta(minutes=2))
    tell_of_frozen_wallets()
    assert mailoutbox == []
    Wallet.objects.update(frozen_claimed_at=timezone.now() - timedelta(minutes=6))
    tell_of_frozen_wallets()
    assert len(mailoutbox) == 1


@pytest.mark.django_db(transaction=True)
def test_two_workers_write_one_letter(payer, staff, mailoutbox):
    tamper("UPDATE billing_wallet SET posted_micros = 999")
    reconcile()
    at_once(*[tell_of_frozen_wallets] * 4)
    assert len(mailoutbox) == 1
