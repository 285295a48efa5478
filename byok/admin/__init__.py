"""Provider keys, their tests and the model catalogue, for staff."""

from byok.admin import catalogue, keys

__all__ = ["catalogue", "keys"]
