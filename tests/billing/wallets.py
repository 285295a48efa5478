"""Balances for tests, calls that draw on them, and somebody with all rights over the database."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection
from django.utils import timezone

from billing import holds, ledger
from billing.holds import Resolution, Spender
from billing.models import Hold, LedgerEntry, Spending, Wallet
from tests.database.management.commands.flush import unprotected


def credited(account_id: uuid.UUID, micros: int) -> Wallet:
    ledger.credit(
        account_id=account_id,
        kind=LedgerEntry.Kind.GRANT,
        amount_micros=micros,
        idempotency_key=f"test:{uuid.uuid4()}",
    )
    return wallet_of(account_id)


def wallet_of(account_id: uuid.UUID) -> Wallet:
    return Wallet.objects.get(pk=account_id)


@dataclass(frozen=True)
class Payer:
    """Whose calls they are."""

    account_id: uuid.UUID = field(default_factory=uuid.uuid4)
    user_id: uuid.UUID = field(default_factory=uuid.uuid4)
    token_id: uuid.UUID = field(default_factory=uuid.uuid4)

    def spenders(
        self, token_limit: int | None = None, member_limit: int | None = None
    ) -> tuple[Spender, Spender]:
        return (
            Spender(Spending.Of.TOKEN, None, self.token_id, token_limit),
            Spender(Spending.Of.MEMBER, self.account_id, self.user_id, member_limit),
        )

    def reserve(
        self,
        micros: int,
        *,
        at: datetime | None = None,
        token_limit: int | None = None,
        member_limit: int | None = None,
    ) -> uuid.UUID:
        request_id = uuid.uuid4()
        holds.reserve(
            request_id=request_id,
            account_id=self.account_id,
            user_id=self.user_id,
            token_id=self.token_id,
            amount_micros=micros,
            spenders=self.spenders(token_limit, member_limit),
            at=at or timezone.now(),
        )
        return request_id

    def resolve(self, request_id: uuid.UUID, cost_micros: int | None) -> int:
        return holds.resolve([Resolution(request_id, self.account_id, cost_micros)])[request_id]

    def call(self, micros: int, cost_micros: int | None) -> uuid.UUID:
        request_id = self.reserve(micros)
        self.resolve(request_id, cost_micros)
        return request_id

    def counted(self, of: Spending.Of) -> tuple[int, int]:
        """Held and spent, of all periods."""
        subject = self.token_id if of == Spending.Of.TOKEN else self.user_id
        rows = Spending.objects.filter(of=of, subject_id=subject)
        return sum(row.held_micros for row in rows), sum(row.spent_micros for row in rows)


def lapse(*request_ids: uuid.UUID) -> None:
    """As if the processes that serve these calls had died a while ago, and been missed."""
    before = timezone.now() - holds.LEASE
    Hold.objects.filter(pk__in=request_ids).update(lease_until=before, noticed_at=before)


def tamper(*statements: str, **ids: uuid.UUID) -> None:
    """As the database's owner, past all protection; `{name}` is that id as the database has it."""
    known = {
        name: f"'{id_}'" if connection.vendor == "postgresql" else f"'{id_.hex}'"
        for name, id_ in ids.items()
    }
    with unprotected(connection), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement.format(**known))
