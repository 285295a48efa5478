"""Balances that a kept card tops up, and plans that are subscribed to."""

import pytest

from billing.models import AutoTopUp, Subscription
from orgs.models import Account, User
from tests.billing.subscribing import fund, stock, subscribed
from tests.billing.top_ups import keep_card, spend, turn_on
from tests.fake_stripe import FakeStripe
from tests.stripe_fixture import Deliver


@pytest.fixture
def kept(owner: User, account: Account, stripe: FakeStripe, deliver: Deliver) -> AutoTopUp:
    return keep_card(owner, account, stripe, deliver)


@pytest.fixture
def low(owner: User, account: Account, kept: AutoTopUp) -> AutoTopUp:
    """It is on, and $4 are left."""
    turn_on(owner, account)
    spend(account, 21)
    kept.refresh_from_db()
    return kept


@pytest.fixture
def in_stock(staff) -> None:
    stock(staff, 1)


@pytest.fixture
def subscription(owner, account, in_stock) -> Subscription:
    fund(account, 50)
    return subscribed(owner, account)
