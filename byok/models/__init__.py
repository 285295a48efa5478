"""Provider keys and their tests, the vault's key register, and the model catalogue."""

from byok.models.catalogue import CatalogModel, CatalogueLoad, Offering, Price, Source
from byok.models.keys import KeyTest, ProviderKey
from byok.models.vault import VaultKey

__all__ = [
    "CatalogModel",
    "CatalogueLoad",
    "KeyTest",
    "Offering",
    "Price",
    "ProviderKey",
    "Source",
    "VaultKey",
]
