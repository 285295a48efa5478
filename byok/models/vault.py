from django.db import models


class VaultKey(models.Model):
    """The register of key-encryption keys this database has been sealed under, by key id.

    `check_value` is the vault's root secret sealed under that key: a configured key that opens it
    is the one meant, and every key in the register opens to the same root (byok/vault/register.py).
    """

    key_id = models.CharField(primary_key=True, max_length=32)
    check_value = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    reencrypted_up_to = models.CharField(
        max_length=200, blank=True, help_text="Where an unfinished `vault reencrypt` has got to."
    )

    def __str__(self) -> str:
        return self.key_id
