"""S17: posted − held ≥ 0, held = Σ open holds, posted = Σ ledger, and a hold resolves once.

A model of three accounts and two tokens, one of which is used in all of them, is put beside the
real one and taken through whatever hypothesis thinks of.
"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import pytest
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from billing import holds, ledger
from billing.holds import LimitReached, Resolution
from billing.ledger import KeyReused, NotEnough
from billing.models import Hold, LedgerEntry, Spending, Wallet
from billing.reconciling import reconcile
from tests.billing.wallets import Payer, credited, lapse, wallet_of
from tests.together import at_once
from tests.vaults import count_from

STEPS = count_from("S17_STEPS", 25)
EXAMPLES = count_from("S17_EXAMPLES", 10)
RACES = count_from("RACES", 8)

Of = Spending.Of
Kind = LedgerEntry.Kind

ACCOUNTS = [uuid.UUID(int=number) for number in (1, 2, 3)]
USER = uuid.UUID(int=10)
TOKENS = [uuid.UUID(int=number) for number in (20, 21)]
PAYERS = [Payer(account_id, USER, token_id) for account_id in ACCOUNTS for token_id in TOKENS]
NOW = timezone.now()
#: Three days, of two months or one.
MOMENTS = [NOW, NOW - timedelta(days=1), NOW - timedelta(days=20)]


@dataclass
class Call:
    """A hold as the model has it; `charged` None while it is open."""

    payer: Payer
    amount: int
    at: datetime
    charged: int | None = None


@dataclass
class Books:
    """What should be so."""

    posted: dict[uuid.UUID, int] = field(default_factory=lambda: dict.fromkeys(ACCOUNTS, 0))
    entries: dict[uuid.UUID, int] = field(default_factory=lambda: dict.fromkeys(ACCOUNTS, 0))
    calls: dict[uuid.UUID, Call] = field(default_factory=dict)

    def held(self, account_id: uuid.UUID) -> int:
        return sum(
            call.amount
            for call in self.calls.values()
            if call.charged is None and call.payer.account_id == account_id
        )

    def counted(self, of: Of, payer: Payer, at: datetime) -> int:
        """Held and spent, of the payer's token in the month or of its member in the day."""
        return sum(
            call.amount if call.charged is None else call.charged
            for call in self.calls.values()
            if holds.period(of, call.at) == holds.period(of, at)
            and (
                call.payer.token_id == payer.token_id
                if of == Of.TOKEN
                else call.payer.account_id == payer.account_id
            )
        )

    def post(self, account_id: uuid.UUID, micros: int) -> None:
        self.posted[account_id] += micros
        self.entries[account_id] += 1


micros = st.integers(1, 400) | st.integers(1, ledger.MOST_MICROS // 10**6)
limits = st.none() | st.integers(0, 1500)


class Money(RuleBasedStateMachine):
    requests = Bundle("requests")
    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.books = Books()
        self.said: dict[str, tuple[uuid.UUID, int]] = {}

    @rule(target=keys, account_id=st.sampled_from(ACCOUNTS), amount=micros, debit=st.booleans())
    def change(self, account_id: uuid.UUID, amount: int, debit: bool) -> str:
        key = f"key:{len(self.said)}"
        self.post(key, account_id, -amount if debit else amount)
        return key

    def post(self, key: str, account_id: uuid.UUID, amount: int) -> None:
        do = partial(
            ledger.debit if amount < 0 else ledger.credit,
            account_id=account_id,
            kind=Kind.SUBSCRIPTION if amount < 0 else Kind.GRANT,
            amount_micros=abs(amount),
            idempotency_key=key,
        )
        if key in self.said:
            if self.said[key] == (account_id, amount):
                do()
            else:
                with pytest.raises(KeyReused):
                    do()
        elif self.books.posted[account_id] - self.books.held(account_id) + amount < 0:
            with pytest.raises(NotEnough):
                do()
        else:
            do()
            self.said[key] = account_id, amount
            self.books.post(account_id, amount)

    @rule(key=keys, account_id=st.sampled_from(ACCOUNTS), amount=micros)
    def use_a_key_again(self, key: str, account_id: uuid.UUID, amount: int) -> None:
        self.post(key, account_id, amount)
        if key in self.said:
            self.post(key, *self.said[key])

    @rule(
        target=requests,
        payer=st.sampled_from(PAYERS),
        amount=st.just(0) | micros,
        at=st.sampled_from(MOMENTS),
        token_limit=limits,
        member_limit=limits,
    )
    def reserve(
        self,
        payer: Payer,
        amount: int,
        at: datetime,
        token_limit: int | None,
        member_limit: int | None,
    ) -> uuid.UUID:
        do = partial(
            payer.reserve, amount, at=at, token_limit=token_limit, member_limit=member_limit
        )
        books, account_id = self.books, payer.account_id
        has_wallet = Wallet.objects.filter(pk=account_id).exists()
        # What is free needs no balance.
        lacks_wallet = amount > 0 and not has_wallet
        if lacks_wallet or books.posted[account_id] - books.held(account_id) < amount:
            with pytest.raises(NotEnough):
                do()
            return uuid.uuid4()
        for of, limit in ((Of.TOKEN, token_limit), (Of.MEMBER, member_limit)):
            if limit is not None and books.counted(of, payer, at) + amount > limit:
                with pytest.raises(LimitReached) as refused:
                    do()
                assert refused.value.spender.of == of
                assert refused.value.left_micros == max(0, limit - books.counted(of, payer, at))
                return uuid.uuid4()
        request_id = do()
        books.calls[request_id] = Call(payer, amount, at)
        return request_id

    @rule(chosen=st.lists(requests, max_size=4, unique=True), cost=st.none() | st.integers(0, 600))
    def resolve(self, chosen: list[uuid.UUID], cost: int | None) -> None:
        calls = {each: self.books.calls[each] for each in chosen if each in self.books.calls}
        charged = holds.resolve(
            [Resolution(id_, call.payer.account_id, cost) for id_, call in calls.items()]
        )
        for id_, call in calls.items():
            if call.charged is None:
                call.charged = min(cost or 0, call.amount)
                if call.charged:
                    self.books.post(call.payer.account_id, -call.charged)
            assert charged[id_] == call.charged

    @rule(chosen=st.lists(requests, max_size=3, unique=True), alive=st.booleans())
    def sweep(self, chosen: list[uuid.UUID], alive: bool) -> None:
        lapse(*chosen)
        lapsed = [
            self.books.calls[each]
            for each in chosen
            if each in self.books.calls and self.books.calls[each].charged is None
        ]
        if alive:
            assert holds.renew(chosen) == len(lapsed)
            assert holds.sweep() == 0
        else:
            assert holds.sweep() == len(lapsed)
            for call in lapsed:
                call.charged = 0

    @rule(request=consumes(requests))
    def forget(self, request: uuid.UUID) -> None:
        """Whoever has its id is gone: nothing more happens to it."""

    @invariant()
    def adds_up(self) -> None:
        for account_id in ACCOUNTS:
            entries = list(LedgerEntry.objects.filter(account_id=account_id).order_by("number"))
            wallet = Wallet.objects.filter(pk=account_id).first() or Wallet(account_id=account_id)
            assert wallet.posted_micros == sum(entry.amount_micros for entry in entries)
            assert wallet.posted_micros == self.books.posted[account_id]
            assert wallet.entries == len(entries) == self.books.entries[account_id]
            assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
            opened = Hold.objects.open().filter(account_id=account_id)
            assert wallet.held_micros == (opened.aggregate(sum=Sum("amount_micros"))["sum"] or 0)
            assert wallet.held_micros == self.books.held(account_id)
            assert wallet.available_micros >= 0

    @invariant()
    def is_counted(self) -> None:
        for payer in PAYERS:
            for at in MOMENTS:
                for of, spender in zip((Of.TOKEN, Of.MEMBER), payer.spenders(), strict=True):
                    counter = holds.counters_of(spender, at).first() or Spending()
                    total = counter.spent_micros + counter.held_micros
                    assert total == self.books.counted(of, payer, at)

    def teardown(self) -> None:
        assert reconcile().drifts == []


@pytest.mark.django_db
def test_whatever_is_done_the_books_agree():
    class Rolled(Money):
        """Each example begins with empty books."""

        def __init__(self) -> None:
            self.whole = transaction.atomic()
            self.whole.__enter__()
            super().__init__()

        def teardown(self) -> None:
            try:
                super().teardown()
            finally:
                transaction.set_rollback(True)
                self.whole.__exit__(None, None, None)

    test = Rolled.TestCase
    test.settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    test().runTest()


@pytest.mark.django_db(transaction=True)
def test_of_settling_releasing_and_sweeping_at_once_one_wins():
    payer = Payer()
    credited(payer.account_id, 10_000)
    expected = 10_000
    for _ in range(RACES):
        request_id = payer.reserve(100)
        lapse(request_id)
        *charged, _ = at_once(
            partial(payer.resolve, request_id, 30),
            partial(payer.resolve, request_id, 40),
            partial(payer.resolve, request_id, None),
            holds.sweep,
        )
        hold = Hold.objects.get(pk=request_id)
        assert hold.state != Hold.State.OPEN
        # All are told the same: what it came to.
        assert set(charged) == {hold.charged_micros or 0}
        expected -= hold.charged_micros or 0
        wallet = wallet_of(payer.account_id)
        assert (wallet.posted_micros, wallet.held_micros) == (expected, 0)
    assert reconcile().drifts == []


@pytest.mark.django_db(transaction=True)
def test_reserving_settling_crediting_and_sweeping_at_once_add_up():
    payers = [Payer(token_id=TOKENS[0], user_id=USER) for _ in range(3)]
    for payer in payers:
        credited(payer.account_id, 1000)

    def draw(payer: Payer) -> None:
        for number in range(RACES):
            try:
                payer.call(60, number)
                lapse(payer.reserve(60))
            except NotEnough:
                pass
            credited(payer.account_id, 1)

    at_once(*[partial(draw, payer) for payer in payers * 2], *[holds.sweep] * 2)
    holds.sweep()
    assert not Hold.objects.open().exists()
    assert reconcile().drifts == []
