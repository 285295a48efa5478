"""What the tests of the site's pages have in common."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import UsageRecord
from billing.usage import record_usage
from byok.models import ProviderKey
from byok.vault import Secret
from orgs.models import Account

MakeKey = Callable[..., ProviderKey]
MakeCall = Callable[..., UsageRecord]


@pytest.fixture
def make_key(account: Account) -> MakeKey:
    def make(provider: str = "anthropic", **fields: Any) -> ProviderKey:
        secret = Secret(f"sk-{provider}-sim-ok-0123456789abcdef")
        return ProviderKey.objects.create(
            account=account, provider=provider, secret=secret, hint="sk-…cdef", **fields
        )

    return make


@pytest.fixture
def make_call(account: Account) -> MakeCall:
    def make(*, days_ago: int = 0, **fields: Any) -> UsageRecord:
        values = {
            "account_id": account.id,
            "endpoint": "messages",
            "model": "anthropic/claude-sonnet-5.5",
            "provider": "anthropic",
            "payer": "byok",
            "status": 200,
            "outcome": "ok",
            "latency_ms": 1234,
            "created_at": timezone.now() - timedelta(days=days_ago),
            **fields,
        }
        record = UsageRecord(**values)
        assert not record_usage([record])
        return UsageRecord.objects.get(request_id=record.request_id)

    return make
