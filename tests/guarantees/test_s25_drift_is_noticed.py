"""S25: whoever alters money past the application is found, and that account's paid calls end."""

import time
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from billing import holds
from billing.ledger import Frozen
from billing.models import Hold, LedgerEntry, Reconciliation
from billing.reconciling import reconcile
from billing.tasks import reconcile as reconcile_task
from orgs.audit.verification import verify_whole
from orgs.models import Account, ApiToken, AuditEvent
from tests.billing.wallets import Payer, credited, lapse, tamper, wallet_of
from tests.gateway.dialect import CHAT
from tests.guarantees.audit_log import tamper as tamper_with_log
from tests.guarantees.audit_log import write
from tests.together import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def token(owner, organization) -> ApiToken:
    return ApiToken.objects.create(
        user=owner, account=organization, name="ci", prefix="mb-x", digest="d" * 64
    )


@pytest.fixture
def payer(owner, organization: Account, token) -> Payer:
    """With credit, two settled calls, one that was released and one under way."""
    payer = Payer(organization.pk, owner.pk, token.pk)
    credited(organization.pk, 1000)
    payer.call(100, 40)
    credited(organization.pk, 500)
    payer.call(100, 60)
    payer.call(100, None)
    payer.reserve(200)
    return payer


@pytest.fixture
def bystander(db) -> Payer:
    bystander = Payer()
    credited(bystander.account_id, 100)
    bystander.call(10, 3)
    return bystander


ENTRY, WALLET, HOLD = "billing_ledgerentry", "billing_wallet", "billing_hold"
COUNTER = "billing_spending"
OTHER = uuid.UUID(int=7)


def changed(table: str, change: str, where: str = "") -> str:
    also = f" AND {where}" if where else ""
    return f"UPDATE {table} SET {change} WHERE account_id = {{account}}{also}"


def gone(table: str, where: str = "") -> str:
    also = f" AND {where}" if where else ""
    return f"DELETE FROM {table} WHERE account_id = {{account}}{also}"


def added(number: int, amount: int, balance: int) -> str:
    return f"""
        INSERT INTO {ENTRY}
        (account_id, number, kind, amount_micros, balance_micros, idempotency_key, note, created_at)
        SELECT account_id, {number}, 'grant', {amount}, {balance}, 'x', '', created_at
        FROM {ENTRY} WHERE account_id = {{account}} AND number = 1
    """


#: The four entries of the account: +1000, -40, +500, -60.
EDITS = {
    "the amount of an entry": [changed(ENTRY, "amount_micros = 2000", "number = 1")],
    "the balance of an entry": [changed(ENTRY, "balance_micros = 1", "number = 3")],
    "an entry and all balances after it": [
        changed(ENTRY, "amount_micros = amount_micros + 9", "number = 1"),
        changed(ENTRY, "balance_micros = balance_micros + 9"),
    ],
    "the charge of a call, all balances after it, and the wallet": [
        changed(ENTRY, "amount_micros = -1", "number = 2"),
        changed(ENTRY, "balance_micros = balance_micros + 39", "number >= 2"),
        changed(WALLET, "posted_micros = posted_micros + 39"),
    ],
    "a call's entry made to be of another kind": [
        changed(ENTRY, "kind = 'refund', idempotency_key = 'x'", "number = 2")
    ],
    "the call of an entry": [changed(ENTRY, "idempotency_key = 'request:x'", "number = 2")],
    "the account of an entry": [changed(ENTRY, "account_id = {other}", "number = 4")],
    "an entry gone": [gone(ENTRY, "number = 2")],
    "the first entry gone": [gone(ENTRY, "number = 1")],
    "the last entry gone": [gone(ENTRY, "number = 4")],
    "all entries gone": [gone(ENTRY)],
    "the last entry gone, and the wallet set to fit": [
        gone(ENTRY, "number = 4"),
        changed(WALLET, "posted_micros = 1460, entries = 3"),
    ],
    "an entry that nobody wrote": [added(5, 10, 1410)],
    "an entry before the first": [added(0, 10, 10)],
    "the balance of the wallet": [changed(WALLET, "posted_micros = 9999")],
    "what the wallet holds": [changed(WALLET, "held_micros = 0")],
    "how many entries the wallet counts": [changed(WALLET, "entries = 3")],
    "the wallet gone": [gone(WALLET)],
    "what is set aside for a call under way": [
        changed(HOLD, "amount_micros = 1", "state = 'open'")
    ],
    "a call under way gone": [gone(HOLD, "state = 'open'")],
    "a released hold made open": [
        changed(HOLD, "state = 'open', resolved_at = NULL", "state = 'released'")
    ],
    "the charge of a settled hold": [changed(HOLD, "charged_micros = 1", "state = 'settled'")],
    "a charge that was none": [
        changed(HOLD, "state = 'settled', charged_micros = 5", "state = 'released'")
    ],
    "a settled hold made released": [
        changed(HOLD, "state = 'released', charged_micros = NULL", "state = 'settled'")
    ],
    "a settled hold gone": [gone(HOLD, "state = 'settled'")],
    "the account of a hold": [changed(HOLD, "account_id = {other}", "state = 'settled'")],
    "what a member has spent": [changed(COUNTER, "spent_micros = 0")],
    "what is set aside of a member's day": [changed(COUNTER, "held_micros = 1")],
    "a member's counter gone": [gone(COUNTER)],
    "what a token has spent": [
        f"UPDATE {COUNTER} SET spent_micros = 0 WHERE subject_id = {{token}}"
    ],
    "a token's counter gone": [f"DELETE FROM {COUNTER} WHERE subject_id = {{token}}"],
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_found_and_freezes_the_paid_calls_of_that_account(payer, bystander, edit):
    assert reconcile().drifts == []
    tamper(*EDITS[edit], account=payer.account_id, other=OTHER, token=payer.token_id)
    drifts = reconcile().drifts
    assert payer.account_id in {drift.account_id for drift in drifts}
    with pytest.raises(Frozen):
        payer.reserve(1)
    bystander.reserve(1)
    # Told in the account's log, whose chain is sound.
    assert verify_whole(payer.account_id).fault is None
    assert payer.account_id in {drift.account_id for drift in reconcile().drifts}


@pytest.mark.parametrize(
    "edit",
    [
        "a settled hold gone",
        "a settled hold made released",
        "the charge of a settled hold",
        "the account of a hold",
        "a call's entry made to be of another kind",
    ],
)
def test_so_is_one_of_a_call_so_long_ago_that_no_counter_is_compared(organization, edit):
    payer = Payer(organization.pk)
    credited(organization.pk, 1000)
    credited(organization.pk, 1)
    request_id = payer.reserve(100, at=timezone.now() - timedelta(days=100))
    payer.resolve(request_id, 40)
    assert reconcile().drifts == []
    third = [statement.replace("number = 2", "number = 3") for statement in EDITS[edit]]
    tamper(*third, account=organization.pk, other=OTHER)
    assert organization.pk in {drift.account_id for drift in reconcile().drifts}


@pytest.mark.parametrize(
    "edit",
    [
        changed(WALLET, "posted_micros = 9999"),
        changed(WALLET, "posted_micros = 1000"),
        changed(WALLET, "entries = 3"),
        changed(COUNTER, "held_micros = 1"),
        f"UPDATE {COUNTER} SET held_micros = 1 WHERE subject_id = {{token}}",
    ],
)
def test_one_call_is_charged_after_it_and_no_other(payer, edit, django_capture_on_commit_callbacks):
    """By what is in the ledger, and the difference stays for whoever looks into it."""
    [under_way] = Hold.objects.open()
    tamper(edit, account=payer.account_id, token=payer.token_id)
    before = wallet_of(payer.account_id).posted_micros
    with django_capture_on_commit_callbacks(execute=True):
        assert payer.resolve(under_way.pk, 5) == 5
    last = LedgerEntry.objects.filter(account_id=payer.account_id).latest("number")
    assert (last.number, last.amount_micros, last.balance_micros) == (5, -5, 1395)
    assert wallet_of(payer.account_id).posted_micros == before - 5
    assert not Hold.objects.open().exists()
    with pytest.raises(Frozen):
        payer.reserve(1)
    assert verify_whole(payer.account_id).fault is None


def test_a_call_that_the_ledger_cannot_pay_is_the_last(
    agent, platform_key, fund, usage_row, account
):
    platform_key("openai")
    fund(1)
    tamper("UPDATE billing_wallet SET posted_micros = 20000000")
    answer = agent.post(CHAT.path, CHAT.body())
    assert answer.status_code == 200
    row = usage_row(answer.headers["x-request-id"])
    assert (row.charged_micros, row.market_micros > 1) == (0, True)
    until = time.monotonic() + 10
    while wallet_of(account.pk).frozen_at is None:
        assert time.monotonic() < until, "it is paid from"
        time.sleep(0.02)
    assert agent.post(CHAT.path, CHAT.body()).status_code == 403
    lapse(row.request_id)
    assert holds.sweep() == 1


LAST = uuid.UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")


def test_with_the_audit_log_altered_too_it_is_frozen_and_the_others_are_looked_at(
    payer, organization
):
    last = Payer(LAST)
    credited(last.account_id, 100)
    write(organization)
    tamper_with_log(organization, "DELETE FROM orgs_audithead WHERE {mine}")
    tamper(changed(WALLET, "posted_micros = 9999"), account=payer.account_id)
    tamper(changed(WALLET, "posted_micros = 99"), account=last.account_id)
    reconcile_task()
    assert Reconciliation.objects.get().done_at is not None
    for each in (payer, last):
        with pytest.raises(Frozen):
            each.reserve(1)
    assert not AuditEvent.objects.filter(
        account_id=payer.account_id, event="billing.wallet.frozen"
    ).exists()


def test_a_balance_that_cannot_be_frozen_keeps_no_other_from_it(payer):
    last = Payer(LAST)
    credited(last.account_id, 100)
    tamper(changed(WALLET, "posted_micros = 9999"), account=payer.account_id)
    tamper(changed(WALLET, "posted_micros = 99"), account=last.account_id)
    tamper(THAWED_FOR_EVER[connection.vendor], account=payer.account_id)
    found = reconcile()
    assert found.is_complete
    assert {drift.account_id for drift in found.drifts} == {payer.account_id, last.account_id}
    assert wallet_of(payer.account_id).frozen_at is None
    with pytest.raises(Frozen):
        last.reserve(1)


#: The database refuses to have that balance frozen.
THAWED_FOR_EVER = {
    "postgresql": f"""
        ALTER TABLE {WALLET} ADD CONSTRAINT thawed
        CHECK (frozen_at IS NULL OR account_id <> {{account}})
    """,
    "sqlite": f"""
        CREATE TRIGGER thawed BEFORE UPDATE OF frozen_at ON {WALLET}
        WHEN OLD.account_id = {{account}} BEGIN SELECT RAISE(ABORT, 'It stays as it is.'); END
    """,
}


@pytest.mark.django_db(transaction=True)
def test_an_edit_is_found_while_calls_go_on(payer, bystander):
    def draw() -> None:
        for _ in range(10):
            bystander.call(2, 1)
            lapse(bystander.reserve(1))

    tamper(EDITS["what the wallet holds"][0], account=payer.account_id)
    *_, found = at_once(draw, draw, lambda: reconcile().drifts)
    assert isinstance(found, list)
    assert {drift.account_id for drift in found} == {payer.account_id}
    assert wallet_of(bystander.account_id).frozen_at is None
