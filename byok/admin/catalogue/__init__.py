"""The catalogue: what staff say of it, what waits for them, and where it comes from.

What staff say here stays when its sources tell something else, until they take it back.
"""

from byok.admin.catalogue import change_sets, models, offerings, prices, sources

__all__ = ["change_sets", "models", "offerings", "prices", "sources"]
