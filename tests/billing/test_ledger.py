"""The ledger: what is added and taken, once, and never beyond what there is."""

import uuid
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from billing import ledger
from billing.actions import freeze
from billing.ledger import MOST_MICROS, Frozen, KeyReused, NotEnough, TooMuch, credit, debit
from billing.models import LedgerEntry, LedgerIsAppendOnly, Wallet
from orgs.origin import Origin
from tests.billing.wallets import credited, tamper, wallet_of
from tests.together import at_once, meanwhile

Kind = LedgerEntry.Kind
MINE, THEIRS = uuid.UUID(int=1), uuid.UUID(int=2)

pytestmark = pytest.mark.django_db


def add(micros: int, key: str = "", account_id: uuid.UUID = MINE, **also: object) -> LedgerEntry:
    given: dict[str, Any] = {
        "kind": Kind.GRANT,
        "idempotency_key": key or str(uuid.uuid4()),
        **also,
    }
    return credit(account_id=account_id, amount_micros=micros, **given)


def take(micros: int, key: str = "", account_id: uuid.UUID = MINE) -> LedgerEntry:
    return debit(
        account_id=account_id,
        kind=Kind.SUBSCRIPTION,
        amount_micros=micros,
        idempotency_key=key or str(uuid.uuid4()),
    )


def entries(account_id: uuid.UUID = MINE) -> list[tuple[int, int, int]]:
    rows = LedgerEntry.objects.filter(account_id=account_id).order_by("number")
    return list(rows.values_list("number", "amount_micros", "balance_micros"))


def test_each_entry_has_the_next_number_and_the_balance_after_it():
    add(100)
    take(30)
    add(5)
    add(7, account_id=THEIRS)
    assert entries() == [(1, 100, 100), (2, -30, 70), (3, 5, 75)]
    assert entries(THEIRS) == [(1, 7, 7)]
    wallet = wallet_of(MINE)
    assert (wallet.posted_micros, wallet.entries) == (75, 3)


def test_what_is_done_again_under_one_key_is_done_once():
    first = add(100, "a")
    assert add(100, "a") == first
    assert take(40, "b") == take(40, "b")
    assert entries() == [(1, 100, 100), (2, -40, 60)]


def test_what_took_the_last_of_it_is_done_and_not_refused_when_done_again():
    add(100)
    first = take(100, "b")
    assert take(100, "b") == first
    freeze(actor=None, account_id=MINE, why="drift", origin=Origin())
    assert take(100, "b") == first


@pytest.mark.parametrize(
    "other",
    [
        {"micros": 101},
        {"account_id": THEIRS},
        {"kind": Kind.TOP_UP},
        {"note": "another"},
    ],
)
def test_a_key_that_stood_for_something_else_is_refused(other):
    add(100, "a")
    with pytest.raises(KeyReused):
        add(other.pop("micros", 100), "a", **other)
    assert entries() == [(1, 100, 100)]
    assert entries(THEIRS) == []


def test_a_key_of_a_credit_is_none_of_a_debit():
    add(100, "a")
    with pytest.raises(KeyReused):
        debit(account_id=MINE, kind=Kind.GRANT, amount_micros=100, idempotency_key="a")


def test_no_more_is_taken_than_there_is():
    add(100)
    with pytest.raises(NotEnough) as refused:
        take(101)
    assert refused.value.available_micros == 100
    take(100)
    with pytest.raises(NotEnough):
        take(1, account_id=THEIRS)
    assert entries() == [(1, 100, 100), (2, -100, 0)]


@pytest.mark.parametrize("micros", [0, -1, MOST_MICROS + 1, 2**63, 2**64])
def test_an_amount_is_more_than_nothing_and_fits(micros):
    for change in (add, take):
        with pytest.raises(ValueError):  # noqa: PT011 -- each says it in its words.
            change(micros)
    assert not LedgerEntry.objects.exists()


def test_no_balance_grows_beyond_what_databases_and_json_can_count():
    add(MOST_MICROS)
    with pytest.raises(TooMuch):
        add(1)
    take(1)
    add(1)
    assert wallet_of(MINE).posted_micros == MOST_MICROS < 2**53


@pytest.mark.parametrize(("key", "note"), [("", ""), ("k" * 121, ""), ("k", "n" * 301)])
def test_a_key_or_note_that_one_database_would_refuse_both_refuse(key, note):
    with pytest.raises(ValueError, match="of 1 to 120 characters"):
        credit(account_id=MINE, kind=Kind.GRANT, amount_micros=1, idempotency_key=key, note=note)


def test_a_frozen_balance_takes_credit_and_gives_nothing():
    add(100)
    freeze(actor=None, account_id=MINE, why="drift", origin=Origin())
    with pytest.raises(Frozen, match="drift"):
        take(1)
    add(1)
    assert wallet_of(MINE).posted_micros == 101


def test_a_refused_debit_leaves_no_trace_in_the_transaction_around_it():
    with transaction.atomic():
        add(10)
        with pytest.raises(NotEnough):
            take(11)
        take(10)
    assert entries() == [(1, 10, 10), (2, -10, 0)]


# Nobody edits it ----------------------------------------------------------------------------


def test_an_entry_is_never_changed_or_removed_by_the_application():
    entry = add(100)
    rows = LedgerEntry.objects.all()
    for attempt in (
        entry.save,
        entry.delete,
        rows.delete,
        partial(rows.update, amount_micros=1),
        partial(rows.bulk_update, [entry], ["note"]),
        partial(rows.update_or_create, pk=entry.pk),
    ):
        with pytest.raises(LedgerIsAppendOnly):
            attempt()
    assert entries() == [(1, 100, 100)]


COPY = """
    (account_id, number, kind, amount_micros, balance_micros, idempotency_key, note, created_at)
    SELECT account_id, {}, kind, {}, {}, {}, note, created_at FROM billing_ledgerentry
    WHERE number = 1
"""
INSERT = "INSERT INTO billing_ledgerentry" + COPY


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_ledgerentry SET amount_micros = 1",
        "UPDATE billing_ledgerentry SET note = 'x'",
        "DELETE FROM billing_ledgerentry",
        "DELETE FROM billing_ledgerentry WHERE number = 2",
        "TRUNCATE billing_ledgerentry",
        "REPLACE INTO billing_ledgerentry" + COPY.format(3, 1, 91, "'a'"),
        INSERT.format(3, 1, 91, "'a'") + "ON CONFLICT (idempotency_key) DO UPDATE SET note = 'x'",
        INSERT.format(2, 1, 91, "'c'"),
        INSERT.format(4, 1, 91, "'c'"),
        INSERT.format(3, 1, 92, "'c'"),
        INSERT.format(3, 1, 1, "'c'"),
        INSERT.format(3, 0, 90, "'c'"),
        INSERT.format(3, -91, -1, "'c'"),
        INSERT.format(0, 1, 1, "'c'"),
    ],
)
def test_the_database_refuses_it_too_and_takes_only_the_next(statement):
    add(100, "a")
    take(10, "b")
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert entries() == [(1, 100, 100), (2, -10, 90)]


def test_the_database_takes_what_follows():
    add(100, "a")
    with connection.cursor() as cursor:
        cursor.execute(INSERT.format(2, 1, 101, "'b'"))
    assert entries() == [(1, 100, 100), (2, 1, 101)]


@pytest.mark.parametrize(
    ("posted", "held"), [(-1, 0), (0, 1), (100, -1)], ids=["below zero", "uncovered", "negative"]
)
def test_the_database_refuses_a_wallet_that_cannot_be(posted, held):
    with pytest.raises(DatabaseError), transaction.atomic():
        Wallet.objects.create(account_id=MINE, posted_micros=posted, held_micros=held)


# At the same moment --------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_credits_and_debits_at_once_are_all_counted():
    add(1000)
    at_once(*[lambda: add(7), lambda: take(5)] * 8)
    assert wallet_of(MINE).posted_micros == 1000 + 8 * 7 - 8 * 5
    assert [number for number, *_ in entries()] == list(range(1, 18))


@pytest.mark.django_db(transaction=True)
def test_the_first_credits_of_an_account_may_come_at_once():
    for number in range(5):
        account_id = uuid.uuid4()
        at_once(*[partial(add, 1 + number, account_id=account_id)] * 6)
        assert wallet_of(account_id).posted_micros == 6 * (1 + number)


@pytest.mark.django_db(transaction=True)
def test_debits_at_once_take_what_there_is_and_no_more():
    add(50)
    results = at_once(*[partial(take, 10)] * 12, refusals=(NotEnough,))
    assert sum(isinstance(result, LedgerEntry) for result in results) == 5
    assert wallet_of(MINE).posted_micros == 0


@pytest.mark.django_db(transaction=True)
def test_one_key_for_two_accounts_at_once_is_one_entry():
    results = at_once(
        partial(add, 5, "a"), partial(add, 5, "a", account_id=THEIRS), refusals=(KeyReused,)
    )
    assert {type(result) for result in results} == {LedgerEntry, KeyReused}
    assert LedgerEntry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_debit_waits_for_what_is_not_yet_committed():
    add(10)
    refused = meanwhile(partial(take, 6), partial(take, 6))
    assert isinstance(refused, NotEnough)
    assert wallet_of(MINE).posted_micros == 4


def test_a_wallet_is_made_when_first_asked_for():
    with transaction.atomic():
        assert ledger.locked_wallet(MINE).posted_micros == 0
    assert credited(MINE, 3).available_micros == 3


# Where somebody has altered the wallet ----------------------------------------------------------


@pytest.mark.parametrize("change", ["posted_micros = 999", "posted_micros = 9999", "entries = 7"])
def test_credit_is_added_to_what_is_in_the_ledger(change):
    add(1000)
    tamper(f"UPDATE billing_wallet SET {change}")
    before = wallet_of(MINE)
    add(5)
    assert entries() == [(1, 1000, 1000), (2, 5, 1005)]
    wallet = wallet_of(MINE)
    # The difference stays, for whoever compares them.
    assert wallet.posted_micros == before.posted_micros + 5
    assert wallet.entries == before.entries + 1


@pytest.mark.parametrize("posted", [400, 5000])
def test_what_is_taken_is_there_by_the_wallet_and_by_the_ledger(posted):
    add(1000)
    tamper(f"UPDATE billing_wallet SET posted_micros = {posted}")
    with pytest.raises(NotEnough) as refused:
        take(min(posted, 1000) + 1)
    assert refused.value.available_micros == min(posted, 1000)
    assert take(min(posted, 1000)).number == 2
