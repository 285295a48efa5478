"""Money set aside for calls: within balance and limits, settled or released once, swept."""

import uuid
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.utils import timezone
from structlog.testing import capture_logs

from billing import holds
from billing.actions import freeze, unfreeze
from billing.holds import LimitReached, Resolution
from billing.ledger import MOST_MICROS, Frozen, NotEnough
from billing.mending import mend
from billing.models import Hold, LedgerEntry, Spending
from orgs.origin import Origin
from tests.billing.wallets import Payer, credited, lapse, tamper, wallet_of
from tests.together import at_once

Of = Spending.Of
State = Hold.State

pytestmark = pytest.mark.django_db


@pytest.fixture
def payer(db) -> Payer:
    payer = Payer()
    credited(payer.account_id, 1000)
    return payer


def figures(payer: Payer) -> tuple[int, int]:
    wallet = wallet_of(payer.account_id)
    return wallet.posted_micros, wallet.held_micros


def test_a_call_is_charged_what_it_cost_and_the_rest_is_free_again(payer):
    request_id = payer.reserve(300)
    assert figures(payer) == (1000, 300)
    assert payer.resolve(request_id, 120) == 120
    assert figures(payer) == (880, 0)
    entry = LedgerEntry.objects.get(kind="usage")
    assert (entry.amount_micros, entry.idempotency_key) == (-120, f"request:{request_id}")


@pytest.mark.parametrize("cost", [None, 0])
def test_a_call_that_costs_nothing_leaves_no_entry(payer, cost):
    request_id = payer.reserve(300)
    assert payer.resolve(request_id, cost) == 0
    assert figures(payer) == (1000, 0)
    assert not LedgerEntry.objects.filter(kind="usage").exists()
    state = State.RELEASED if cost is None else State.SETTLED
    assert Hold.objects.get(pk=request_id).state == state


def test_a_call_is_never_charged_beyond_what_was_set_aside(payer):
    request_id = payer.reserve(300)
    assert payer.resolve(request_id, 301) == 300
    assert figures(payer) == (700, 0)


def test_a_hold_is_resolved_once(payer):
    request_id = payer.reserve(300)
    payer.resolve(request_id, 120)
    assert payer.resolve(request_id, None) == 120
    assert payer.resolve(request_id, 300) == 120
    assert figures(payer) == (880, 0)
    assert payer.counted(Of.TOKEN) == (0, 120)


def test_many_calls_of_several_accounts_end_together(payer):
    other = Payer(token_id=payer.token_id)
    credited(other.account_id, 50)
    mine, theirs, third = payer.reserve(10), other.reserve(20), payer.reserve(30)
    charged = holds.resolve(
        [
            Resolution(mine, payer.account_id, 7),
            Resolution(theirs, other.account_id, None),
            Resolution(third, payer.account_id, 30),
            Resolution(uuid.uuid4(), payer.account_id, 5),
        ]
    )
    assert charged == {mine: 7, theirs: 0, third: 30}
    assert figures(payer) == (963, 0)
    assert figures(other) == (50, 0)
    assert payer.counted(Of.TOKEN) == (0, 37)


def test_without_enough_nothing_is_set_aside(payer):
    payer.reserve(600)
    with pytest.raises(NotEnough) as refused:
        payer.reserve(401)
    assert refused.value.available_micros == 400
    assert figures(payer) == (1000, 600)
    assert payer.counted(Of.TOKEN) == payer.counted(Of.MEMBER) == (600, 0)
    payer.reserve(400)


def test_whoever_has_no_wallet_has_nothing():
    with pytest.raises(NotEnough) as refused:
        Payer().reserve(1)
    assert refused.value.available_micros == 0


def test_what_is_free_needs_no_wallet():
    payer = Payer()
    payer.resolve(payer.reserve(0), 0)
    assert figures(payer) == (0, 0)


@pytest.mark.parametrize("micros", [MOST_MICROS + 1, 2**63, 2**80])
def test_what_no_balance_can_have_is_simply_too_much(payer, micros):
    with pytest.raises(NotEnough):
        payer.reserve(micros)
    assert figures(payer) == (1000, 0)


def test_nobody_sets_aside_or_charges_less_than_nothing(payer):
    with pytest.raises(ValueError, match="for nothing"):
        payer.reserve(-1)
    with pytest.raises(ValueError, match="costs nothing"):
        Resolution(uuid.uuid4(), payer.account_id, -1)
    assert figures(payer) == (1000, 0)


def test_a_call_counts_towards_its_token_and_its_member_and_nobody_else(payer):
    given = {
        "request_id": uuid.uuid4(),
        "account_id": payer.account_id,
        "user_id": payer.user_id,
        "token_id": payer.token_id,
        "amount_micros": 1,
        "at": timezone.now(),
    }
    token, member = payer.spenders()
    for spenders in ([token], [member, token], [*Payer().spenders()], []):
        with pytest.raises(ValueError, match="its token and its member"):
            holds.reserve(**given, spenders=spenders)
    assert figures(payer) == (1000, 0)


def test_from_a_frozen_balance_nothing_is_set_aside_and_calls_under_way_are_charged(payer, staff):
    under_way = payer.reserve(10)
    freeze(actor=None, account_id=payer.account_id, why="drift", origin=Origin())
    with pytest.raises(Frozen, match="drift"):
        payer.reserve(1)
    assert payer.resolve(under_way, 4) == 4
    unfreeze(actor=staff, wallet=wallet_of(payer.account_id), origin=Origin())
    payer.reserve(1)


# Limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["token_limit", "member_limit"])
def test_a_limit_counts_what_is_set_aside_and_what_was_spent(payer, limit):
    within = {limit: 100}
    first = payer.reserve(60, **within)
    with pytest.raises(LimitReached) as refused:
        payer.reserve(41, **within)
    assert refused.value.left_micros == 40
    assert figures(payer) == (1000, 60)
    payer.resolve(first, 20)
    payer.reserve(80, **within)
    with pytest.raises(LimitReached):
        payer.reserve(1, **within)


def test_a_limit_that_comes_later_counts_what_was_spent_before(payer):
    payer.call(60, 60)
    with pytest.raises(LimitReached):
        payer.reserve(41, token_limit=100)
    payer.reserve(40, token_limit=100)


def test_a_limit_of_nothing_lets_nothing_through(payer):
    with pytest.raises(LimitReached) as refused:
        payer.reserve(1, member_limit=0)
    assert refused.value.left_micros == 0


def test_a_limit_of_the_member_that_refuses_leaves_the_token_s_untouched(payer):
    with pytest.raises(LimitReached):
        payer.reserve(10, token_limit=100, member_limit=9)
    payer.reserve(100, token_limit=100)


def test_a_token_s_month_is_one_for_all_accounts_that_it_is_used_in(payer):
    elsewhere = Payer(token_id=payer.token_id, user_id=payer.user_id)
    credited(elsewhere.account_id, 1000)
    payer.reserve(60, token_limit=100)
    with pytest.raises(LimitReached):
        elsewhere.reserve(41, token_limit=100)
    # A member's day is of one account.
    elsewhere.reserve(40, token_limit=100, member_limit=40)


def test_what_a_member_spends_in_one_account_is_not_counted_in_another(payer):
    elsewhere = Payer(user_id=payer.user_id)
    credited(elsewhere.account_id, 1000)
    payer.reserve(100, member_limit=100)
    elsewhere.reserve(100, member_limit=100)


LAST_MOMENT = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def test_at_midnight_of_utc_a_day_and_a_month_begin(payer):
    limits = {"token_limit": 100, "member_limit": 100}
    payer.reserve(100, at=LAST_MOMENT, **limits)
    with pytest.raises(LimitReached):
        payer.reserve(1, at=LAST_MOMENT, **limits)
    payer.reserve(100, at=LAST_MOMENT + timedelta(microseconds=1), **limits)


def test_a_moment_counts_in_its_period_of_utc_wherever_it_was_written(payer):
    elsewhere = LAST_MOMENT.astimezone(datetime.now().astimezone().tzinfo)
    request_id = payer.reserve(1, at=elsewhere)
    periods = {row.of: row.period.isoformat() for row in Spending.objects.all()}
    assert periods == {"token": "2026-01-01", "member": "2026-01-31"}
    payer.resolve(request_id, 1)
    assert payer.counted(Of.TOKEN) == payer.counted(Of.MEMBER) == (0, 1)


def test_a_call_that_ends_in_the_next_month_counts_in_that_in_which_it_began(payer):
    request_id = payer.reserve(100, at=LAST_MOMENT)
    payer.resolve(request_id, 30)
    month = Spending.objects.get(of=Of.TOKEN)
    assert (month.period.isoformat(), month.held_micros, month.spent_micros) == (
        "2026-01-01",
        0,
        30,
    )


# Leases --------------------------------------------------------------------------------------


def test_the_holds_of_a_process_that_died_are_released(payer):
    dead, alive, done = payer.reserve(10), payer.reserve(20), payer.call(30, 5)
    lapse(dead, done)
    assert holds.sweep() == 1
    assert holds.sweep() == 0
    assert figures(payer) == (995, 20)
    assert payer.counted(Of.MEMBER) == (20, 5)
    assert Hold.objects.get(pk=alive).state == State.OPEN


def test_a_lease_that_is_renewed_goes_on(payer):
    request_id = payer.reserve(10)
    lapse(request_id)
    assert holds.renew([request_id, payer.call(1, 1), uuid.uuid4()]) == 1
    assert holds.sweep() == 0
    assert Hold.objects.get(pk=request_id).lease_until > timezone.now()


def test_a_hold_is_released_by_a_sweep_after_one_that_noticed_it(payer):
    """Where the database was away for as long as a lease, whoever lives comes first."""
    request_id = payer.reserve(10)
    hold = Hold.objects.filter(pk=request_id)
    hold.update(lease_until=timezone.now() - timedelta(days=1))
    assert holds.sweep() == holds.sweep() == 0
    assert payer.resolve(request_id, 7) == 7
    request_id = payer.reserve(10)
    hold = Hold.objects.filter(pk=request_id)
    hold.update(lease_until=timezone.now() - timedelta(days=1))
    holds.sweep()
    hold.update(noticed_at=timezone.now() - holds.NOTICE)
    assert holds.sweep() == 1
    assert figures(payer) == (993, 0)


def test_whoever_renews_a_lease_has_not_been_missed(payer):
    request_id = payer.reserve(10)
    lapse(request_id)
    holds.renew([request_id])
    Hold.objects.filter(pk=request_id).update(lease_until=timezone.now() - timedelta(days=1))
    assert holds.sweep() == 0
    assert Hold.objects.get(pk=request_id).state == State.OPEN


def test_one_that_is_renewed_while_others_are_swept_is_left_alone(payer):
    request_id, now = payer.reserve(10), timezone.now()
    ended = Resolution(request_id, payer.account_id, None)
    assert holds.resolve([ended], lapsed_at=now) == {request_id: 0}
    assert Hold.objects.get(pk=request_id).state == State.OPEN
    holds.resolve([ended], lapsed_at=now + holds.LEASE * 2)
    assert Hold.objects.get(pk=request_id).state == State.RELEASED


def test_a_call_that_was_swept_is_charged_nothing_when_it_ends_after_all(payer):
    request_id = payer.reserve(10)
    lapse(request_id)
    holds.sweep()
    with capture_logs() as logs:
        assert payer.resolve(request_id, None) == 0
        assert payer.resolve(request_id, 10) == 0
    assert figures(payer) == (1000, 0)
    # Somebody has to know.
    assert [(each["event"], each["cost_micros"]) for each in logs] == [
        ("billing.hold.released", 10)
    ]


def test_more_than_fit_in_one_transaction_are_swept(payer, monkeypatch):
    monkeypatch.setattr(holds, "AT_ONCE", 3)
    lapse(*[payer.reserve(1) for _ in range(10)])
    assert holds.sweep() == 10
    assert figures(payer) == (1000, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_wallet SET held_micros = 1 WHERE account_id = {account}",
        "DELETE FROM billing_wallet WHERE account_id = {account}",
    ],
)
def test_what_somebody_has_altered_keeps_nobody_else_waiting(payer, monkeypatch, statement):
    monkeypatch.setattr(holds, "AT_ONCE", 3)
    altered = Payer()
    credited(altered.account_id, 1000)
    stuck = [altered.reserve(10) for _ in range(4)]
    sound = [payer.reserve(1) for _ in range(4)]
    tamper(statement, account=altered.account_id)
    lapse(*stuck, *sound)
    assert holds.sweep() == 4
    assert figures(payer) == (1000, 0)
    assert set(Hold.objects.open().values_list("pk", flat=True)) == set(stuck)
    assert wallet_of(altered.account_id).frozen_why.endswith("cannot be released")
    # They are left alone for a while, so that others are released at once again.
    with capture_logs() as logs:
        assert holds.sweep() == 0
    assert logs == []
    mend(account_id=altered.account_id, origin=Origin())
    Hold.objects.filter(pk__in=stuck).update(noticed_at=timezone.now() - holds.NOTICE)
    assert holds.sweep() == 4


# At the same moment --------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_calls_at_once_are_let_in_as_far_as_the_balance_goes(payer):
    results = at_once(*[partial(payer.reserve, 100)] * 16, refusals=(NotEnough,))
    assert sum(isinstance(result, uuid.UUID) for result in results) == 10
    assert figures(payer) == (1000, 1000)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limit", ["token_limit", "member_limit"])
def test_calls_at_once_exceed_no_limit(payer, limit):
    results = at_once(*[partial(payer.reserve, 10, **{limit: 50})] * 12, refusals=(LimitReached,))
    assert sum(isinstance(result, uuid.UUID) for result in results) == 5
    assert payer.counted(Of.TOKEN) == payer.counted(Of.MEMBER) == (50, 0)


@pytest.mark.django_db(transaction=True)
def test_a_token_exceeds_its_limit_in_no_two_accounts_at_once(payer):
    payers = [payer, *(Payer(token_id=payer.token_id) for _ in range(3))]
    for other in payers[1:]:
        credited(other.account_id, 1000)
    calls = [partial(each.reserve, 10, token_limit=70) for each in payers] * 3
    results = at_once(*calls, refusals=(LimitReached,))
    assert sum(isinstance(result, uuid.UUID) for result in results) == 7
    assert payer.counted(Of.TOKEN) == (70, 0)


@pytest.mark.django_db(transaction=True)
def test_batches_that_meet_on_tokens_and_holds_end_one_after_the_other(payer):
    """Renewing, settling, reserving and sweeping lock in one order."""
    payers = [payer, *(Payer(token_id=payer.token_id, user_id=payer.user_id) for _ in range(3))]
    for other in payers[1:]:
        credited(other.account_id, 100_000)
    for _ in range(4):
        open_ = [(each, each.reserve(5)) for each in payers for _ in range(6)]
        ids = [request_id for _, request_id in open_]
        forth = [Resolution(request_id, each.account_id, 2) for each, request_id in open_]
        at_once(
            partial(holds.resolve, forth),
            partial(holds.resolve, forth[::-1]),
            partial(holds.renew, ids),
            partial(holds.renew, ids[::-1]),
            *[partial(each.reserve, 1) for each in payers],
            holds.sweep,
        )
    assert payer.counted(Of.TOKEN) == (4 * 4, 4 * 24 * 2)
