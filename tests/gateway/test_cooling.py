"""How long a key is passed over, however it came to that."""

import time
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from megabrain.gateway.cooling import Cooling


@dataclass
class Held:
    id: UUID = field(default_factory=uuid4)
    provider: str = "openai"
    host: str = ""
    enabled: bool = True
    trouble: None = None
    health: str = "works"
    health_at: None = None
    lacking: frozenset[str] = frozenset()


def test_a_provider_may_fail_for_ever():
    cooling, key = Cooling(), Held()
    for _ in range(2000):
        cooling.failed(key)
    assert cooling.cools(key.id)
    cooling.worked(key)
    assert not cooling.cools(key.id)


def test_a_fault_does_not_shorten_the_pause_that_a_provider_asked_for():
    cooling, key = Cooling(), Held()
    cooling.limited(key.id, 60)
    # By itself it is a reason to pause for a second.
    cooling.failed(key)
    time.sleep(1.05)
    assert cooling.cools(key.id)
