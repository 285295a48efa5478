"""The vault: provider secrets are sealed here before they reach the database.

    blob = seal(Secret("sk-…"), context)
    unseal(blob, context).reveal()

`context` names the row a secret belongs to; its blob opens nowhere else. Models use the vault
through `byok.fields.EncryptedField`. docs/vault.md is the operator's page.
"""

from byok.vault.context import Context
from byok.vault.envelope import rewrap, seal, unseal
from byok.vault.errors import CannotSeal, KeyInUse, KeyringError, Reason, Unsealable, VaultError
from byok.vault.register import fingerprint, verify_keyring
from byok.vault.secret import Secret, hint

__all__ = [
    "CannotSeal",
    "Context",
    "KeyInUse",
    "KeyringError",
    "Reason",
    "Secret",
    "Unsealable",
    "VaultError",
    "fingerprint",
    "hint",
    "rewrap",
    "seal",
    "unseal",
    "verify_keyring",
]
