"""MegaBrain's own provider keys, and balances that pay for what they serve."""

import time
import uuid
from collections.abc import Callable
from typing import Protocol
from uuid import UUID

import pytest

from billing import ledger
from billing.models import Hold, LedgerEntry, Wallet
from orgs.models import Account, User
from tests.gateway_fixture import AddKey

DOLLAR = 1_000_000


class Fund(Protocol):
    def __call__(self, micros: int = 20 * DOLLAR, account: Account | None = None) -> Wallet: ...


@pytest.fixture
def platform_key(key: AddKey, staff: User) -> AddKey:
    """Adds a key of MegaBrain's own, as staff do: `platform_key("openai", "429")`."""
    return lambda provider, word="ok", **options: key(
        provider, word, actor=staff, account=Account.objects.platform(), **options
    )


@pytest.fixture
def fund(account: Account) -> Fund:
    """Grants credit to the owner's account, or to another."""

    def grant(micros: int = 20 * DOLLAR, account: Account | None = account) -> Wallet:
        assert account is not None
        ledger.credit(
            account_id=account.pk,
            kind=LedgerEntry.Kind.GRANT,
            amount_micros=micros,
            idempotency_key=f"test:{uuid.uuid4()}",
        )
        return Wallet.objects.get(pk=account.pk)

    return grant


@pytest.fixture
def balance(account: Account, fund: Fund) -> Callable[[int], None]:
    """Brings the balance of the owner's account to so many micro-dollars."""

    def bring(to_micros: int) -> None:
        fund(to_micros + 1)
        ledger.debit(
            account_id=account.pk,
            kind=LedgerEntry.Kind.REFUND,
            amount_micros=Wallet.objects.get(pk=account.pk).posted_micros - to_micros,
            idempotency_key=f"test:{uuid.uuid4()}",
        )

    return bring


@pytest.fixture
def settled_wallet(account: Account) -> Callable[..., Wallet]:
    """The wallet once nothing is set aside any more."""

    def settled(account_id: UUID = account.pk, within: float = 10) -> Wallet:
        until = time.monotonic() + within
        while Hold.objects.open().exists():
            assert time.monotonic() < until, "a hold stays open"
            time.sleep(0.02)
        wallet = Wallet.objects.get(pk=account_id)
        assert wallet.held_micros == 0
        return wallet

    return settled
