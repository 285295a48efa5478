"""EncryptedField, on the real ProviderKey."""

import asyncio
import copy
import json
import pickle

import pytest
from django.contrib.admin.utils import display_for_field
from django.core import checks, serializers
from django.core.exceptions import FieldError, ValidationError
from django.db import IntegrityError, models, transaction
from django.forms import modelform_factory
from django.forms.models import model_to_dict
from django.test.utils import isolate_apps

from byok.fields import EncryptedField, Sealed
from byok.models import ProviderKey
from byok.vault import CannotSeal, Reason, Secret
from tests.vaults import SECRET, entry, many_keys, reloaded, saved_key

NEWER = "sk-ant-api03-a-newer-secret-of-the-user"


@pytest.fixture
def key(account) -> ProviderKey:
    return reloaded(saved_key(account))


# Assigning, saving, loading ----------------------------------------------------------------


def test_a_saved_secret_is_loaded_sealed_and_opens(key):
    assert isinstance(key.secret, Sealed)
    assert key.secret.unseal() == Secret(SECRET)
    assert key.secret.context
    assert key.secret.context.row_id == str(key.pk)
    assert key.secret.context.account_id == str(key.account_id)
    assert key.secret.context.provider == "anthropic"


def test_it_opens_from_an_event_loop_too(key):
    assert asyncio.run(key.secret.aunseal()) == Secret(SECRET)


def test_a_secret_not_yet_saved_reads_as_itself(account):
    key = ProviderKey(account=account, provider="anthropic", secret=Secret(SECRET))
    assert key.secret.unseal().reveal() == SECRET


def test_saving_leaves_no_plaintext_on_the_instance(account):
    key = ProviderKey(account=account, provider="anthropic", secret=Secret(SECRET))
    key.save()
    assert isinstance(key.secret, Sealed)
    assert key.secret.unseal() == Secret(SECRET)


@pytest.mark.parametrize("loaded", [["hint"], ["secret"], ["secret", "account", "provider"]])
def test_a_row_loaded_in_part_still_opens(loaded, key):
    light = ProviderKey.objects.only(*loaded).get(pk=key.pk)
    assert light.secret.unseal() == Secret(SECRET)


def test_a_refreshed_instance_sees_the_new_secret(key):
    other = reloaded(key)
    other.secret = Secret(NEWER)
    other.save()
    key.refresh_from_db()
    assert key.secret.unseal() == Secret(NEWER)


@pytest.mark.parametrize("wrong", [SECRET, SECRET.encode(), 7, b""])
def test_anything_but_a_secret_is_refused_without_quoting_it(wrong, account):
    with pytest.raises(TypeError, match="Assign a Secret") as refused:
        ProviderKey(account=account, provider="anthropic", secret=wrong)
    assert SECRET not in str(refused.value)


def test_a_row_without_a_secret_is_refused_by_the_database(account):
    with pytest.raises(IntegrityError), transaction.atomic():
        ProviderKey.objects.create(account=account, provider="anthropic")


def test_a_row_without_a_primary_key_cannot_be_sealed(account):
    key = ProviderKey(pk=None, account=account, provider="anthropic", secret=Secret(SECRET))
    with pytest.raises(ValueError, match="primary key first"):
        ProviderKey._meta.get_field("secret").pre_save(key, add=True)
    key.save()  # A model with a default for its key gives one in time.
    assert reloaded(key).secret.unseal() == Secret(SECRET)


# Never undoing what somebody else wrote ----------------------------------------------------


def test_saving_a_stale_instance_does_not_bring_an_old_secret_back(key):
    newer = reloaded(key)
    newer.secret = Secret(NEWER)
    newer.save()
    key.health_message = "seen a moment ago"
    key.save()
    assert reloaded(key).secret.unseal() == Secret(NEWER)
    assert reloaded(key).health_message == "seen a moment ago"


def test_saving_an_untouched_instance_does_not_change_the_blob(key):
    before = key.secret.blob
    key.save()
    key.save(update_fields=["secret", "hint"])
    assert reloaded(key).secret.blob == before


def test_saving_an_instance_whose_row_is_gone_writes_it_back_whole(key):
    ProviderKey.objects.filter(pk=key.pk).delete()
    key.save()
    assert reloaded(key).secret.unseal() == Secret(SECRET)


def test_a_row_is_not_written_with_the_seal_of_another(key, account):
    with pytest.raises(ValueError, match="sealed for another row"):
        ProviderKey(account=account, provider="openai", secret=key.secret).save()
    key.pk, key._state.adding = ProviderKey._meta.pk.get_default(), True
    with pytest.raises(ValueError, match="sealed for another row"):
        key.save()


def test_bulk_create_seals_each_secret_for_its_own_row(account):
    many_keys(account, 5)
    keys = ProviderKey.objects.for_account(account).order_by("provider")
    assert [key.secret.unseal().reveal() for key in keys] == [f"{SECRET}-{n}" for n in range(5)]


def test_update_or_create_seals(account):
    for text in (SECRET, NEWER):
        ProviderKey.objects.update_or_create(
            account=account, provider="anthropic", defaults={"secret": Secret(text)}
        )
    assert ProviderKey.objects.get(account=account).secret.unseal() == Secret(NEWER)


def test_a_queryset_update_refuses_a_secret_and_a_loaded_value(key):
    for value in (Secret(NEWER), key.secret, NEWER, NEWER.encode()):
        with pytest.raises(TypeError, match="saving the row") as refused, transaction.atomic():
            ProviderKey.objects.filter(pk=key.pk).update(secret=value)
        assert NEWER not in str(refused.value)
    assert reloaded(key).secret.unseal() == Secret(SECRET)


def test_a_bulk_update_refuses_the_field(key):
    with pytest.raises(TypeError, match="saving the row"):
        ProviderKey.objects.bulk_update([key], ["secret"])
    key.secret = Secret(NEWER)
    with pytest.raises(TypeError, match="saving the row"):
        ProviderKey.objects.bulk_update([key], ["secret"])


# Queries -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lookup", ["secret", "secret__exact", "secret__in", "secret__contains", "secret__gt"]
)
def test_queries_cannot_filter_on_a_secret(lookup, key):
    with pytest.raises((FieldError, TypeError)) as refused:
        ProviderKey.objects.filter(**{lookup: Secret(SECRET)}).exists()
    assert SECRET not in str(refused.value)
    with pytest.raises((FieldError, TypeError)):
        ProviderKey.objects.filter(**{lookup: key.secret}).exists()


def test_queries_cannot_look_into_a_secret(key):
    with pytest.raises(FieldError, match="Unsupported lookup"):
        ProviderKey.objects.filter(secret__length=3).exists()


def test_a_value_read_without_its_row_does_not_open(key):
    [value] = ProviderKey.objects.values_list("secret", flat=True)
    assert str(value) == "***"
    with pytest.raises(TypeError, match="load the row"):
        value.unseal()


# Showing -----------------------------------------------------------------------------------


def showings(key: ProviderKey) -> list[str]:
    field = ProviderKey._meta.get_field("secret")
    return [
        str(key.secret),
        repr(key.secret),
        f"{key.secret}",
        f"{key.secret!r:>10}",
        repr(key),
        repr(key.__dict__),
        repr(model_to_dict(key)),
        repr(ProviderKey.objects.filter(pk=key.pk).values()),
        display_for_field(key.secret, field, "-"),
        serializers.serialize("json", [key]),
        serializers.serialize("xml", [key]),
        repr(serializers.serialize("python", [key])),
        json.dumps(key.__dict__, default=str),
        repr(pickle.dumps(key)),
        repr(copy.deepcopy(key).__dict__),
    ]


def test_no_view_of_a_row_shows_the_secret(key):
    for shown in showings(key):
        assert SECRET not in shown
        assert SECRET[13:21] not in shown


def test_no_view_of_a_row_that_is_not_saved_yet_shows_the_secret(account):
    key = ProviderKey(account=account, provider="anthropic", secret=Secret(SECRET))
    for shown in showings(key):
        assert SECRET not in shown
        assert SECRET[13:21] not in shown


def test_no_form_offers_the_field():
    with pytest.raises(FieldError, match="non-editable"):
        modelform_factory(ProviderKey, fields=["secret"])
    assert "secret" not in modelform_factory(ProviderKey, fields="__all__").base_fields


# Dumping and restoring ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "xml"])
def test_a_dumped_row_is_sealed_and_opens_after_loading(kind, key):
    dumped = serializers.serialize(kind, [key])
    assert SECRET not in dumped
    key.delete()
    for restored in serializers.deserialize(kind, dumped):
        restored.save()
    assert ProviderKey.objects.get().secret.unseal() == Secret(SECRET)


@pytest.mark.parametrize("value", ["***", "not base64!", "é"])
def test_loading_refuses_what_is_not_a_sealed_secret(value):
    with pytest.raises(ValidationError, match="not a sealed secret"):
        ProviderKey._meta.get_field("secret").to_python(value)


def test_a_dump_altered_to_another_row_does_not_open(key):
    [row] = json.loads(serializers.serialize("json", [key]))
    row["pk"] = "00000000-0000-4000-8000-000000000000"
    row["fields"]["provider"] = "openai"
    for restored in serializers.deserialize("json", json.dumps([row])):
        restored.save()
    assert ProviderKey.objects.get(pk=row["pk"]).secret.trouble() is Reason.NOT_AUTHENTIC


# A key that must not be used to seal -------------------------------------------------------


def test_nothing_is_sealed_with_another_key_under_a_known_id(account, settings):
    settings.MEGABRAIN_VAULT_KEYS = entry("2026a")
    saved_key(account, "anthropic")
    settings.MEGABRAIN_VAULT_KEYS = entry("2026a")
    with pytest.raises(CannotSeal, match="2026a is wrong"):
        saved_key(account, "openai")


# The definition ----------------------------------------------------------------------------


@isolate_apps("byok")
def test_a_field_survives_a_migration_file():
    field = EncryptedField(account="owner_id", provider="kind", fingerprint="print", null=True)
    _, path, args, kwargs = field.deconstruct()
    assert path == "byok.fields.EncryptedField"
    assert args == []
    again = EncryptedField(**kwargs)
    assert (again.account, again.provider, again.fingerprint) == ("owner_id", "kind", "print")
    assert again.null
    assert EncryptedField().deconstruct()[3] == {}
    assert not EncryptedField(editable=True).editable


@isolate_apps("byok")
def test_a_model_that_counts_its_rows_cannot_have_one():
    class Numbered(models.Model):  # noqa: DJ008 -- nobody prints it.
        secret = EncryptedField()

        class Meta:
            app_label = "byok"

    assert "byok.E010" in [
        error.id for error in Numbered.check() if isinstance(error, checks.Error)
    ]
