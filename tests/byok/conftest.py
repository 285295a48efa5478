"""Provider keys for the tests of this app."""

import pytest

from byok.actions import add_key
from byok.models import ProviderKey
from byok.vault import Secret
from orgs.models import Account, User
from orgs.origin import Origin

ANTHROPIC_SECRET = "sk-ant-api03-sim-ok-0123456789abcdefghij"
OPENAI_SECRET = "sk-proj-sim-ok-0123456789abcdefghijklmnop"


@pytest.fixture
def anthropic_key(owner: User, account: Account) -> ProviderKey:
    """The owner's key for Anthropic, never tested."""
    return add_key(
        actor=owner,
        account=account,
        provider="anthropic",
        secret=Secret(ANTHROPIC_SECRET),
        origin=Origin(),
    )
