"""A process that draws on balances until it is killed: `python -m tests.guarantees.draws <ids>`.

The ids are those of accounts; all calls are of one token and one member. It reserves, renews and
resolves as a gateway does, with usage records, and sweeps as a worker does.
"""

import os
import random
import sys
import uuid
from contextlib import suppress

import django

USER, TOKEN = uuid.UUID(int=10), uuid.UUID(int=20)
#: Of the calls that it has open at a time.
OPEN = 6


def main(account_ids: list[uuid.UUID]) -> None:
    from django.utils import timezone

    from billing import holds
    from billing.holds import Resolution
    from billing.ledger import NotEnough
    from billing.models import UsageRecord
    from billing.settling import settle
    from tests.billing.wallets import Payer, lapse

    def record(request_id: uuid.UUID, account_id: uuid.UUID) -> UsageRecord:
        return UsageRecord(
            request_id=request_id,
            account_id=account_id,
            user_id=USER,
            token_id=TOKEN,
            endpoint="messages",
            payer=UsageRecord.Payer.BALANCE,
            status=200,
            outcome="ok",
            latency_ms=1,
            created_at=timezone.now(),
        )

    opened: dict[uuid.UUID, uuid.UUID] = {}
    payers = [Payer(account_id, USER, TOKEN) for account_id in account_ids]
    while True:
        payer = random.choice(payers)
        with suppress(NotEnough):
            opened[payer.reserve(random.randint(1, 500))] = payer.account_id
        if random.random() < 0.3:
            holds.renew(opened)
        if random.random() < 0.1 and opened:
            lapse(next(iter(opened)))
            holds.sweep()
        if len(opened) >= OPEN:
            ends = [
                Resolution(request_id, account_id, random.choice([None, 0, 3, 200, 700]))
                for request_id, account_id in opened.items()
            ]
            settle([record(each.request_id, each.account_id) for each in ends], ends)
            opened.clear()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "megabrain.settings")
    django.setup()
    main([uuid.UUID(text) for text in sys.argv[1:]])
