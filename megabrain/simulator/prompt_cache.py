"""How much of a prompt was seen before, per key: whole messages from the start, as providers do."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b


class PromptCache:
    def __init__(self, capacity: int = 20_000) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._capacity = capacity

    def tokens(self, key: str, parts: Sequence[bytes]) -> int:
        """Tokens of the longest run of leading parts that this key sent before. Remembers all."""
        seen = 0
        length = 0
        digest = blake2b(key.encode(), digest_size=16)
        for part in parts:
            digest.update(part)
            length += len(part)
            prefix = digest.digest()
            if prefix in self._seen:
                seen = length
                self._seen.move_to_end(prefix)
            else:
                self._seen[prefix] = None
        while len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return seen // 4

    def clear(self) -> None:
        self._seen.clear()
