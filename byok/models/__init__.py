"""Provider keys and their tests, the vault's key register, and the model catalogue."""

from byok.models.catalogue import (
    CatalogModel,
    CatalogueSource,
    CatalogueVersion,
    ChangeSet,
    Offering,
    Price,
    Source,
)
from byok.models.keys import Coverage, KeyNotice, KeyTest, ProviderKey
from byok.models.vault import VaultKey

__all__ = [
    "CatalogModel",
    "CatalogueSource",
    "CatalogueVersion",
    "ChangeSet",
    "Coverage",
    "KeyNotice",
    "KeyTest",
    "Offering",
    "Price",
    "ProviderKey",
    "Source",
    "VaultKey",
]
