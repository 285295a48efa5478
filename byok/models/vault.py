from django.db import models


class VaultKey(models.Model):
    """The register of key-encryption keys this database has been sealed under, by key id.

    The check value proves that a configured key is the one meant, without saying anything of it.
    """

    key_id = models.CharField(primary_key=True, max_length=32)
    check_value = models.BinaryField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.key_id
