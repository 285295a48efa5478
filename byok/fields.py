"""A model field that keeps a provider secret sealed.

Assign a `Secret` and save: the field seals it for this row, account and provider. What a query
loads is a `Sealed`, which `unseal()` opens. Neither shows anything but `***`.
"""

import asyncio
import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.core import checks
from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.lookups import Exact
from django.db.models.query_utils import DeferredAttribute

from byok.vault.context import Context
from byok.vault.envelope import opens_at_once, seal, unseal
from byok.vault.errors import Reason, Unsealable
from byok.vault.register import certified_root
from byok.vault.secret import MASK, Secret


@dataclass(frozen=True, slots=True, repr=False)
class Sealed:
    """A secret as the database holds it, and the row it belongs to."""

    blob: bytes
    context: Context | None = None
    stored: bool = False  # Whether the database has it already.

    def unseal(self) -> Secret:
        """The secret. Raises `Unsealable`.

        Costs some twenty microseconds; under a KMS key, now and then a round trip to it.
        """
        if self.context is None:
            raise TypeError("A sealed value opens only as an attribute of its row: load the row.")
        return unseal(self.blob, self.context)

    async def aunseal(self) -> Secret:
        """`unseal` for an event loop: in a thread if it has to wait for a key service."""
        if self.context is None or opens_at_once(self.blob, self.context):
            return self.unseal()
        return await asyncio.to_thread(self.unseal)

    def trouble(self) -> Reason | None:
        """Why it does not open, or None when it does."""
        try:
            self.unseal()
        except Unsealable as failure:
            return failure.reason
        return None

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK


class SealedAttribute(DeferredAttribute):
    """The attribute on model instances: it binds what was loaded to its row."""

    field: "EncryptedField"

    def __get__(
        self, instance: models.Model | None, owner: type[models.Model] | None = None
    ) -> Any:
        value = super().__get__(instance, owner)
        if instance is not None and isinstance(value, Sealed):
            return replace(value, context=self.field.context_of(instance))
        return value

    def __set__(self, instance: models.Model, value: object) -> None:
        if value is not None and not isinstance(value, Secret | Sealed):
            raise TypeError(f"Assign a Secret to {self.field.name}.")
        instance.__dict__[self.field.attname] = value


class EncryptedField(models.BinaryField):  # type: ignore[type-arg]  # It takes none at run time.
    """A sealed secret. `account`, `provider` name the attributes it is bound to, beside the row.

    `fingerprint` names the field, if any, that keeps the fingerprint of the secret.

    - A `Secret` is sealed afresh by `save()` and `bulk_create()`, which need a primary key that is
      known beforehand. The row, its account and its provider are part of the seal: after changing
      one of them, assign the secret again.
    - Saving a row whose secret was loaded, not assigned, leaves the column as it is in the
      database, so that it cannot undo what somebody else has written there meanwhile.
    - `QuerySet.update()` and `bulk_update()` refuse a `Secret` and whatever was loaded from a row.
    - Queries cannot filter on it: equal secrets have different blobs.
    - Serializers see the sealed form, in base64.
    """

    descriptor_class = SealedAttribute
    non_db_attrs = (*models.BinaryField.non_db_attrs, "account", "provider", "fingerprint")

    if TYPE_CHECKING:
        _pyi_private_set_type: Secret | Sealed
        _pyi_private_get_type: Secret | Sealed  # type: ignore[assignment]  # It loads no bytes.

    def __init__(
        self,
        *args: Any,
        account: str = "account_id",
        provider: str = "provider",
        fingerprint: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.account = account
        self.provider = provider
        self.fingerprint = fingerprint
        super().__init__(*args, **{**kwargs, "editable": False})

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        options = {
            "account": (self.account, "account_id"),
            "provider": (self.provider, "provider"),
            "fingerprint": (self.fingerprint, None),
        }
        kwargs.update({key: value for key, (value, default) in options.items() if value != default})
        return name, path, list(args), kwargs

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        return [*super().check(**kwargs), *self._check_identity()]

    def _check_identity(self) -> Iterable[checks.CheckMessage]:
        if isinstance(self.model._meta.pk, models.AutoField):
            yield checks.Error(
                "An EncryptedField needs a primary key that is known before the row is written.",
                hint="Use a UUIDField with a default.",
                obj=self,
                id="byok.E010",
            )

    # Reading -----------------------------------------------------------------------------------

    def context_of(self, instance: models.Model) -> Context:
        """What a value of this row is bound to."""
        return Context(
            table=self.model._meta.db_table,
            column=self.column or "",
            row_id=str(instance.pk),
            account_id=str(getattr(instance, self.account)),
            provider=str(getattr(instance, self.provider)),
        )

    def from_db_value(self, value: Any, *_: object) -> Sealed | None:
        return None if value is None else Sealed(bytes(value), stored=True)

    def get_default(self) -> None:
        return None

    def to_python(self, value: Any) -> Secret | Sealed | None:
        """What a deserializer read. Anything but the output of `value_to_string` is refused."""
        if value is None or isinstance(value, Secret | Sealed):
            return value
        try:
            return Sealed(base64.b64decode(value, validate=True))
        except (TypeError, ValueError, binascii.Error):
            raise ValidationError("This is not a sealed secret.", code="invalid") from None

    def value_to_string(self, obj: models.Model) -> str:
        value = self.value_from_object(obj)
        return base64.b64encode(value.blob).decode() if isinstance(value, Sealed) else MASK

    # Writing -----------------------------------------------------------------------------------

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = getattr(model_instance, self.attname)
        if isinstance(value, Secret):
            value = self._sealed(value, model_instance)
            setattr(model_instance, self.attname, value)
            return replace(value, stored=False)
        if isinstance(value, Sealed):
            if value.stored and not add:
                return models.F(self.attname)
            if value.trouble() is Reason.NOT_AUTHENTIC:
                raise ValueError("This value was sealed for another row: assign the Secret.")
            return replace(value, stored=False)
        return value

    def _sealed(self, secret: Secret, instance: models.Model) -> Sealed:
        if instance.pk is None:
            raise ValueError(
                f"{self.name} is sealed for its row: give the row a primary key first."
            )
        certified_root()
        context = self.context_of(instance)
        return Sealed(seal(secret, context), context, stored=True)

    def get_prep_value(self, value: Any) -> Any:
        return value

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        if isinstance(value, Sealed) and not value.stored:
            value = value.blob
        elif value is not None:
            raise TypeError(f"{self.name} is written by saving the row it belongs to.")
        return super().get_db_prep_value(value, connection, prepared)

    def get_lookup(self, lookup_name: str) -> Any:
        """None, which Django answers with a FieldError, for all but two."""
        allowed = {"isnull", SealedAs.lookup_name}
        return super().get_lookup(lookup_name) if lookup_name in allowed else None


@EncryptedField.register_lookup
class SealedAs(Exact):
    """`secret__sealed_as=Sealed(blob)`: rows that still hold this very blob, for rotation."""

    lookup_name = "sealed_as"

    def get_rhs_op(self, connection: BaseDatabaseWrapper, rhs: str) -> str:
        return f"= {rhs}"
