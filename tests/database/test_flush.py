"""A test leaves nothing behind in the database, be it rows of its own or changes to the catalogue.

What happens after every test with real transactions is done here in the middle of one.
"""

import threading
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from byok.models import (
    CatalogModel,
    CatalogueSource,
    CatalogueVersion,
    Offering,
    Price,
    ProviderKey,
    Source,
)
from orgs.models import AuditEvent, AuditHead, User
from tests.conftest import person
from tests.database.management.commands import flush as emptying
from tests.database.management.commands.flush import filled, rows

pytestmark = pytest.mark.django_db(transaction=True)

MIGRATED = (
    CatalogueVersion,
    CatalogueSource,
    CatalogModel,
    Offering,
    Price,
    ContentType,
    Permission,
)


def flush(**options: bool) -> None:
    """As Django's test cases do, unless told otherwise."""
    usual = {"allow_cascade": False, "inhibit_post_migrate": False, "reset_sequences": False}
    call_command("flush", verbosity=0, interactive=False, **{**usual, **options})


def tables() -> list[str]:
    return connection.introspection.django_table_names(only_existing=True, include_views=False)


def migrated() -> dict[str, list[tuple[object, ...]]]:
    return rows(connection, [model._meta.db_table for model in MIGRATED])


def contents() -> list[object]:
    """What migrating leaves behind, but for numbers that a row gets anew with every insertion."""
    offered = "offering__provider", "offering__upstream_id"
    typed = "content_type__app_label", "content_type__model"
    return [
        list(CatalogueSource.objects.values_list("name", "edition")),
        list(CatalogModel.objects.order_by("id").values()),
        list(
            Offering.objects.order_by("provider", "upstream_id").values(
                "model", "provider", "upstream_id", "direct", "enabled", "endpoints", "note"
            )
        ),
        sorted(Price.objects.values_list(*offered, "starts_at", "input", "output"), key=str),
        sorted(ContentType.objects.values_list("app_label", "model")),
        sorted(Permission.objects.values_list(*typed, "codename", "name")),
    ]


@pytest.fixture
def fresh() -> list[object]:
    flush()
    return contents()


def empty_the_catalogue() -> None:
    for model in (Price, Offering, CatalogModel, CatalogueSource):
        model.objects.all().delete()


def of_anthropic() -> QuerySet[Offering]:
    return Offering.objects.filter(provider="anthropic")


def add_a_price() -> None:
    Price.objects.create(
        offering=of_anthropic()[0],
        starts_at=timezone.now(),
        input=1,
        output=1,
        source=Source.STAFF,
    )


CHANGES: dict[str, Callable[[], object]] = {
    "a model has another name": lambda: CatalogModel.objects.update(name="Another"),
    "a model is new": lambda: CatalogModel.objects.create(id="acme/new", source=Source.STAFF),
    "an offering is off": lambda: of_anthropic().update(enabled=False),
    "an offering is gone": lambda: of_anthropic().delete(),
    "a price is another": lambda: Price.objects.update(input=7),
    "a price is new": add_a_price,
    "the edition is another": lambda: CatalogueSource.objects.update(edition="another"),
    "the catalogue is empty": empty_the_catalogue,
    "a permission is gone": lambda: Permission.objects.filter(codename="add_user").delete(),
    "a kind of content is new": lambda: ContentType.objects.create(app_label="a", model="b"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_migrating_left_is_put_back_when_a_test_changed_it(change, fresh):
    change()
    assert contents() != fresh
    flush()
    assert contents() == fresh


def test_what_migrating_left_stays_when_a_test_left_it_alone(fresh, owner):
    before = migrated()
    assert all(before.values())
    flush()
    assert migrated() == before, "the very same rows, not others like them"


def test_every_other_table_is_empty(fresh, owner, stranger_client, key):
    key("anthropic")
    ours = {model._meta.db_table for model in MIGRATED}
    for model in (User, ProviderKey, AuditEvent, AuditHead):
        assert model.objects.exists()
    flush()
    assert filled(connection, tables()) == ours


def test_who_is_still_writing_is_waited_for(fresh):
    written, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            User.objects.create(email="late@example.com")
            written.set()
            go_on.wait(10)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    assert written.wait(10)
    threading.Timer(0.3, go_on.set).start()
    flush()
    writer.join(10)
    assert not User.objects.exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite waits for a bounded time")
def test_who_never_ends_a_transaction_is_named(fresh, monkeypatch):
    monkeypatch.setattr(emptying, "SECONDS", 0.2)
    written, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            User.objects.create(email="late@example.com")
            written.set()
            go_on.wait(10)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    assert written.wait(10)
    with pytest.raises(emptying.LeftOpen, match=r'idle in transaction for .*"orgs_user"'):
        flush()
    go_on.set()
    writer.join(10)
    assert User.objects.exists()


@pytest.mark.parametrize("model", [AuditEvent, AuditHead])
def test_afterwards_the_audit_log_is_protected_as_before(fresh, model):
    person("later")
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="append-only"):
        cursor.execute(f"DELETE FROM {model._meta.db_table}")
    assert model.objects.exists()


def test_who_asks_for_an_empty_database_gets_one(fresh):
    flush(inhibit_post_migrate=True)
    assert not filled(connection, tables())
    flush()
    assert contents() == fresh
